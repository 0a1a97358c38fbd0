//! Addresses as operators write them: whether a node can listen on one, dial it, or announce it to others.
//!
//! In goes a text, out comes what is wrong with it and what to write instead. Pure: nothing is resolved or bound. Not
//! here: the node's id at the end of an address ([`crate::identity`]).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use libp2p::{Multiaddr, multiaddr::Protocol};

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongAddress {
    /// It is not a multiaddress.
    #[error("is not a multiaddress: write {instead}")]
    Malformed {
        /// What is probably meant, or an example.
        instead: String,
    },
    /// It is one that no transport of ours takes.
    #[error(
        "is not an address of TCP or QUIC: write /ip4/IP/tcp/PORT or /ip4/IP/udp/PORT/quic-v1, or the same with ip6, \
         or with a name after dns, dns4 or dns6"
    )]
    Transport,
    /// Only an address of this machine can be listened on.
    #[error("has a name: a node listens on IP addresses, as /ip4/0.0.0.0/tcp/4001, and announces names")]
    NameToListen,
    /// Nobody can dial all interfaces.
    #[error("means all interfaces of a machine: write the IP address or the name by which others reach this one")]
    Unspecified,
    /// Nobody can dial port 0.
    #[error("has port 0: write the port that others reach")]
    NoPort,
}

/// The machine that an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String, IpVersions),
}

/// Which versions of IP a name is resolved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IpVersions {
    Four,
    Six,
    Both,
}

/// Where an address leads, as the system's sockets take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: Host,
    /// The port.
    pub port: u16,
    /// Whether it is UDP's, for QUIC, or else TCP's.
    pub is_quic: bool,
}

impl Endpoint {
    /// The IP address or the name.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name, _) => name.clone(),
        }
    }

    /// Whether it may lead to this IP address, by the version of IP.
    pub fn allows(&self, ip: &IpAddr) -> bool {
        match &self.host {
            Host::Ip(own) => own.is_ipv4() == ip.is_ipv4(),
            Host::Name(_, IpVersions::Both) => true,
            Host::Name(_, versions) => (*versions == IpVersions::Four) == ip.is_ipv4(),
        }
    }

    /// The addresses of all interfaces at which a node listens that announces this one: over QUIC too, by which nodes
    /// behind NAT are reached directly.
    pub fn listening(&self) -> Vec<String> {
        let transports: &[bool] = if self.is_quic { &[true] } else { &[false, true] };
        let all: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let allowed = all.into_iter().filter(|ip| self.allows(ip));
        let at = |ip, is_quic| Self { is_quic, ..self.at(ip) }.to_string();
        allowed.flat_map(|ip| transports.iter().map(move |is_quic| at(ip, *is_quic))).collect()
    }

    /// The same port of a machine with this IP address.
    #[must_use]
    pub fn at(&self, ip: IpAddr) -> Self {
        Self { host: Host::Ip(ip), ..self.clone() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.host {
            Host::Ip(IpAddr::V4(_)) => "ip4",
            Host::Ip(IpAddr::V6(_)) => "ip6",
            Host::Name(_, IpVersions::Both) => "dns",
            Host::Name(_, IpVersions::Four) => "dns4",
            Host::Name(_, IpVersions::Six) => "dns6",
        };
        let transport = if self.is_quic { format!("udp/{}/quic-v1", self.port) } else { format!("tcp/{}", self.port) };
        write!(f, "/{kind}/{}/{transport}", self.host())
    }
}

/// Whether a node can listen on it.
///
/// # Errors
/// [`WrongAddress`] says what to write instead.
pub fn listening(text: &str) -> Result<(), WrongAddress> {
    match endpoint(text)?.host {
        Host::Ip(_) => Ok(()),
        Host::Name(..) => Err(WrongAddress::NameToListen),
    }
}

/// Whether other nodes can dial it.
///
/// # Errors
/// [`WrongAddress`] says what to write instead.
pub fn dialled(text: &str) -> Result<(), WrongAddress> {
    match endpoint(text)? {
        Endpoint { host: Host::Ip(ip), .. } if ip.is_unspecified() => Err(WrongAddress::Unspecified),
        Endpoint { port: 0, .. } => Err(WrongAddress::NoPort),
        _ => Ok(()),
    }
}

/// Where an address leads.
///
/// # Errors
/// [`WrongAddress`] says what to write instead.
pub fn endpoint(text: &str) -> Result<Endpoint, WrongAddress> {
    let address: Multiaddr = text.parse().map_err(|_| WrongAddress::Malformed { instead: instead_of(text) })?;
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let (host, port, is_quic) = match parts.as_slice() {
        [host, Protocol::Tcp(port)] => (host, *port, false),
        [host, Protocol::Udp(port), Protocol::QuicV1] => (host, *port, true),
        _ => return Err(WrongAddress::Transport),
    };
    let host = match host {
        Protocol::Ip4(ip) => Host::Ip((*ip).into()),
        Protocol::Ip6(ip) => Host::Ip((*ip).into()),
        Protocol::Dns(name) => Host::Name(name.to_string(), IpVersions::Both),
        Protocol::Dns4(name) => Host::Name(name.to_string(), IpVersions::Four),
        Protocol::Dns6(name) => Host::Name(name.to_string(), IpVersions::Six),
        _ => return Err(WrongAddress::Transport),
    };
    Ok(Endpoint { host, port, is_quic })
}

/// `HOST:PORT` as a multiaddress, or else an example.
fn instead_of(text: &str) -> String {
    let is_name =
        |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    match (text.parse::<SocketAddr>(), text.rsplit_once(':')) {
        (Ok(SocketAddr::V4(address)), _) => format!("/ip4/{}/tcp/{}", address.ip(), address.port()),
        (Ok(SocketAddr::V6(address)), _) => format!("/ip6/{}/tcp/{}", address.ip(), address.port()),
        (_, Some((host, port))) if is_name(host) && port.parse::<u16>().is_ok() => format!("/dns/{host}/tcp/{port}"),
        _ => "one such as /ip4/203.0.113.1/tcp/4001".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_listens_where_its_address_leads() {
        for (text, expect) in [
            ("/ip4/192.0.2.1/tcp/4001", &["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"][..]),
            ("/ip6/2001:db8::1/udp/4002/quic-v1", &["/ip6/::/udp/4002/quic-v1"]),
            ("/dns4/node.example/tcp/4001", &["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"]),
            ("/dns6/node.example/tcp/4001", &["/ip6/::/tcp/4001", "/ip6/::/udp/4001/quic-v1"]),
            ("/dns/node.example/udp/1/quic-v1", &["/ip4/0.0.0.0/udp/1/quic-v1", "/ip6/::/udp/1/quic-v1"]),
        ] {
            assert_eq!(endpoint(text).expect("an address").listening(), expect, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        use WrongAddress::{NameToListen, NoPort, Transport, Unspecified};
        let instead = |instead: &str| Err(WrongAddress::Malformed { instead: instead.to_owned() });
        let example = || instead("one such as /ip4/203.0.113.1/tcp/4001");
        for (text, listens, dials) in [
            ("/ip4/192.0.2.1/tcp/4001", Ok(()), Ok(())),
            ("/ip6/2001:db8::1/udp/4001/quic-v1", Ok(()), Ok(())),
            ("/ip4/127.0.0.1/tcp/0", Ok(()), Err(NoPort)),
            ("/ip4/0.0.0.0/tcp/4001", Ok(()), Err(Unspecified)),
            ("/ip6/::/udp/4001/quic-v1", Ok(()), Err(Unspecified)),
            ("/dns4/node.example/tcp/4001", Err(NameToListen), Ok(())),
            ("/dns/node.example/udp/4001/quic-v1", Err(NameToListen), Ok(())),
            ("/ip4/192.0.2.1/udp/4001", Err(Transport), Err(Transport)),
            ("/dnsaddr/node.example", Err(Transport), Err(Transport)),
            ("/ip4/192.0.2.1/tcp/4001/ws", Err(Transport), Err(Transport)),
            ("/invalid", example(), example()),
            ("", Err(Transport), Err(Transport)),
            ("127.0.0.1:4001", instead("/ip4/127.0.0.1/tcp/4001"), instead("/ip4/127.0.0.1/tcp/4001")),
            ("[::1]:4001", instead("/ip6/::1/tcp/4001"), instead("/ip6/::1/tcp/4001")),
            ("node.example:4001", instead("/dns/node.example/tcp/4001"), instead("/dns/node.example/tcp/4001")),
            ("127.0.0.1", example(), example()),
        ] {
            assert_eq!(listening(text), listens, "listening on {text}");
            assert_eq!(dialled(text), dials, "dialling {text}");
        }
    }
}
