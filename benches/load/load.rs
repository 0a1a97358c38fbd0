//! Submits: as much as a network takes, or so much a second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use ostrakon_benches::float;
use ostrakon_proto::wire::RefusalCode;
use ostrakon_tests::interrupt;
use tokio::{
    sync::mpsc::Receiver,
    task::JoinSet,
    time::{sleep, sleep_until},
};

use crate::{
    book::{Book, Seen},
    network::Network,
    wallet::{Batch, Order, Wallet},
};

/// How long to wait for a node that is busy.
const BUSY: Duration = Duration::from_millis(20);
/// Requests in flight to all nodes together.
const CONCURRENT: usize = 32;

/// How much is submitted, and where.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Nodes that are submitted to; the first is followed.
    pub(crate) nodes: Vec<usize>,
    /// Transfers of one request.
    pub(crate) batch: usize,
    /// Transfers at most.
    pub(crate) count: u64,
    /// No longer than this.
    pub(crate) time: Duration,
    /// When the next is sent.
    pub(crate) pace: Pace,
}

/// When the next request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// When fewer than so many transfers are in flight.
    Window(usize),
    /// So that this many are sent a second, whether or not they are included.
    Rate(f64),
}

/// The result of a load.
#[derive(Debug)]
pub(crate) struct Done {
    /// When it began.
    pub(crate) began: Instant,
    /// The blocks since.
    pub(crate) blocks: Vec<Seen>,
}

impl Load {
    /// Submits it, and waits until a block has each transfer. The wallet comes back.
    ///
    /// # Errors
    /// When a node refuses one, or none comes for long.
    pub(crate) async fn run(&self, network: &Network, wallet: Wallet) -> Result<(Wallet, Done)> {
        let (book, sent) = (Book::default(), AtomicBool::new(false));
        let from = network.head(self.nodes[0]).await?.height.next();
        let over = |book: &Book| {
            let (all, done) = book.counts();
            sent.load(Ordering::Relaxed) && done == all
        };
        let enough = Arc::new(AtomicBool::new(false));
        let order = Order { batch: self.batch, count: self.count, enough: Arc::clone(&enough) };
        let (batches, signer) = wallet.sign(order)?;
        let began = Instant::now();
        let sending = async {
            self.send(network, batches, &book, &enough).await?;
            sent.store(true, Ordering::Relaxed);
            Ok(())
        };
        tokio::try_join!(sending, book.follow(network, self.nodes[0], from, over))?;
        let wallet = signer.join().ok().context("the signer panicked")?;
        Ok((wallet, Done { began, blocks: book.blocks() }))
    }

    async fn send(
        &self,
        network: &Network,
        mut batches: Receiver<Batch>,
        book: &Book,
        enough: &AtomicBool,
    ) -> Result<()> {
        let (began, mut number, mut in_flight) = (Instant::now(), 0, JoinSet::new());
        while let Some(batch) = batches.recv().await {
            interrupt::check()?;
            if began.elapsed() >= self.time {
                // What is signed by now is still sent: a nonce that is missing would stop its account.
                enough.store(true, Ordering::Relaxed);
            }
            while in_flight.len() >= CONCURRENT
                && let Some(done) = in_flight.join_next().await
            {
                done??;
            }
            let at = match self.pace {
                Pace::Window(window) => {
                    book.room(window).await;
                    Instant::now()
                }
                Pace::Rate(rate) => {
                    let at = began + Duration::from_secs_f64(f64::from(number) / rate);
                    sleep_until(at.into()).await;
                    at
                }
            };
            number += u32::try_from(batch.ids.len())?;
            book.send(&batch.ids, at);
            let (network, node) = (network.clone(), self.nodes[batch.turn % self.nodes.len()]);
            in_flight.spawn(async move { submit(&network, node, &batch).await });
        }
        while let Some(done) = in_flight.join_next().await {
            done??;
        }
        Ok(())
    }
}

/// Submits a batch to node `index`, again and again while it is busy.
///
/// # Errors
/// When it refuses one for another reason.
pub(crate) async fn submit(network: &Network, index: usize, batch: &Batch) -> Result<()> {
    loop {
        let verdicts = network.ask(index, batch.submission.clone()).await?;
        let mut refused = verdicts.into_iter().filter_map(Result::err).peekable();
        if refused.peek().is_none() {
            return Ok(());
        }
        if let Some(refusal) = refused.find(|refusal| refusal.code != RefusalCode::Busy) {
            bail!("node {index} refuses: {refusal}");
        }
        interrupt::check()?;
        sleep(BUSY).await;
    }
}

impl Done {
    /// Seconds from the start until so many were done.
    pub(crate) fn seconds_until(&self, count: usize) -> Option<f64> {
        let mut done = 0;
        let block = self.blocks.iter().find(|block| {
            done += block.latencies.len();
            done >= count
        });
        block.map(|block| block.at.duration_since(self.began).as_secs_f64())
    }

    /// Those of the blocks that were seen between these times after the start.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Seen> {
        let window = self.began + from..self.began + to;
        self.blocks.iter().filter(move |block| window.contains(&block.at))
    }

    /// Of a hundred blocks, how many took more than one round.
    pub(crate) fn late_percent(&self) -> Option<f64> {
        let late = self.blocks.iter().filter(|block| block.round > 0).count();
        let [late, all] = [late, self.blocks.len()].map(|count| u64::try_from(count).map_or(0.0, float));
        (all > 0.0).then(|| late / all * 100.0)
    }

    /// The longest time without a block, in seconds.
    pub(crate) fn longest_interval(&self) -> Option<f64> {
        let intervals = self.blocks.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).as_secs_f64());
        intervals.max_by(f64::total_cmp)
    }
}
