//! The router of a home, as its local network sees it: answers who searches for one (SSDP), says which public address
//! it has, and opens ports in the NAT of the place (UPnP, Internet Gateway Device).
//!
//! In go sockets of the local network and what opens and closes a port; out go answers, until the task is dropped. Not
//! here: the NAT itself ([`super::nat`]), and anything that a client should not send.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::fd::AsFd,
    thread,
};

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Where searches are sent.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const SEARCHED: u16 = 1_900;
/// Where it describes itself and is asked.
const PORT: u16 = 5_000;
/// Bytes of a question at most.
const QUESTION: usize = 16 * 1024;
const KIND: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

/// Its sockets on the local network.
pub(super) type Sockets = (UdpSocket, TcpListener);

/// Opens (with an inner port) or closes the outer port of this number.
pub(super) type Ports = Box<dyn Fn(u16, Option<u16>) + Send + Sync>;

/// The sockets of the router that is `own` in this network namespace.
pub(super) fn sockets(namespace: &str, own: Ipv4Addr) -> Result<Sockets> {
    let path = format!("/run/netns/{namespace}");
    let open = move || -> io::Result<Sockets> {
        // Of this thread alone, which ends with it.
        move_into_link_name_space(File::open(path)?.as_fd(), Some(LinkNameSpaceType::Network))?;
        let searches = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SEARCHED))?;
        searches.join_multicast_v4(&GROUP, &own)?;
        let questions = TcpListener::bind((own, PORT))?;
        searches.set_nonblocking(true)?;
        questions.set_nonblocking(true)?;
        Ok((searches, questions))
    };
    let opened = thread::spawn(open).join().expect("it does not panic");
    opened.with_context(|| format!("no sockets in {namespace}"))
}

/// Answers searches and questions, one at a time; `public` is the address of the NAT.
pub(super) async fn serve((searches, questions): Sockets, public: Ipv4Addr, ports: Ports) -> io::Result<()> {
    let searches = tokio::net::UdpSocket::from_std(searches)?;
    let questions = tokio::net::TcpListener::from_std(questions)?;
    let own = questions.local_addr()?;
    let found = format!("HTTP/1.1 200 OK\r\nLOCATION: http://{own}/desc.xml\r\nST: upnp\r\n\r\n");
    let mut search = [0; 1_500];
    loop {
        tokio::select! {
            biased;
            received = searches.recv_from(&mut search) => {
                let (length, from) = received?;
                if search[..length].starts_with(b"M-SEARCH ") {
                    searches.send_to(found.as_bytes(), from).await?;
                }
            }
            accepted = questions.accept() => {
                // One that ends early has asked nothing.
                let _ended = answer(accepted?.0, public, &ports).await;
            }
        }
    }
}

/// Reads a question and answers it.
async fn answer(mut stream: TcpStream, public: Ipv4Addr, ports: &Ports) -> io::Result<()> {
    let (mut question, mut buffer) = (String::new(), [0; 1_500]);
    while !(question.starts_with("GET ") && question.ends_with("\r\n\r\n") || question.ends_with("Envelope>")) {
        let length = stream.read(&mut buffer).await?;
        if length == 0 || question.len() > QUESTION {
            return Ok(());
        }
        question += &String::from_utf8_lossy(&buffer[..length]);
    }
    let argument = |name: &str| {
        let (_, after) = question.split_once(&format!("<{name}>"))?;
        after.split_once('<')?.0.parse::<u16>().ok()
    };
    let outer = argument("NewExternalPort");
    let (status, body) = match outer {
        _ if question.starts_with("GET ") => {
            let service = format!("<serviceType>{KIND}</serviceType><controlURL>/control</controlURL>");
            ("200 OK", format!("<root><device><serviceList><service>{service}</service></serviceList></device></root>"))
        }
        None => {
            let address = format!("<NewExternalIPAddress>{public}</NewExternalIPAddress>");
            ("200 OK", format!("<u:GetExternalIPAddressResponse>{address}</u:GetExternalIPAddressResponse>"))
        }
        // As if another host of the home had it.
        Some(super::TAKEN) => ("500 Error", "<UPnPError><errorCode>718</errorCode></UPnPError>".to_owned()),
        Some(outer) => {
            ports(outer, argument("NewInternalPort"));
            ("200 OK", "<u:AddPortMappingResponse/><u:DeletePortMappingResponse/>".to_owned())
        }
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await
}
