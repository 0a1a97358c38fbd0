//! Clients by the dozen: each a task with a connection of its own, which makes its next request when the last one is
//! answered. In come a bucket and how many clients for how long; out comes what they got done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use ostrakon_benches::{figures::percentile, float, noise};
use ostrakon_tests::interrupt;
use tokio::task::JoinSet;

use crate::{
    http::Body,
    s3::{Session, Target},
};

/// Bytes of an object.
pub(crate) const SIZE: usize = 4096;

/// How many clients, for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) clients: usize,
    pub(crate) time: Duration,
}

/// What clients got done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// Objects of each client, in the order of their numbers.
    pub(crate) counts: Vec<u64>,
    /// Requests a second, of all clients together.
    pub(crate) rate: f64,
    /// How long each request took, in seconds.
    pub(crate) latencies: Vec<f64>,
}

/// When each of a client's requests was answered, and how long it took.
type Answers = Vec<(Instant, f64)>;

impl Done {
    /// All requests.
    pub(crate) fn all(&self) -> f64 {
        float(self.counts.iter().sum())
    }

    /// The latency in the middle.
    pub(crate) fn median(&self) -> Option<f64> {
        percentile(&mut self.latencies.clone(), 50)
    }

    fn add(&mut self, answers: &[(Instant, f64)]) {
        self.counts.push(u64::try_from(answers.len()).unwrap_or(u64::MAX));
        self.latencies.extend(answers.iter().map(|(_, took)| took));
        // From an answer to an answer, so that it does not matter what the time cuts off.
        if let ([(first, _), .., (last, _)], Some(between)) = (answers, self.counts.last()) {
            self.rate += float(between - 1) / last.duration_since(*first).as_secs_f64();
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug)]
struct Work {
    /// How the keys begin.
    name: Arc<str>,
    /// How many objects each client of an earlier crowd has put, which are got; `None` to put new ones.
    put: Option<Arc<Vec<u64>>>,
    /// An object's bytes, but for the key at its beginning.
    noise: Arc<Vec<u8>>,
}

impl Crowd {
    /// Puts small objects, each under a key of its own that begins with `name`.
    pub(crate) async fn put(self, target: &Target, name: &str) -> Result<Done> {
        self.run(target, Work::new(name, None)).await
    }

    /// Gets objects at random that were put so.
    pub(crate) async fn get(self, target: &Target, name: &str, put: &Done) -> Result<Done> {
        ensure!(put.counts.iter().any(|count| *count > 0), "nothing was put that could be got");
        self.run(target, Work::new(name, Some(put.counts.clone()))).await
    }

    /// Has each client make requests until the time is over.
    async fn run(self, target: &Target, work: Work) -> Result<Done> {
        let mut clients = JoinSet::new();
        for client in 0..self.clients {
            clients.spawn(work.clone().of_one(client, target.session().await?, self.time));
        }
        let mut all = Vec::new();
        while let Some(ended) = clients.join_next().await {
            all.push(ended.context("a client never panics")??);
        }
        all.sort_by_key(|(client, _)| *client);
        let mut done = Done::default();
        all.iter().for_each(|(_, answers)| done.add(answers));
        Ok(done)
    }
}

impl Work {
    fn new(name: &str, put: Option<Vec<u64>>) -> Self {
        Self { name: name.into(), put: put.map(Arc::new), noise: Arc::new(noise(SIZE)) }
    }

    /// The requests of one client, one after the other.
    async fn of_one(self, client: usize, mut session: Session, time: Duration) -> Result<(usize, Answers)> {
        let (mut answers, until, mut rng) = (Answers::new(), Instant::now() + time, SeededRng::new(client));
        while Instant::now() < until {
            interrupt::check()?;
            let (number, began) = (u64::try_from(answers.len())?, Instant::now());
            match &self.put {
                None => {
                    let key = self.key(client, number);
                    session.put(&key, Body::of(&self.object(&key))).await?;
                }
                Some(counts) => {
                    let key = self.any(counts, &mut rng);
                    let same = session.get(&key).await? == self.object(&key);
                    ensure!(same, "WRONG BYTES: what was got of {key} is not what was put");
                }
            }
            answers.push((Instant::now(), began.elapsed().as_secs_f64()));
        }
        Ok((client, answers))
    }

    fn key(&self, client: usize, number: u64) -> String {
        format!("{}/{client:03}/{number:06}", self.name)
    }

    /// A key that was put.
    fn any(&self, counts: &[u64], rng: &mut SeededRng) -> String {
        loop {
            let client = usize::try_from(rng.below(u64::try_from(counts.len()).unwrap_or(1))).unwrap_or(0);
            if let Some(count) = counts.get(client).filter(|count| **count > 0) {
                return self.key(client, rng.below(*count));
            }
        }
    }

    /// The bytes of the object with this key.
    fn object(&self, key: &str) -> Vec<u8> {
        let mut bytes = self.noise.to_vec();
        bytes[..key.len()].copy_from_slice(key.as_bytes());
        bytes
    }
}

/// Pseudo-random numbers, the same in every run.
#[derive(Debug)]
pub(crate) struct SeededRng(u64);

impl SeededRng {
    /// Those with this number.
    pub(crate) fn new(which: usize) -> Self {
        let which = u64::try_from(which).unwrap_or(u64::MAX);
        Self(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(which.saturating_add(1)) | 1)
    }

    /// One below a bound, which is positive.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_from_answer_to_answer() {
        let begun = Instant::now();
        let at = |seconds: u64| (begun + Duration::from_secs(seconds), 0.5);
        let mut done = Done::default();
        done.add(&[at(10), at(12), at(14)]);
        assert_eq!((done.rate, done.all(), done.median()), (0.5, 3.0, Some(0.5)));
        done.add(&[at(3), at(4)]);
        done.add(&[at(9)]);
        assert_eq!((done.rate, done.all()), (1.5, 6.0), "one answer says nothing of a rate");
    }

    #[test]
    fn only_what_was_put_is_got() {
        let (work, mut rng) = (Work::new("a", None), SeededRng::new(0));
        let keys: std::collections::BTreeSet<String> = (0..200).map(|_| work.any(&[0, 2, 0, 1], &mut rng)).collect();
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["a/001/000000", "a/001/000001", "a/003/000000"]);
        assert!(work.object("a/001/000000").starts_with(b"a/001/000000") && work.object("a").len() == SIZE);
    }
}
