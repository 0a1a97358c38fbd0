//! Scrapes of a node's metrics: over one TCP connection, as Prometheus does.
//!
//! In comes the address that the node logs; out come the values by their names. Not here: what they mean.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The values of one scrape, each under its name and labels as they are written: `name{label="word"}`.
#[derive(Clone, Debug)]
pub struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// The values at `address` now.
    ///
    /// # Errors
    /// When the answer is not 200 with the whole text.
    pub fn fetch(address: SocketAddr) -> Result<Self> {
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n")?;
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

/// Sends `request`, and returns all that is answered.
///
/// # Errors
/// When there is no connection, or it does not end in time.
pub fn ask(address: SocketAddr, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("the metrics' address refuses")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the answer with the metrics does not end")?;
    Ok(answer)
}

/// Where a node serves metrics, by its log: the last start counts.
pub fn address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().rev().find(|line| line.contains("serving metrics at http://"))?;
    line.split("http://").nth(1)?.strip_suffix("/metrics")?.parse().ok()
}
