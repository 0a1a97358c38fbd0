//! Users who pay each other all the time, and record what was acknowledged.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result, ensure};
use ostrakon::{Client, Error, ErrorKind, Included};
use ostrakon_proto::id::{AccountId, Amount, Height};
use ostrakon_tests::validators::{Validators, audit::History};
use tokio::task::JoinHandle;

/// Payments in flight.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<Included>>>,
    payers: Vec<JoinHandle<Result<usize, Error>>>,
}

/// The result of the payments.
pub(crate) struct Paid {
    /// Those that were acknowledged.
    pub(crate) acknowledged: Vec<Included>,
    /// Those that failed, as they may: whether they happened is open.
    pub(crate) failed: usize,
}

impl Load {
    /// One payer for each account of the network, who pays the next one.
    pub(crate) fn start(network: &Validators, accounts: usize) -> Result<Self> {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Included>>>::default());
        let mut payers = Vec::new();
        for number in 0..accounts {
            let client = network.client(number);
            let to = network.client((number + 1) % accounts).account().context("an account")?;
            let paying = pay(client, to, Arc::clone(&stop), Arc::clone(&acknowledged));
            payers.push(network.runtime().spawn(paying));
        }
        Ok(Self { stop, acknowledged, payers })
    }

    /// How many payments were acknowledged so far.
    pub(crate) fn count(&self) -> usize {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Ends it, after the payments in flight.
    pub(crate) fn end(self, network: &Validators) -> Result<Paid> {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = 0;
        for payer in self.payers {
            failed += network.runtime().block_on(payer).context("a payer never panics")??;
        }
        let acknowledged = std::mem::take(&mut *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Paid { acknowledged, failed })
    }
}

async fn pay(
    client: Client,
    to: AccountId,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<Included>>>,
) -> Result<usize, Error> {
    let mut failed = 0;
    while !stop.load(Ordering::Relaxed) {
        match client.transfer(to, Amount(1_000)).await {
            Ok(included) => acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(included),
            Err(error) if error.kind() == ErrorKind::Network || error.is_retryable() => failed += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(failed)
}

impl Paid {
    /// Each acknowledged payment is in the one block that it was said to be in.
    pub(crate) fn check(&self, history: &History) -> Result<()> {
        for Included { tx, height } in &self.acknowledged {
            let blocks: &[Height] = history.applied.get(tx).map_or(&[], Vec::as_slice);
            ensure!(blocks == [*height], "{tx} was acknowledged in block {height}, and is in {blocks:?}");
        }
        let twice = history.applied.iter().find(|(_, blocks)| blocks.len() > 1);
        ensure!(twice.is_none(), "a transaction is in two blocks: {twice:?}");
        Ok(())
    }
}
