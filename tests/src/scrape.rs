//! Scrapes of a node's metrics: over one TCP connection, as Prometheus does.
//!
//! In comes the address that the node logs; out come the values by their names, and what a histogram's [`Buckets`] say.
//! Not here: what they mean.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The buckets of a histogram, in the order of their bounds: each with how many values are not above it.
#[derive(Clone, Debug, Default)]
pub struct Buckets(Vec<(f64, f64)>);

/// The values of one scrape, each under its name and labels as they are written: `name{label="word"}`.
#[derive(Clone, Debug)]
pub struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// The values at `address` now.
    ///
    /// # Errors
    /// When the answer is not 200 with the whole text.
    pub fn fetch(address: SocketAddr) -> Result<Self> {
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
        let (head, text) = answer.split_once("\r\n\r\n").context("an answer has headers")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "metrics are not served: {head}");
        ensure!(text.ends_with("# EOF\n"), "the text of the metrics is cut off: {} bytes", text.len());
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        let values = samples.map(|(name, value)| {
            let value = value.parse().with_context(|| format!("{name} is not a number: {value}"))?;
            Ok((name.to_owned(), value))
        });
        Ok(Self(values.collect::<Result<_>>()?))
    }

    /// The values of the node with this data directory now.
    ///
    /// # Errors
    /// When it serves no metrics.
    pub fn of_node(data_dir: &Path) -> Result<Self> {
        let log = fs::read_to_string(data_dir.join("node.log"))?;
        Self::fetch(address(&log).context("the log does not say where metrics are served")?)
    }

    /// The value under this name, with whatever labels: the sum of all. Zero when nothing was counted yet.
    pub fn sum(&self, name: &str) -> f64 {
        let of = |key: &&String| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        self.0.iter().filter(|(key, _)| of(key)).map(|(_, value)| value).sum()
    }

    /// The values under this name, by their labels as they are written.
    pub fn by_labels<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.iter().filter_map(move |(key, value)| {
            let labels = key.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}')?;
            Some((labels, *value))
        })
    }

    /// The value under this name and these labels, as they are written. Zero when nothing was counted yet.
    pub fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

impl Scrape {
    /// The buckets of a histogram, of all its labels together.
    pub fn buckets(&self, name: &str) -> Buckets {
        let bound = |labels: &str| {
            let bound = labels.split(',').find_map(|label| label.strip_prefix("le=\"")?.strip_suffix('"'));
            bound.and_then(|bound| bound.parse().ok())
        };
        let name = format!("{name}_bucket");
        let all = self.by_labels(&name).filter_map(|(labels, count)| Some((bound(labels)?, count)));
        Buckets::sum(all)
    }
}

impl Buckets {
    /// Those of several nodes together.
    pub fn of_all(all: impl IntoIterator<Item = Self>) -> Self {
        Self::sum(all.into_iter().flat_map(|buckets| buckets.0))
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let less = earlier.0.iter().map(|(bound, count)| (*bound, -count));
        Self::sum(self.0.iter().copied().chain(less))
    }

    fn sum(all: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut all: Vec<(f64, f64)> = all.collect();
        all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        all.dedup_by(|(bound, more), (same, count)| {
            let is_same = bound == same;
            *count += if is_same { *more } else { 0.0 };
            is_same
        });
        Self(all)
    }

    /// How many values there are.
    pub fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// What this share of the values is not above, as if those of a bucket were spread over it evenly; the last finite
    /// bound when it is above all.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = share * self.count();
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in self.0.iter().copied().filter(|(bound, _)| bound.is_finite()) {
            if count >= rank && count > below {
                return low + (bound - low) * (rank - below) / (count - below);
            }
            (low, below) = (bound, count);
        }
        low
    }
}

/// Sends `request`, and returns all that is answered.
///
/// # Errors
/// When there is no connection, or it does not end in time.
pub fn ask(address: SocketAddr, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("the address refuses")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the answer does not end")?;
    Ok(answer)
}

/// Where a node serves metrics, by its log: the last start counts.
pub fn address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().rev().find(|line| line.contains("serving metrics at http://"))?;
    line.split("http://").nth(1)?.strip_suffix("/metrics")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_labels_and_nodes() {
        let scrape = |counts: &[(&str, f64)]| {
            let name = |labels: &str| format!("wait_seconds_bucket{{{labels}}}");
            Scrape(counts.iter().map(|(labels, count)| (name(labels), *count)).collect()).buckets("wait_seconds")
        };
        let first =
            scrape(&[("le=\"1.0\",of=\"a\"", 5.0), ("le=\"2.0\",of=\"a\"", 5.0), ("le=\"+Inf\",of=\"a\"", 5.0)]);
        let second = scrape(&[
            ("le=\"1.0\",of=\"a\"", 55.0),
            ("le=\"1.0\",of=\"b\"", 0.0),
            ("le=\"2.0\",of=\"a\"", 95.0),
            ("le=\"2.0\",of=\"b\"", 5.0),
            ("le=\"+Inf\",of=\"a\"", 100.0),
            ("le=\"+Inf\",of=\"b\"", 5.0),
        ]);
        let since = second.since(&first);
        assert_eq!((since.count(), since.quantile(0.25), since.quantile(0.5)), (100.0, 0.5, 1.0));
        assert_eq!((since.quantile(0.95), since.quantile(0.99)), (2.0, 2.0));
        let twice = Buckets::of_all([since.clone(), since]);
        assert_eq!((twice.count(), twice.quantile(0.25)), (200.0, 0.5));
        assert_eq!(Buckets::default().quantile(0.99), 0.0);
    }
}
