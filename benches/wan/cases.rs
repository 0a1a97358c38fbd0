//! Which lines, files and codes are measured, and what is wanted of each.

use std::time::Duration;

use ostrakon_proto::params::Code;
use ostrakon_tests::router::Link;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Which part of the line an add and a get use.
    Line,
    /// The same beside plain TCP, where packets are lost.
    Loss,
    /// How many round trips they take.
    Trips,
    /// How much longer they take with one slow holder.
    SlowHolder,
}

/// One file over one line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) code: Code,
    pub(crate) rtt_ms: u64,
    /// Of the client's own line, both ways.
    pub(crate) mbit: f64,
    pub(crate) bytes: u64,
    /// Packets of a million that are lost, in each direction.
    pub(crate) loss_ppm: u32,
    pub(crate) wanted: f64,
}

/// The codes, each on as many nodes as it has columns.
const CODES: [Code; 2] = [Code { k: 4, n: 12 }, Code { k: 20, n: 50 }];
const MIB: u64 = 1 << 20;
/// Holders have a gigabit.
pub(crate) const HOLDER: Link = Link {
    delay: Duration::ZERO,
    jitter: Duration::ZERO,
    loss_ppm: 0,
    rate_bits: 1_000_000_000,
    queue_bytes: 4 << 20,
    is_up: true,
};
/// Bytes that wait for a line at most: a quarter of a second, and never less than this.
const QUEUE_LEAST: u64 = 64 * 1024;

impl Case {
    pub(crate) fn name(&self) -> String {
        let Self { code, rtt_ms, mbit, bytes, loss_ppm, kind, .. } = *self;
        let size = if bytes < MIB { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes / MIB) };
        let rest = match kind {
            Kind::Line => format!("{mbit} Mbit/s"),
            Kind::Loss => format!("{mbit} Mbit/s, {} % lost", f64::from(loss_ppm) / 1e4),
            Kind::Trips => "cold".to_owned(),
            Kind::SlowHolder => format!("{mbit} Mbit/s, one holder 100 times slower"),
        };
        format!("{code}, {rtt_ms} ms, {size}, {rest}")
    }

    /// Nodes of the network.
    pub(crate) fn nodes(&self) -> u8 {
        self.code.n
    }

    /// The client's line.
    pub(crate) fn link(&self) -> Link {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of the table below")]
        let rate_bits = (self.mbit * 1e6) as u64;
        Link {
            delay: Duration::from_micros(self.rtt_ms * 500),
            jitter: Duration::ZERO,
            loss_ppm: self.loss_ppm,
            rate_bits,
            queue_bytes: (rate_bits / 32).max(QUEUE_LEAST),
            is_up: true,
        }
    }
}

/// All cases, those of one network together; with `quick`, short ones.
pub(crate) fn plan(quick: bool) -> Vec<Case> {
    CODES.into_iter().flat_map(|code| of_code(code, quick)).collect()
}

fn of_code(code: Code, quick: bool) -> Vec<Case> {
    let line = |(rtt_ms, bytes, mbit)| {
        let (kind, wanted) = (Kind::Line, 0.7);
        Case { kind, code, rtt_ms, mbit, bytes, loss_ppm: 0, wanted }
    };
    let sizes: &[(u64, f64)] = if quick {
        &[(64 * MIB, 100.0), (4 * MIB, 2.0)]
    } else {
        &[(256 * MIB, 100.0), (64 * MIB, 50.0), (64 * MIB, 10.0), (8 * MIB, 2.0)]
    };
    let rtts: &[u64] = if quick { &[50] } else { &[50, 200] };
    let lines = rtts.iter().flat_map(|rtt| sizes.iter().map(|(bytes, mbit)| line((*rtt, *bytes, *mbit))));
    let mut cases: Vec<Case> = vec![Case { kind: Kind::Trips, wanted: 0.0, ..line((500, 4096, 1000.0)) }];
    cases.extend(lines);
    if code == CODES[0] {
        let bytes = if quick { 16 * MIB } else { 64 * MIB };
        cases.push(Case { kind: Kind::Loss, loss_ppm: 10_000, ..line((40, bytes, 100.0)) });
        cases.push(Case { kind: Kind::SlowHolder, wanted: 1.2, ..line((20, bytes, 100.0)) });
    }
    cases
}
