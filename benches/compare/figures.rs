//! What was measured: samples of every operation on every system, and their medians, a row each.

use std::collections::BTreeMap;

use ostrakon_benches::{against::median, float, run::Cost};
use serde::Serialize;

use crate::system::Which;

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Operation {
    /// A file is added.
    Add,
    /// It is fetched.
    Get,
    /// It is fetched when as many of its holders are dead as the system survives.
    GetAfterLosses,
    /// It is fetched only until its first byte is there.
    FirstByte,
    /// 1 MiB from its middle is fetched.
    Range,
    /// A directory of small files is added.
    AddDirectory,
    /// It is fetched.
    GetDirectory,
}

impl Operation {
    /// Whether the object passes as a whole, so that costs for each of its bytes mean something.
    fn is_whole(self) -> bool {
        !matches!(self, Self::FirstByte | Self::Range)
    }
}

/// What was done, with what. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// On which system.
    pub(crate) system: Which,
    /// Bytes of the file, or of all files of the directory.
    pub(crate) object_bytes: u64,
    /// What was done.
    pub(crate) operation: Operation,
}

/// What one time of it showed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// How long it took.
    pub(crate) seconds: f64,
    /// CPU time of all processes.
    pub(crate) cpu_seconds: Option<f64>,
    /// The most memory that all processes had together.
    pub(crate) peak_bytes: Option<u64>,
    /// By how much the stores grew.
    pub(crate) stored_bytes: Option<u64>,
    /// What the network sent.
    pub(crate) fetched_bytes: Option<u64>,
}

impl From<Cost> for Sample {
    fn from(Cost { seconds, cpu_seconds, peak_bytes }: Cost) -> Self {
        Self { seconds, cpu_seconds: Some(cpu_seconds), peak_bytes: Some(peak_bytes), ..Self::default() }
    }
}

/// All samples.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<Key, Vec<Sample>>);

/// Medians of one operation on one system.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// On which system.
    pub(crate) system: Which,
    /// What was done.
    pub(crate) operation: Operation,
    /// Bytes of the file, or of all files of the directory.
    pub(crate) object_bytes: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// CPU time of all processes.
    pub(crate) cpu_seconds: Option<f64>,
    /// The same for each 10^9 bytes of the object.
    pub(crate) cpu_seconds_per_gb: Option<f64>,
    /// The most memory that all processes had together.
    pub(crate) peak_bytes: Option<f64>,
    /// By how much the stores grew, for each byte of the object.
    pub(crate) stored_per_byte: Option<f64>,
    /// What the network sent.
    pub(crate) fetched_bytes: Option<f64>,
    /// How many holders were dead, of how many.
    pub(crate) lost: Option<&'static str>,
}

impl Figures {
    /// Keeps a sample.
    pub(crate) fn add(&mut self, key: Key, sample: Sample) {
        self.0.entry(key).or_default().push(sample);
    }

    /// The medians of everything.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.0.iter().map(|(key, samples)| row(*key, samples)).collect()
    }
}

fn row(Key { system, object_bytes, operation }: Key, samples: &[Sample]) -> Row {
    let of = |value: &dyn Fn(&Sample) -> Option<f64>| median(&samples.iter().filter_map(value).collect::<Vec<_>>());
    let cpu_seconds = of(&|sample| sample.cpu_seconds);
    let per_byte = |value: f64| value / float(object_bytes).max(1.0);
    Row {
        system,
        operation,
        object_bytes,
        seconds: of(&|sample| Some(sample.seconds)).unwrap_or(f64::NAN),
        cpu_seconds,
        cpu_seconds_per_gb: cpu_seconds.filter(|_| operation.is_whole()).map(|seconds| per_byte(seconds) * 1e9),
        peak_bytes: of(&|sample| sample.peak_bytes.map(float)),
        stored_per_byte: of(&|sample| sample.stored_bytes.map(float)).map(per_byte),
        fetched_bytes: of(&|sample| sample.fetched_bytes.map(float)),
        lost: (operation == Operation::GetAfterLosses).then(|| system.losses()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_what_its_samples_have() {
        let mut figures = Figures::default();
        let key = |operation| Key { system: Which::Ostrakon12, object_bytes: 500_000_000, operation };
        for (seconds, stored) in [(1.0, 1_500_000_000), (3.0, 1_600_000_000), (2.0, 1_550_000_000)] {
            let sample = Sample { seconds, cpu_seconds: Some(seconds * 2.0), ..Sample::default() };
            figures.add(key(Operation::Add), Sample { stored_bytes: Some(stored), ..sample });
            figures.add(key(Operation::Range), sample);
        }
        let [add, range] = &figures.rows()[..] else { panic!("two rows") };
        assert_eq!((add.seconds, add.cpu_seconds, add.cpu_seconds_per_gb), (2.0, Some(4.0), Some(8.0)));
        assert_eq!((add.stored_per_byte, add.peak_bytes, add.lost), (Some(3.1), None, None));
        assert_eq!((range.cpu_seconds, range.cpu_seconds_per_gb), (Some(4.0), None));
    }
}
