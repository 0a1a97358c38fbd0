//! Addresses as operators write them: whether a node can listen on one, dial it, or announce it to others.
//!
//! In goes a text, out comes what is wrong with it and what to write instead. Pure: nothing is resolved or bound. Not
//! here: the node's id at the end of an address ([`crate::identity`]).

use std::net::{IpAddr, SocketAddr};

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
enum Host {
    Ip(IpAddr),
    Name,
}

/// Whether a node can listen on it.
///
/// # Errors
/// [`WrongAddress`] says what to write instead.
pub fn listening(text: &str) -> Result<(), WrongAddress> {
    match parse(text)? {
        (Host::Ip(_), _) => Ok(()),
        (Host::Name, _) => Err(WrongAddress::NameToListen),
    }
}

/// Whether other nodes can dial it.
///
/// # Errors
/// [`WrongAddress`] says what to write instead.
pub fn dialled(text: &str) -> Result<(), WrongAddress> {
    match parse(text)? {
        (Host::Ip(ip), _) if ip.is_unspecified() => Err(WrongAddress::Unspecified),
        (_, 0) => Err(WrongAddress::NoPort),
        _ => Ok(()),
    }
}

fn parse(text: &str) -> Result<(Host, u16), WrongAddress> {
    let address: Multiaddr = text.parse().map_err(|_| WrongAddress::Malformed { instead: instead_of(text) })?;
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let (host, port) = match parts.as_slice() {
        [host, Protocol::Tcp(port)] | [host, Protocol::Udp(port), Protocol::QuicV1] => (host, *port),
        _ => return Err(WrongAddress::Transport),
    };
    match host {
        Protocol::Ip4(ip) => Ok((Host::Ip((*ip).into()), port)),
        Protocol::Ip6(ip) => Ok((Host::Ip((*ip).into()), port)),
        Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => Ok((Host::Name, port)),
        _ => Err(WrongAddress::Transport),
    }
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
