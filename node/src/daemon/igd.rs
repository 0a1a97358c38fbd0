//! A router as its local network sees it (UPnP, Internet Gateway Device): it is searched for, says which public address
//! it has, and forwards one of its ports to this machine.
//!
//! Anyone on the local network may answer the search, with anything. Bounded are the time of each step, the answers,
//! the bytes of each, and where they lead: to the private address that sent it, and nowhere else. Not bounded is what
//! an answer claims: an address at which nobody is found costs the fees of announcing it, and others the attempt to
//! connect. libp2p's own part (libp2p-upnp 0.7) bounds neither bytes nor where an answer leads, searches once, never
//! asks for the address again, and does not tell that a router refuses.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    pin::{Pin, pin},
    time::Duration,
};

use futures::future::{Either, select};
use hyper::{
    Request, Uri,
    body::{Body, Incoming},
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use ostrakon_net::address;
use tokio::{
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// Where routers expect the search.
pub(super) const SEARCH: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);
/// How long answers to it are collected.
const SEARCH_TIME: Duration = Duration::from_secs(3);
/// Devices that are asked, and services of one.
const DEVICES: usize = 4;
const SERVICES: usize = 3;
/// Bytes of an answer to the search, and of a header, and of a body: those of routers have some thousand.
const DATAGRAM: usize = 1_500;
const HEAD: usize = 8_192;
const BODY: usize = 64 * 1024;
/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(5);
/// How long a router forwards a port unless it is asked again.
pub(super) const LEASE: Duration = Duration::from_secs(3600);
/// Outer ports that are tried: others of the local network may have the first.
const PORTS: usize = 3;
/// Characters that are shown of what a router says.
const WORDS: usize = 80;

/// What maps ports, as devices name it.
const KINDS: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// Codes of refusals after which something else is tried.
const TAKEN: u16 = 718;
const ONLY_PERMANENT: u16 = 725;

/// Why no port is mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error(
        "no router on the local network answers the search: switch UPnP on in the router, or forward the port there \
         and announce the address"
    )]
    NoRouter,
    #[error(
        "the router's own address is {0}, which is not public: another router (NAT) is between it and the internet, \
         perhaps the provider's (CGN), and a port of this one would let nobody in"
    )]
    NotPublic(Ipv4Addr),
    #[error(
        "the router refuses it (code {code}: {words}): permit it in the router's settings, or forward the port there"
    )]
    Refused { code: u16, words: String },
    #[error("the node listens at no TCP port of {0}, which is its address for the router")]
    NotListening(Ipv4Addr),
    #[error("the device at {at} that answers as a router cannot be used: {reason}")]
    Unusable { at: Ipv4Addr, reason: String },
}

/// A port that a router forwards to this node.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    service: Service,
    public: Ipv4Addr,
    pub(super) port: u16,
}

/// A place of the local network, and what is asked for there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    at: SocketAddrV4,
    path: String,
}

/// A service that maps ports.
#[derive(Clone, Debug)]
struct Service {
    place: Place,
    kind: &'static str,
}

/// Searches at `search`, and has the first router that does so forward a port to the TCP port of those that
/// `listening` gives once it is found: the external port of `before`, if there is one.
pub(super) async fn map(
    search: SocketAddrV4,
    listening: &dyn Fn() -> Vec<String>,
    before: Option<u16>,
) -> Result<Mapped, Problem> {
    let mut problem = Problem::NoRouter;
    let devices = answers(search).await.inspect_err(|error| tracing::debug!(%error, "cannot search for a router"));
    for device in devices.unwrap_or_default() {
        let services = services(&device).await.unwrap_or_else(|error| {
            problem = error;
            Vec::new()
        });
        for service in services {
            match service.map(&listening(), before).await {
                Ok(mapped) => return Ok(mapped),
                Err(error) => problem = error,
            }
        }
    }
    Err(problem)
}

impl Mapped {
    /// As if a router forwarded this port.
    #[cfg(test)]
    pub(super) fn of_test(port: u16) -> Self {
        let place = Place { at: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), path: "/".to_owned() };
        Self { service: Service { place, kind: KINDS[1] }, public: Ipv4Addr::new(203, 0, 114, 1), port }
    }

    /// The address at which others find this node, unless the router's claims are false.
    pub(super) fn address(&self) -> String {
        format!("/ip4/{}/tcp/{}", self.public, self.port)
    }

    /// Has the router no longer forward it.
    pub(super) async fn end(&self) {
        let port = self.port.to_string();
        let arguments = [("NewRemoteHost", ""), ("NewExternalPort", port.as_str()), ("NewProtocol", "TCP")];
        if let Err(error) = self.service.call("DeletePortMapping", &arguments).await {
            tracing::debug!(%error, "the router has not closed the port; its lease ends by itself");
        }
    }
}

/// Where those who answer a search describe themselves.
async fn answers(search: SocketAddrV4) -> io::Result<Vec<Place>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let question = format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {search}\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\n\
         ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
    );
    socket.send_to(question.as_bytes(), search).await?;
    let (mut found, mut buffer) = (Vec::<Place>::new(), [0; DATAGRAM]);
    let collecting = async {
        while found.len() < DEVICES {
            // Such as that nobody listens there.
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else { return };
            let place = described(&buffer[..length], from);
            found.extend(place.filter(|place| !found.iter().any(|other| other.at.ip() == place.at.ip())));
        }
    };
    let _over = timeout(SEARCH_TIME, collecting).await;
    Ok(found)
}

/// Where who sent this answer describes itself; nothing for one that is not of the local network, or names another.
fn described(answer: &[u8], from: SocketAddr) -> Option<Place> {
    let IpAddr::V4(ip) = from.ip() else { return None };
    let text = std::str::from_utf8(answer).ok().filter(|_| ip.is_private() || ip.is_loopback())?;
    let (_, url) = text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| is_location(name))?;
    // Without a port, that of HTTP.
    Place { at: SocketAddrV4::new(ip, 80), path: String::new() }.named(url)
}

fn is_location(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("location")
}

/// The services of a device that map ports.
async fn services(device: &Place) -> Result<Vec<Service>, Problem> {
    let text = device.ask(Request::get(&device.path), String::new()).await?;
    let found: Vec<Service> = services_in(&text, device);
    if found.is_empty() { Err(device.unusable("it does not map ports")) } else { Ok(found) }
}

fn services_in(text: &str, device: &Place) -> Vec<Service> {
    let blocks = text.split("<service>").skip(1).filter_map(|block| Some(block.split_once("</service>")?.0));
    let service = |block| {
        let kind = element(block, "serviceType")?;
        let kind = KINDS.into_iter().find(|known| *known == kind)?;
        Some(Service { place: device.named(element(block, "controlURL")?)?, kind })
    };
    blocks.filter_map(service).take(SERVICES).collect()
}

/// The text of the first element of this name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let content = |(at, _)| {
        let (attributes, content) = text[at + 1..].strip_prefix(name)?.split_once('>')?;
        (attributes.is_empty() || attributes.starts_with(char::is_whitespace)).then_some(content)
    };
    let content = text.match_indices('<').find_map(content)?;
    Some(content.split_once(&format!("</{name}>"))?.0.trim())
}

impl Service {
    async fn map(self, listening: &[String], before: Option<u16>) -> Result<Mapped, Problem> {
        let answer = self.call("GetExternalIPAddress", &[]).await?;
        let public = element(&answer, "NewExternalIPAddress").and_then(|text| text.parse().ok());
        let public = public.ok_or_else(|| self.place.unusable("it has no address of its own"))?;
        if !is_public(public) {
            return Err(Problem::NotPublic(public));
        }
        let own = self.place.own().await.map_err(|error| self.place.unusable(&error.to_string()))?;
        let inner = tcp_port(listening, own).ok_or(Problem::NotListening(own))?;
        let (mut lease, mut outer) = (LEASE, before.unwrap_or(inner));
        let mut outcome = self.forward((outer, inner), own, lease).await;
        for _ in 1..PORTS {
            match outcome {
                Err(Problem::Refused { code: TAKEN, .. }) => outer = other_port(),
                Err(Problem::Refused { code: ONLY_PERMANENT, .. }) => lease = Duration::ZERO,
                _ => break,
            }
            outcome = self.forward((outer, inner), own, lease).await;
        }
        outcome.map(|()| Mapped { service: self, public, port: outer })
    }

    /// Has the outer port forwarded to the inner one of `own`; a lease of zero does not end.
    async fn forward(&self, (outer, inner): (u16, u16), own: Ipv4Addr, lease: Duration) -> Result<(), Problem> {
        let (outer, inner, own) = (outer.to_string(), inner.to_string(), own.to_string());
        let lease = lease.as_secs().to_string();
        // Some routers take them in this order alone.
        let arguments = [
            ("NewRemoteHost", ""),
            ("NewExternalPort", &outer),
            ("NewProtocol", "TCP"),
            ("NewInternalPort", &inner),
            ("NewInternalClient", &own),
            ("NewEnabled", "1"),
            ("NewPortMappingDescription", "ostrakon"),
            ("NewLeaseDuration", &lease),
        ];
        self.call("AddPortMapping", &arguments).await.map(drop)
    }

    /// Has the service do something; gives its answer.
    async fn call(&self, action: &str, arguments: &[(&str, &str)]) -> Result<String, Problem> {
        let Self { place, kind } = self;
        let arguments: String = arguments.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
        let body = format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{action} \
             xmlns:u=\"{kind}\">{arguments}</u:{action}></s:Body></s:Envelope>"
        );
        let request = Request::post(&place.path).header("SOAPAction", format!("\"{kind}#{action}\""));
        let request = request.header(CONTENT_TYPE, "text/xml; charset=\"utf-8\"");
        let answer = place.ask(request, body).await?;
        match element(&answer, "errorCode").and_then(|code| code.parse().ok()) {
            Some(code) => {
                let words = element(&answer, "errorDescription").unwrap_or("no reason given");
                let words = words.chars().filter(|char| !char.is_control()).take(WORDS).collect();
                Err(Problem::Refused { code, words })
            }
            None if answer.contains(&format!("{action}Response")) => Ok(answer),
            None => Err(place.unusable("its answer cannot be read")),
        }
    }
}

impl Place {
    /// The place that a URL names, if it is at the same machine.
    fn named(&self, url: &str) -> Option<Self> {
        let url = url.trim().replace("&amp;", "&");
        let is_whole = url.starts_with('/') || url.contains("://");
        let uri: Uri = if is_whole { url } else { format!("/{url}") }.parse().ok()?;
        let port = match uri.authority() {
            None => self.at.port(),
            Some(at) if uri.scheme_str() == Some("http") && at.host().parse() == Ok(*self.at.ip()) => {
                at.port_u16().unwrap_or(80)
            }
            Some(_) => return None,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Some(Self { at: SocketAddrV4::new(*self.at.ip(), port), path })
    }

    /// This machine's address for it.
    async fn own(&self) -> io::Result<Ipv4Addr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(self.at).await?;
        match socket.local_addr()?.ip() {
            IpAddr::V4(own) => Ok(own),
            IpAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Sends a request; gives the body of the answer.
    async fn ask(&self, request: hyper::http::request::Builder, body: String) -> Result<String, Problem> {
        let request = request.header(HOST, self.at.to_string()).header(CONNECTION, "close").body(body);
        let exchange = async {
            let stream = TcpStream::connect(self.at).await?;
            let handshake =
                http1::Builder::new().title_case_headers(true).max_buf_size(HEAD).handshake(TokioIo::new(stream)).await;
            let (mut sender, connection) = handshake.map_err(io::Error::other)?;
            let answer = async {
                let request = request.map_err(io::Error::other)?;
                read(sender.send_request(request).await.map_err(io::Error::other)?.into_body()).await
            };
            match select(pin!(answer), pin!(connection)).await {
                Either::Left((answer, _)) => answer,
                // What it has received is still to be read.
                Either::Right((_, answer)) => answer.await,
            }
        };
        let answer = timeout(QUESTION, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        answer.map_err(|error| self.unusable(&error.to_string()))
    }

    fn unusable(&self, reason: &str) -> Problem {
        Problem::Unusable { at: *self.at.ip(), reason: reason.to_owned() }
    }
}

/// A body as text, if it is not too long.
async fn read(mut body: Incoming) -> io::Result<String> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let more = frame.map_err(io::Error::other)?.into_data().unwrap_or_default();
        if bytes.len() + more.len() > BODY {
            return Err(io::Error::other(format!("its answer has more than {BODY} bytes")));
        }
        bytes.extend_from_slice(&more);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The TCP port at which the node listens at this address of its own.
fn tcp_port(listening: &[String], own: Ipv4Addr) -> Option<u16> {
    let endpoints = listening.iter().filter_map(|text| address::endpoint(text).ok());
    endpoints.filter(|at| !at.is_quic && at.host() == own.to_string()).map(|at| at.port).next()
}

/// A port that others of the local network hardly have.
fn other_port() -> u16 {
    let mut random = [0; 2];
    // Without randomness it is one port for all.
    let _none = getrandom::fill(&mut random);
    u16::from_be_bytes(random) | 0xc000
}

/// Whether others on the internet may find this address.
fn is_public(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    let is_shared = first == 100 && second & 0xc0 == 64;
    let is_special = ip.is_loopback() || ip.is_link_local() || ip.is_documentation() || ip.is_multicast();
    !(ip.is_private() || is_shared || is_special || first == 0 || first >= 240)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn place(text: &str) -> Place {
        let Ok(url) = text.parse::<Uri>() else { panic!("not a URL") };
        let authority = url.authority().expect("a machine");
        let at = authority.as_str().parse().expect("an address");
        Place { at, path: url.path_and_query().expect("a path").to_string() }
    }

    #[test]
    fn an_answer_leads_to_who_sent_it_and_nowhere_else() {
        let answer = |url: &str, from: &str| {
            let from = format!("{from}:1900").parse().expect("an address");
            described(format!("HTTP/1.1 200 OK\r\nST: x\r\nLocation: {url}\r\n\r\n").as_bytes(), from)
        };
        let (url, router) = ("http://192.168.1.1:5000/desc.xml?a=b", "192.168.1.1");
        assert_eq!(answer(url, router), Some(place(url)));
        for (url, from) in [
            (url, "192.168.1.9"),
            ("http://192.0.2.7/", "192.0.2.7"),
            ("http://router.example/", router),
            ("https://192.168.1.1/", router),
            ("http://192.168.1.1@127.0.0.1/", router),
            ("http:// 192.168.1.1/", router),
        ] {
            assert_eq!(answer(url, from), None, "{url} from {from}");
        }
        assert!(described(&[0xff; 9], "192.168.1.1:1900".parse().expect("an address")).is_none());
    }

    #[test]
    fn services_are_found_in_what_a_device_describes() {
        let device = place("http://192.168.1.1:5000/desc.xml");
        let service = |kind: &str, url: &str| {
            format!("<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>")
        };
        let text = [
            service("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3"),
            service(KINDS[1], "http://192.168.1.7/evil"),
            service(KINDS[1], "ctl/IP?a=1&amp;b=2"),
            service(KINDS[2], "http://192.168.1.1:81/ppp"),
        ];
        let found = services_in(&text.concat(), &device);
        let places: Vec<Place> = found.into_iter().map(|service| service.place).collect();
        assert_eq!(places, [place("http://192.168.1.1:5000/ctl/IP?a=1&b=2"), place("http://192.168.1.1:81/ppp")]);
        assert!(services_in("<service><service><serviceType", &device).is_empty());
        assert_eq!(element("<a><Ip dt=\"s\"> 1 </Ip><Ipx>", "Ip"), Some("1"));
        assert_eq!(element("<Ipx>1</Ipx><Ip", "Ip"), None);
    }

    /// What a device comes to that answers one question after the other so, to a node that listens at these addresses.
    async fn outcome(listening: &[&str], answers: &[&str]) -> Result<Mapped, Problem> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let SocketAddr::V4(at) = listener.local_addr().expect("bound") else { panic!("IPv4 was asked for") };
        let asked = async {
            let device = Place { at, path: "/desc.xml".to_owned() };
            let listening: Vec<String> = listening.iter().map(ToString::to_string).collect();
            let service = services(&device).await?.into_iter().next().expect("there is one, or an error");
            service.map(&listening, None).await
        };
        let answering = async {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let _question = stream.read(&mut [0; 4_096]).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
                // It may be too long to be read.
                let _sent = stream.write_all((head + answer).as_bytes()).await;
            }
        };
        tokio::join!(asked, answering).0
    }

    #[tokio::test]
    async fn a_port_is_mapped_or_it_is_known_why_not() {
        let about =
            |kind: &str| format!("<service><serviceType>{kind}</serviceType><controlURL>/c</controlURL></service>");
        let (about, other) = (about(KINDS[1]), about("urn:x"));
        let address =
            |text: &str| format!("<u:GetExternalIPAddressResponse><NewExternalIPAddress>{text}</NewExternalIPAddress>");
        let [public, shared, none] = ["203.0.114.1", "100.64.0.9", ""].map(address);
        let refusal = |code: u16| format!("<errorCode>{code}</errorCode><errorDescription>No\u{7}</errorDescription>");
        let (refused, taken, permanent) = (refusal(606), refusal(TAKEN), refusal(ONLY_PERMANENT));
        let (done, long) = ("<u:AddPortMappingResponse/>", "x".repeat(BODY + 1));
        let listening = ["/ip4/127.0.0.1/udp/7/quic-v1", "/ip4/192.168.1.2/tcp/8", "/ip4/127.0.0.1/tcp/9"];
        let check = async |answers: &[&str]| outcome(&listening, answers).await.map(|mapped| mapped.address());
        assert_eq!(check(&[&about, &public, done]).await, Ok("/ip4/203.0.114.1/tcp/9".to_owned()));
        assert_eq!(check(&[&about, &public, &permanent, done]).await, Ok("/ip4/203.0.114.1/tcp/9".to_owned()));
        let elsewhere = check(&[&about, &public, &taken, &taken, done]).await.expect("another port");
        assert!(elsewhere.starts_with("/ip4/203.0.114.1/tcp/") && !elsewhere.ends_with("/9"), "{elsewhere}");
        let no = |code| Err(Problem::Refused { code, words: "No".to_owned() });
        assert_eq!(check(&[&about, &public, &refused]).await, no(606));
        assert_eq!(check(&[&about, &public, &taken, &taken, &taken]).await, no(TAKEN));
        assert_eq!(check(&[&about, &shared]).await, Err(Problem::NotPublic(Ipv4Addr::new(100, 64, 0, 9))));
        let own = Ipv4Addr::LOCALHOST;
        let deaf = outcome(&listening[..2], &[&about, &public]).await.map(|mapped| mapped.address());
        assert_eq!(deaf, Err(Problem::NotListening(own)));
        for (answers, reason) in [
            (&[other.as_str()][..], "does not map ports"),
            (&[&about, &none], "has no address"),
            (&[&about, &long], "more than"),
            (&[&about, &public, "x"], "cannot be read"),
        ] {
            let problem = check(answers).await.expect_err("no port").to_string();
            assert!(problem.contains(reason) && problem.contains("127.0.0.1"), "{problem}");
        }
    }

    #[test]
    fn only_public_addresses_count() {
        let check = |text: &str| is_public(text.parse().expect("an address"));
        assert!(["11.0.0.1", "100.128.0.1", "203.0.114.1"].into_iter().all(check));
        let others = ["0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "192.168.1.1", "224.0.0.1"];
        assert!(!others.into_iter().any(check));
    }
}
