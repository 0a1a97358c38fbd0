//! Free TCP ports on 127.0.0.1, held until each node is about to take its own. They are outside of the range from which
//! the system gives ports to outgoing connections: else a connection of one node could sit on the port of another.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

use crate::exit::other;

/// Where to look when the system does not say which ports it gives to connections.
const USUAL: Range<u16> = 10_240..32_768;

/// Ports that nobody else can take while this lives.
#[derive(Debug)]
pub(crate) struct Ports {
    held: BTreeMap<u16, TcpListener>,
}

impl Ports {
    /// Takes `count` ports, looking where `random` says.
    ///
    /// # Errors
    /// When there are too few.
    pub(crate) fn take(count: u16, mut random: impl FnMut() -> u64) -> crate::Result<Self> {
        let range =
            std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").map_or(USUAL, |text| outside_of(&text));
        let span = u64::from(range.end - range.start);
        let mut held = BTreeMap::new();
        for _ in 0..u32::from(count) * 64 {
            if held.len() == usize::from(count) {
                break;
            }
            let port = range.start + u16::try_from(random() % span).expect("less than a u16's span");
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                held.insert(port, listener);
            }
        }
        match held.len() == usize::from(count) {
            true => Ok(Self { held }),
            false => Err(other(format!(
                "cannot find {count} free ports on 127.0.0.1 in {range:?}: stop other devnets, or use fewer nodes"
            ))),
        }
    }

    /// The ports.
    pub(crate) fn numbers(&self) -> Vec<u16> {
        self.held.keys().copied().collect()
    }

    /// Gives this port up, for a node that starts now.
    pub(crate) fn release(&mut self, port: u16) {
        self.held.remove(&port);
    }
}

/// The larger side of the range of `ip_local_port_range`, or [`USUAL`] where there is no space.
fn outside_of(text: &str) -> Range<u16> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(first)), Some(Ok(last))) = (numbers.next(), numbers.next()) else { return USUAL };
    let (below, above) = (USUAL.start..first.max(USUAL.start), last..u16::MAX);
    let larger = if below.len() >= above.len() { below } else { above };
    if larger.len() >= 1_024 { larger } else { USUAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_lie_outside_of_those_of_connections() {
        let check = |text, expect: Range<u16>| assert_eq!(outside_of(text), expect, "{text}");
        check("32768\t60999\n", 10_240..32_768);
        check("10000\t20000", 20_000..65_535);
        check("1024 65535", USUAL);
        check("gibberish", USUAL);
        check("", USUAL);
    }

    #[test]
    fn ports_are_distinct_and_held() {
        let mut next = 7u64;
        let mut ports = Ports::take(5, || {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            next >> 33
        })
        .expect("five ports are free");
        let numbers = ports.numbers();
        assert_eq!(numbers.len(), 5);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, numbers[0])).is_err());
        ports.release(numbers[0]);
        assert!(!ports.numbers().contains(&numbers[0]));
    }
}
