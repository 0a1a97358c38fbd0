//! Counts what the attacker does and what is answered, so that the test can show that the attack reached the nodes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ostrakon_proto::wire::{Frame, RefusalCode};
use ostrakon_tests::attack::AttackReport;

/// The one tally of the process.
pub(crate) static TALLY: Tally = Tally {
    sockets: AtomicU64::new(0),
    handshakes: AtomicU64::new(0),
    failed: AtomicU64::new(0),
    ended: AtomicU64::new(0),
    requests: AtomicU64::new(0),
    answered: AtomicU64::new(0),
    busy: AtomicU64::new(0),
    refused: AtomicU64::new(0),
    bytes: AtomicU64::new(0),
    clients: AtomicU64::new(0),
};

/// What was counted so far.
#[derive(Debug)]
pub(crate) struct Tally {
    sockets: AtomicU64,
    handshakes: AtomicU64,
    failed: AtomicU64,
    ended: AtomicU64,
    requests: AtomicU64,
    answered: AtomicU64,
    busy: AtomicU64,
    refused: AtomicU64,
    bytes: AtomicU64,
    clients: AtomicU64,
}

/// What the node makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Granted,
    Busy,
    /// For any other reason.
    Refused,
}

/// The verdict that an answer is.
pub(crate) fn verdict(answer: &Frame) -> Verdict {
    match answer.head.as_ref() {
        [1, ..] => Verdict::Granted,
        [0, code, ..] if *code == RefusalCode::Busy as u8 => Verdict::Busy,
        _ => Verdict::Refused,
    }
}

impl Tally {
    pub(crate) fn connected(&self) {
        self.sockets.fetch_add(1, Relaxed);
    }

    pub(crate) fn shook_hands(&self) {
        self.handshakes.fetch_add(1, Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    pub(crate) fn requested(&self, count: u64) {
        self.requests.fetch_add(count, Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }

    /// A waiting client was answered for the first time.
    pub(crate) fn served(&self) {
        self.clients.fetch_add(1, Relaxed);
    }

    pub(crate) fn answered(&self, answer: &Frame) {
        let counter = match verdict(answer) {
            Verdict::Granted => &self.answered,
            Verdict::Busy => &self.busy,
            Verdict::Refused => &self.refused,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn report(&self) -> AttackReport {
        let [sockets, handshakes, failed, ended, requests] =
            [&self.sockets, &self.handshakes, &self.failed, &self.ended, &self.requests]
                .map(|counter| counter.load(Relaxed));
        let [answered, busy, refused, bytes, clients] =
            [&self.answered, &self.busy, &self.refused, &self.bytes, &self.clients]
                .map(|counter| counter.load(Relaxed));
        AttackReport { sockets, handshakes, failed, ended, requests, answered, busy, refused, bytes, clients }
    }
}
