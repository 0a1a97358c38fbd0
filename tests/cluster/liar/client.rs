//! Clients among honest nodes and one that lies: each gets what is true, and names the node that lied.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use ostrakon::{ChainError, Client, ColumnCheck, Event, Events, Included, ProviderFault};
use ostrakon_proto::{
    id::{AccountId, Amount, NodeId, ObjectId, TxId},
    ledger::{repair::TicketPlace, state::first_nonce},
    link::Link,
    params::Params,
};

use super::{Network, named};

/// What is asked where a lie is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// Everything that the ledger can be asked.
    Ledger,
    /// That it takes a payment.
    Pay,
    /// An object back.
    Fetch,
    /// That an object is kept.
    Store,
}

/// What a client knows of the liar afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// That it lies: it is asked no more.
    Liar,
    /// That its claim was contradicted, or that it had no answer where others had: it may have been behind.
    Doubt,
    /// That it sent wrong bytes, or did not do what it should with those it was sent.
    Holder,
}

use Ask::{Fetch, Ledger, Pay, Store};
use Found::{Doubt, Holder, Liar};

/// The lies that clients can be told.
const CASES: [(&str, Ask, Found); 56] = [
    ("header-altered", Ledger, Liar),
    ("unsigned", Ledger, Liar),
    ("too-few-signatures", Ledger, Liar),
    ("certificate-of-another-block", Ledger, Liar),
    ("decided-by-strangers", Ledger, Liar),
    ("decided-by-usurpers", Ledger, Liar),
    ("old-as-new", Ledger, Doubt),
    ("garbage", Ledger, Liar),
    ("other-kind-of-answer", Ledger, Liar),
    ("withheld", Ledger, Doubt),
    ("richer", Ledger, Liar),
    ("nonce-ahead", Ledger, Liar),
    ("fees-altered", Ledger, Liar),
    ("epoch-altered", Ledger, Liar),
    ("hidden", Ledger, Liar),
    ("invented", Ledger, Liar),
    ("record-of-another-key", Ledger, Liar),
    ("fewer-records", Ledger, Liar),
    ("no-such-transaction", Ledger, Doubt),
    ("said-to-have-failed", Ledger, Liar),
    ("at-another-place", Ledger, Liar),
    ("in-another-block", Ledger, Liar),
    ("block-without-transaction", Ledger, Liar),
    ("block-with-transaction-failed", Ledger, Liar),
    ("block-of-other-proofs", Ledger, Liar),
    ("block-of-another-time", Ledger, Liar),
    ("block-of-another-height", Ledger, Liar),
    ("handover-to-strangers", Ledger, Liar),
    ("handover-altered", Ledger, Liar),
    ("handovers-withheld", Ledger, Liar),
    ("provider-left-out", Ledger, Doubt),
    ("provider-invented", Ledger, Doubt),
    ("providers-all-hidden", Ledger, Doubt),
    ("providers-in-circles", Ledger, Liar),
    ("ticket-of-no-code", Ledger, Liar),
    ("tickets-in-circles", Ledger, Liar),
    ("fault-invented", Ledger, Doubt),
    ("faults-in-circles", Ledger, Liar),
    ("payment-altered", Ledger, Liar),
    ("others-as-own", Ledger, Liar),
    ("older-transaction-left-out", Ledger, Liar),
    ("own-transaction-left-out", Ledger, Liar),
    ("payment-left-out", Ledger, Liar),
    ("oldest-first", Ledger, Liar),
    ("weights-altered", Ledger, Liar),
    ("nobody-to-draw", Ledger, Liar),
    ("taken-and-dropped", Pay, Doubt),
    ("called-invalid", Pay, Doubt),
    ("one-verdict-too-few", Pay, Liar),
    ("bytes-altered", Fetch, Holder),
    ("bytes-cut", Fetch, Holder),
    ("bytes-with-another-proof", Fetch, Holder),
    ("manifest-altered", Fetch, Holder),
    ("all-is-here-already", Store, Holder),
    ("more-came-than-was-sent", Store, Holder),
    ("receipt-forged", Store, Holder),
];
/// As many clients are asked for one who finds it out: each first asks the node that was the last to answer.
const CLIENTS: usize = 40;
/// More transactions than an account has here.
const ALL: usize = 1_000;
/// What is paid each time.
const PAID: Amount = Amount(5_000);
/// How often a payment is repeated that was overtaken.
const REPEATS: usize = 10;
/// How often an add is tried until the liar is drawn.
const DRAWS: usize = 30;

/// What is true.
struct Truth {
    payee: AccountId,
    balance: Amount,
    paid: Included,
    payments: Vec<TxId>,
    params: Params,
    providers: BTreeSet<NodeId>,
    link: Link,
    bytes: Vec<u8>,
}

/// The names of the lies that are tried here.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, ..)| *name)
}

/// Tries them all; how many.
pub(super) fn run(network: &Network) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(async {
        let mut truth = Truth::learn(network).await?;
        for (name, ask, found) in CASES {
            let tried = one(network, &mut truth, (name, ask, found)).await;
            tried.with_context(|| format!("while the node {} tells the lie {name:?}", network.liar_id()))?;
        }
        network.lie(None)?;
        Ok(names().count())
    }))
}

/// Clients that begin with the liar get what is true, and one of them at least knows the liar: where others were
/// quicker, its answer is not looked at.
async fn one(network: &Network, truth: &mut Truth, (name, ask, found): (&str, Ask, Found)) -> Result<()> {
    let lie = named(name);
    let mut last = String::new();
    for _ in 0..CLIENTS {
        let client = network.client().await?;
        network.lie(Some(lie))?;
        let held_against = truth.ask(ask, network, &client).await?;
        network.lie(None)?;
        let (liars, doubts) = (client.chain().invalid_proofs(), client.chain().contradicted());
        last = format!("liars {liars:?}, doubts {doubts:?}, holders that failed {held_against:?}");
        let only = |nodes: Vec<&NodeId>| nodes.iter().all(|node| **node == network.liar);
        ensure!(only(liars.keys().chain(&held_against).collect()), "an honest node is accused: {last}");
        let is = match found {
            Liar => liars.contains_key(&network.liar),
            Doubt => doubts.contains_key(&network.liar),
            Holder => held_against.contains(&network.liar),
        };
        if is && network.times_told(lie) > 0 {
            return Ok(());
        }
    }
    bail!("told {} times; {found:?} was expected, and there is {last}", network.times_told(lie))
}

impl Truth {
    /// Makes something to ask about, while the liar is honest.
    async fn learn(network: &Network) -> Result<Self> {
        let client = network.client().await?;
        let payee = AccountId::new([9; 32]);
        // The liar remembers this as what it can say when it is over.
        ensure!(client.chain().account(payee).await?.balance == Amount::ZERO, "nobody has paid yet");
        let paid = client.transfer(payee, PAID).await?;
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
        let mut link = None;
        for _ in 0..DRAWS {
            let added = client.add_bytes(bytes.clone()).await?;
            if added.slots.iter().any(|slot| slot.provider == network.liar) {
                link = Some(added.link);
                break;
            }
        }
        Ok(Self {
            payee,
            balance: PAID,
            paid,
            payments: vec![paid.tx],
            params: network.genesis.params.clone(),
            providers: network.genesis.providers.iter().map(|provider| provider.node).collect(),
            link: link.context("the liar was never drawn")?,
            bytes,
        })
    }

    /// Asks this; gives the holders that failed.
    async fn ask(&mut self, ask: Ask, network: &Network, client: &Client) -> Result<Vec<NodeId>> {
        match ask {
            Ledger => self.holds(client).await?,
            Pay => self.pay(client).await?,
            Fetch => return self.fetch(client).await,
            Store => return self.store(network, client).await,
        }
        Ok(Vec::new())
    }

    /// Asks all of it.
    async fn holds(&self, client: &Client) -> Result<()> {
        let chain = client.chain();
        chain.head().await?;
        ensure!(chain.rules().params == self.params, "other rules: {:?}", chain.rules().params);
        let account = chain.account(self.payee).await?;
        let nonce = first_nonce(account.since);
        ensure!((account.balance, account.nonce) == (self.balance, nonce), "another account: {account:?}");
        ensure!(chain.account(AccountId::new([8; 32])).await?.balance == Amount::ZERO, "an account of nobody");
        let absent = chain.object(ObjectId::new([1; 32])).await;
        ensure!(matches!(absent, Err(ChainError::NoObject { .. })), "an object that nobody added: {absent:?}");
        let commitments = chain.object(self.link.object).await?;
        ensure!(commitments.len() == 1, "other commitments: {commitments:?}");
        let place = chain.inclusion(self.paid.tx).await?.context("the payment is in no block")?;
        ensure!(place.height == self.paid.height && !place.is_charged(), "the payment is at {place}");
        let block = chain.block(self.paid.height).await?.context("the block of the payment")?.block;
        let has = block.txs.iter().any(|tx| tx.id() == self.paid.tx);
        ensure!(has && block.header.height == self.paid.height, "another block: {:?}", block.header);
        let own = client.account().context("a client with an account")?;
        let own = chain.activity(own, None, ALL).await?;
        let sent = u64::try_from(own.txs.len())?;
        ensure!(sent == own.account.nonce, "{sent} transactions of an account that sent {}", own.account.nonce);
        let paid: Vec<TxId> = chain.activity(self.payee, None, ALL).await?.txs.iter().map(|one| one.tx.id()).collect();
        ensure!(paid.iter().eq(self.payments.iter().rev()), "other payments: {paid:?}");
        client.add_bytes(self.bytes.clone()).quote().await?;
        let validators = chain.validators().await?;
        ensure!(validators.len() == 4, "after one of five has left: {validators:?}");
        let providers: BTreeSet<NodeId> = chain.all_providers().await?.iter().map(|provider| provider.node).collect();
        ensure!(providers == self.providers, "other providers: {providers:?}");
        chain.tickets(TicketPlace::FIRST, ALL).await?;
        let faults = chain.epoch(None).await?.faults.faults;
        let is_known = |fault: &ProviderFault| self.providers.contains(&fault.provider);
        ensure!(faults.iter().all(is_known), "who is not a provider is at fault: {faults:?}");
        Ok(())
    }

    /// Pays once, which the ledger then has.
    async fn pay(&mut self, client: &Client) -> Result<()> {
        let paid = pay_once(client, self.payee).await?;
        self.payments.push(paid.tx);
        self.balance = self.balance.plus(PAID).context("small amounts")?;
        let block = client.chain().block(paid.height).await?.context("the block of the payment")?.block;
        ensure!(block.txs.iter().any(|tx| tx.id() == paid.tx), "a payment that is in no block");
        let account = client.chain().account(self.payee).await?;
        ensure!(account.balance == self.balance, "after the payment: {account:?}");
        Ok(())
    }

    /// Gets the object, and looks at all columns of it; whose were wrong.
    async fn fetch(&self, client: &Client) -> Result<Vec<NodeId>> {
        let got = client.get(&self.link).bytes().await?;
        ensure!(got == self.bytes, "WRONG BYTES");
        let verified = client.verify(&self.link, &Events::none()).await?;
        ensure!(!verified.inconsistent, "honest columns are called no codeword");
        let wrong = verified.columns.into_iter().filter(|column| matches!(column.state, ColumnCheck::Corrupt(_)));
        Ok(wrong.filter_map(|column| column.provider).chain(verified.wrong_manifests).collect())
    }

    /// Adds objects until the liar was drawn for one, and gets each; which holders failed.
    async fn store(&self, network: &Network, client: &Client) -> Result<Vec<NodeId>> {
        let failed: Arc<Mutex<Vec<NodeId>>> = Arc::default();
        for _ in 0..DRAWS {
            let noted = Arc::clone(&failed);
            let note = move |event| {
                if let Event::HolderFailed { provider, .. } = event {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push(provider);
                }
            };
            let added = client.add_bytes(self.bytes.clone()).on_event(note).await?;
            let got = client.get(&added.link).bytes().await?;
            ensure!(got == self.bytes, "WRONG BYTES");
            let kept_by_liar = added.slots.iter().any(|slot| slot.provider == network.liar);
            ensure!(!kept_by_liar, "the liar is said to keep what it has not signed for");
            if !failed.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                break;
            }
        }
        Ok(failed.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Pays once. Each client signs by the account as the node that it asked had it: where that one was behind, another
/// transaction has taken the nonce, and the payment is repeated.
async fn pay_once(client: &Client, payee: AccountId) -> Result<Included> {
    for _ in 0..REPEATS {
        match client.transfer(payee, PAID).await {
            Err(error) if matches!(error.downcast_ref(), Some(ChainError::Overtaken { .. })) => {}
            paid => return Ok(paid?),
        }
    }
    bail!("{REPEATS} payments in a row were overtaken, where nobody else pays")
}
