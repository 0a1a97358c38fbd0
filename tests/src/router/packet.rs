//! IP packets, as far as a router looks: who sends to whom, and, of IPv4, the ports that NAT replaces. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The protocols whose ports are known here.
pub const TCP: u8 = 6;
const UDP: u8 = 17;

/// Which end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Who sends it.
    Source,
    /// Who it is for.
    Destination,
}

/// An address and port of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// The protocol's number.
    pub protocol: u8,
    /// The address.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
}

/// Where the packet's address of this end is; nothing when it is not a whole IPv4 packet.
fn address_at(packet: &[u8], end: End) -> Option<usize> {
    let header = header_len(packet)?;
    (packet.len() >= header).then_some(if end == End::Source { 12 } else { 16 })
}

fn header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let header = usize::from(first & 15) * 4;
    (first >> 4 == 4 && header >= 20 && packet.len() >= header).then_some(header)
}

/// The address of this end, of either version of IP.
pub fn address(packet: &[u8], end: End) -> Option<IpAddr> {
    match header_len_v6(packet) {
        None => address_v4(packet, end).map(IpAddr::V4),
        Some(_) => {
            let at = if end == End::Source { 8 } else { 24 };
            let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
    }
}

/// The length of a header of IPv6, after which TCP and UDP begin: hosts that send nothing unusual add no extensions.
fn header_len_v6(packet: &[u8]) -> Option<usize> {
    (packet.first()? >> 4 == 6 && packet.len() >= 40).then_some(40)
}

fn address_v4(packet: &[u8], end: End) -> Option<Ipv4Addr> {
    let at = address_at(packet, end)?;
    let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
    Some(bytes.into())
}

/// Where the port of this end is, for packets that have ports: not for fragments but the first.
fn port_at(packet: &[u8], end: End) -> Option<usize> {
    let header = header_len(packet)?;
    let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff;
    let at = header + if end == End::Source { 0 } else { 2 };
    (matches!(packet.get(9), Some(&(TCP | UDP))) && fragment == 0 && packet.len() >= header + 8).then_some(at)
}

/// Address and port of this end; nothing for what is neither TCP nor UDP.
pub fn flow(packet: &[u8], end: End) -> Option<Flow> {
    let at = port_at(packet, end)?;
    let port = u16::from_be_bytes([packet[at], packet[at + 1]]);
    Some(Flow { protocol: packet[9], address: address_v4(packet, end)?, port })
}

/// Whether it begins a TCP connection or carries bytes of one, or is a datagram of UDP: no mere acknowledgement.
pub fn carries(packet: &[u8]) -> bool {
    const SYN: u8 = 2;
    let (header, protocol) = match (header_len(packet), header_len_v6(packet)) {
        (Some(header), _) => (header, packet[9]),
        (None, Some(header)) => (header, packet[6]),
        (None, None) => return false,
    };
    match (protocol, packet.get(header + 12), packet.get(header + 13)) {
        (TCP, Some(offset), Some(flags)) => flags & SYN != 0 || packet.len() > header + usize::from(offset >> 4) * 4,
        (protocol, _, _) => protocol == UDP,
    }
}

/// Replaces address and port of this end, and corrects the checksums; false when the packet has none.
pub fn rewrite(packet: &mut [u8], end: End, to: Ipv4Addr, port: u16) -> bool {
    let (Some(header), Some(address), Some(port_place)) =
        (header_len(packet), address_at(packet, end), port_at(packet, end))
    else {
        return false;
    };
    let checksum = match packet[9] {
        TCP => header + 16,
        _ => header + 6,
    };
    if packet.len() < checksum + 2 {
        return false;
    }
    // In UDP, zero means that there is no checksum.
    let is_checked = packet[9] == TCP || packet[checksum..checksum + 2] != [0, 0];
    let octets = to.octets();
    let changes = [(address, [octets[0], octets[1]]), (address + 2, [octets[2], octets[3]])];
    for (at, new) in changes {
        let old = [packet[at], packet[at + 1]];
        correct(packet, 10, old, new);
        if is_checked {
            correct(packet, checksum, old, new);
        }
        packet[at..at + 2].copy_from_slice(&new);
    }
    let (old, new) = ([packet[port_place], packet[port_place + 1]], port.to_be_bytes());
    if is_checked {
        correct(packet, checksum, old, new);
    }
    packet[port_place..port_place + 2].copy_from_slice(&new);
    true
}

/// Corrects the checksum at `at` for two bytes that change (RFC 1624).
fn correct(packet: &mut [u8], at: usize, old: [u8; 2], new: [u8; 2]) {
    let word = |bytes: [u8; 2]| u32::from(u16::from_be_bytes(bytes));
    let before = word([packet[at], packet[at + 1]]);
    let mut sum = (!before & 0xffff) + (!word(old) & 0xffff) + word(new);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let corrected = !u16::try_from(sum).expect("folded to 16 bits");
    packet[at..at + 2].copy_from_slice(&corrected.to_be_bytes());
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The sum of 16-bit words with carries, which is all ones over what has a right checksum.
    fn sum(bytes: &[u8]) -> u32 {
        let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
        let mut sum: u32 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    }

    /// A packet of UDP with right checksums.
    pub(in crate::router) fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
        let text = b"hello";
        let total = u16::try_from(28 + text.len()).expect("small");
        let mut packet = vec![0x45, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
        packet.extend(from.0.octets());
        packet.extend(to.0.octets());
        let header = !u16::try_from(sum(&packet)).expect("folded");
        packet[10..12].copy_from_slice(&header.to_be_bytes());
        packet.extend(from.1.to_be_bytes());
        packet.extend(to.1.to_be_bytes());
        packet.extend((total - 20).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(text);
        let checksum = !u16::try_from(transport_sum(&packet)).expect("folded");
        packet[26..28].copy_from_slice(&checksum.to_be_bytes());
        packet
    }

    /// The sum that UDP's checksum is of: a pseudo header and all of it.
    fn transport_sum(packet: &[u8]) -> u32 {
        let length = u16::try_from(packet.len() - 20).expect("small").to_be_bytes();
        sum(&[&packet[12..20], &[0, packet[9]], &length, &packet[20..]].concat())
    }

    #[test]
    fn what_is_rewritten_has_right_checksums() {
        let (one, two, three) =
            (Ipv4Addr::new(192, 168, 1, 2), Ipv4Addr::new(10, 7, 7, 1), Ipv4Addr::new(10, 255, 0, 9));
        let mut packet = udp((one, 4_000), (two, 53));
        assert_eq!((sum(&packet[..20]), transport_sum(&packet)), (0xffff, 0xffff));
        assert!(rewrite(&mut packet, End::Source, three, 61_001));
        assert_eq!((sum(&packet[..20]), transport_sum(&packet)), (0xffff, 0xffff));
        assert_eq!(flow(&packet, End::Source), Some(Flow { protocol: UDP, address: three, port: 61_001 }));
        assert_eq!(flow(&packet, End::Destination), Some(Flow { protocol: UDP, address: two, port: 53 }));
    }

    #[test]
    fn a_packet_of_the_other_version_has_addresses_and_no_translation() {
        let mut packet = [0; 60];
        (packet[0], packet[6], packet[23], packet[39], packet[52]) = (0x60, TCP, 1, 2, 5 << 4);
        let ends = [End::Source, End::Destination].map(|end| address(&packet, end));
        let last = |byte: u16| Some(IpAddr::from(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, byte)));
        assert_eq!((ends, flow(&packet, End::Source)), ([last(1), last(2)], None));
        assert!(!carries(&packet), "nothing but a header of TCP");
        packet[53] = 2;
        assert!(carries(&packet), "it begins a connection");
    }

    #[test]
    fn what_is_no_packet_is_none() {
        for bytes in [&[][..], &[0x45], &[0x60; 39], &[0x4f; 30]] {
            assert_eq!((address(bytes, End::Source), flow(bytes, End::Destination)), (None, None), "{bytes:?}");
            assert!(!rewrite(&mut bytes.to_vec(), End::Source, Ipv4Addr::LOCALHOST, 1));
        }
    }
}
