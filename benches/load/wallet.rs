//! Accounts with money, and transfers signed by them.
//!
//! All accounts take turns, so that those of one batch do not wait for each other, and an account always submits to the
//! same node, so that its transactions come in the order of their nonces.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use ostrakon_proto::{
    id::{AccountId, Amount, Height, TxId},
    ledger::{
        Rules,
        tx::{Action, Transfer, Tx, TxBody},
    },
    sign::Keypair,
    wire::{
        Call, Refusal,
        chain::{self, Relayed},
    },
};
use tokio::sync::mpsc;

use crate::{book::Book, load, network::Network};

/// Accounts that one account funds together: as many transactions as a node lets it have waiting.
const FAN: usize = 64;
/// What each account gets, in obols: enough for all that it may pay here.
const FUNDS: u64 = 1_000;
/// Blocks that transfers are valid for: longer than anything takes here.
const VALID_BLOCKS: u64 = 50_000;
/// How many times the least fee is paid: as much as a rush of some blocks may make of it.
const GENEROUS: u64 = 4;
/// What each transfer pays: enough for an account to begin.
const PAID: Amount = Amount(1_000);
/// Signed batches that wait to be sent.
const AHEAD: usize = 64;

/// Accounts that pay.
#[derive(Debug)]
pub(crate) struct Wallet {
    rules: Rules,
    keys: Vec<Keypair>,
    /// The first nonce of each: an account that is paid begins with one of that block's height.
    first: Vec<u64>,
    /// How many transfers were signed: the account of the next is this one in turn.
    signed: u64,
    valid_until: Height,
    payees: Payees,
}

/// Whom to pay.
#[derive(Clone, Copy, Debug)]
struct Payees {
    count: u32,
    state: u64,
}

/// Transactions that are submitted together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// In which order it comes, among those of all accounts' one turn.
    pub(crate) turn: usize,
    /// The request, encoded once.
    pub(crate) submission: Call<Vec<Result<(), Refusal>>>,
    /// Their names.
    pub(crate) ids: Vec<TxId>,
}

/// How much is signed.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Transfers of one batch; all accounts' number is a multiple of it.
    pub(crate) batch: usize,
    /// Transfers at most.
    pub(crate) count: u64,
    /// Raised when no more are needed.
    pub(crate) enough: Arc<AtomicBool>,
}

impl Payees {
    /// One of them; all come about equally often.
    fn next(&mut self) -> AccountId {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let number = self.state % u64::from(self.count);
        AccountId::new(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }
}

impl Wallet {
    /// Accounts that do not pay: all have their money yet.
    ///
    /// # Errors
    /// When the network does not take the transfers that fund them.
    pub(crate) async fn fund(network: &Network, payees: u32) -> Result<Self> {
        let valid_until = Height(network.head(0).await?.height.0 + VALID_BLOCKS);
        let key = |number: usize| Keypair::from_seed(blake3::hash(&number.to_le_bytes()).as_bytes());
        let middlemen: Vec<Keypair> = (FAN * FAN..FAN * FAN + FAN).map(key).collect();
        let keys: Vec<Keypair> = (0..FAN * FAN).map(key).collect();
        let state = 0x9e37_79b9_7f4a_7c15;
        let mut wallet = Self {
            rules: network.rules().clone(),
            first: Vec::new(),
            keys,
            signed: 0,
            valid_until,
            payees: Payees { count: payees, state },
        };
        let funds = |share: usize| {
            let share = u64::try_from(share).ok().and_then(|share| share.checked_mul(FUNDS));
            share.and_then(Amount::obols).context("money that fits")
        };
        let first = wallet.payments(network.treasurer(), 0, &middlemen, funds(FAN + 1)?);
        wallet.deliver(network, vec![first]).await?;
        let begun = nonces(network, &middlemen).await?;
        let rest = middlemen.iter().zip(begun).zip(wallet.keys.chunks(FAN));
        let amount = funds(1)?;
        let rest = rest.map(|((from, nonce), to)| wallet.payments(from, nonce, to, amount)).collect();
        wallet.deliver(network, rest).await?;
        wallet.first = nonces(network, &wallet.keys).await?;
        Ok(wallet)
    }

    /// Pays each of `to` once, from an account with this nonce.
    fn payments(&self, from: &Keypair, nonce: u64, to: &[Keypair], amount: Amount) -> Batch {
        let txs =
            to.iter().zip(nonce..).map(|(to, nonce)| self.transfer(from, nonce, Transfer { to: to.public(), amount }));
        Batch::new(0, &txs.collect::<Vec<_>>())
    }

    async fn deliver(&self, network: &Network, batches: Vec<Batch>) -> Result<()> {
        let (book, from) = (Book::default(), network.head(0).await?.height.next());
        for batch in batches {
            book.send(&batch.ids, Instant::now());
            load::submit(network, 0, &batch).await?;
        }
        let all_done = |book: &Book| {
            let (sent, done) = book.counts();
            done == sent
        };
        book.follow(network, 0, from, all_done).await
    }

    fn transfer(&self, from: &Keypair, nonce: u64, transfer: Transfer) -> Tx {
        let action = Action::Transfer(transfer);
        let mut body =
            TxBody { account: from.public(), nonce, valid_until: self.valid_until, salt: 0, fee: Amount::ZERO, action };
        body.fee = Amount(self.rules.fee(&body).0 * GENEROUS);
        Tx::sign(body, from, &self.rules.chain)
    }

    /// Signs as ordered, on a thread of its own; the wallet comes back when it is done.
    ///
    /// # Errors
    /// When no thread is had.
    pub(crate) fn sign(mut self, order: Order) -> Result<(mpsc::Receiver<Batch>, JoinHandle<Self>)> {
        ensure!(self.keys.len().is_multiple_of(order.batch), "all accounts' number is a multiple of a batch");
        let (out, batches) = mpsc::channel(AHEAD);
        let thread = std::thread::Builder::new().name("signer".to_owned());
        let signing = move || {
            let mut left = order.count;
            while left > 0 && !order.enough.load(Ordering::Relaxed) {
                let batch = self.next(order.batch);
                left = left.saturating_sub(u64::try_from(batch.ids.len()).unwrap_or(u64::MAX));
                if out.blocking_send(batch).is_err() {
                    break;
                }
            }
            self
        };
        Ok((batches, thread.spawn(signing).context("no thread to sign on")?))
    }

    fn next(&mut self, size: usize) -> Batch {
        let accounts = u64::try_from(self.keys.len()).expect("a count fits");
        let (turn, first) = (self.signed / accounts, usize::try_from(self.signed % accounts).expect("an index fits"));
        let to: Vec<AccountId> = (0..size).map(|_| self.payees.next()).collect();
        let from = self.keys[first..first + size].iter().zip(&self.first[first..first + size]);
        let txs =
            from.zip(to).map(|((from, begun), to)| self.transfer(from, begun + turn, Transfer { to, amount: PAID }));
        let batch = Batch::new(first / size, &txs.collect::<Vec<_>>());
        self.signed += u64::try_from(size).expect("a count fits");
        batch
    }

    /// Asks node 0 for every account, and checks that each transfer of each was done, and done once. Gives the number
    /// of accounts.
    ///
    /// # Errors
    /// When one was not.
    pub(crate) async fn check(&self, network: &Network) -> Result<usize> {
        let nonces = nonces(network, &self.keys).await?;
        let sum: u64 = nonces.iter().zip(&self.first).map(|(nonce, first)| nonce - first).sum();
        ensure!(sum == self.signed, "LOST: {} transfers were submitted, {sum} were done", self.signed);
        Ok(self.keys.len())
    }
}

/// The next nonces of these accounts, any number of them.
async fn nonces(network: &Network, keys: &[Keypair]) -> Result<Vec<u64>> {
    let mut all = Vec::with_capacity(keys.len());
    for some in keys.chunks(FAN) {
        let ids: Vec<AccountId> = some.iter().map(Keypair::public).collect();
        all.extend(network.accounts(0, &ids).await?.iter().map(|account| account.nonce));
    }
    Ok(all)
}

impl Batch {
    fn new(turn: usize, txs: &[Tx]) -> Self {
        Self { turn, submission: chain::submit(txs.iter(), Relayed::No), ids: txs.iter().map(Tx::id).collect() }
    }
}
