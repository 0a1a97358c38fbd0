//! `ostrakon ledger`: blocks, transactions, epochs, all money, the validators and the parameters, each proven.

use ostrakon::{
    ChainId, Checkpoint, Epoch, EpochFaults, EpochSummary, Error, ErrorKind, Head, Height, Pace, Totals, TxPlace,
    ledger::{DecidedBlock, Tx, Validator, ValidatorStatus},
};
use serde::Serialize;

use super::Home;
use crate::{
    args::Ledger,
    exit::other,
    output::{Output, Paint, Table, bytes_text},
    time,
};

mod accuse;
mod action;

pub(super) use action::{changed, name_of, words};

/// A transaction, and its place.
#[derive(Debug, Serialize)]
struct Placed {
    #[serde(flatten)]
    place: TxPlace,
    #[serde(flatten)]
    tx: Tx,
}

#[derive(Debug, Serialize)]
struct Validators {
    validators: Vec<Validator>,
}

#[derive(Debug, Serialize)]
struct Trusted {
    checkpoint: Checkpoint,
}

/// Runs the command.
///
/// # Errors
/// When no node responds with a proof, when there is no such block or transaction, and when there is no evidence in a
/// file.
pub(crate) async fn run(command: Ledger, home: &Home, out: &Output) -> crate::Result<()> {
    // Only evidence is signed, and so needs a passphrase.
    let client = if matches!(command, Ledger::Accuse { .. }) { home.connect()? } else { home.reader()? };
    let chain = client.chain();
    match command {
        Ledger::Head => {
            let head = chain.head().await?;
            out.answer(&head, |paint| head_text(&head, &chain.rules().chain, paint))?;
        }
        Ledger::Block { height } => {
            let missing = || Error::new(ErrorKind::NotFound, format!("block {height} does not exist yet"));
            let decided = chain.block(Height(height)).await?.ok_or_else(missing)?;
            out.answer(&decided, |paint| block_text(&decided, &chain.pace(), paint))?;
        }
        Ledger::Tx { id } => {
            let text = || format!("transaction {id} is in no block that the nodes have");
            let found = chain.transaction(id).await?;
            let (place, tx) = found.ok_or_else(|| Error::new(ErrorKind::NotFound, text()))?;
            let placed = Placed { place, tx };
            out.answer(&placed, |paint| placed.text(&chain.pace(), paint))?;
        }
        Ledger::Epoch { epoch } => {
            let summary = chain.epoch(epoch.map(Epoch)).await?;
            out.answer(&summary, |paint| epoch_text(&summary, paint))?;
        }
        Ledger::Totals => {
            let totals = chain.head().await?.totals();
            out.answer(&totals, |paint| totals_text(&totals, paint))?;
        }
        Ledger::Validators => {
            let listing = Validators { validators: chain.validators().await? };
            out.answer(&listing, |paint| listing.text(paint))?;
        }
        Ledger::Accuse { file } => accuse::run(&file, &client, out).await?,
        Ledger::Trust { checkpoint } => {
            chain.trust_checkpoint(checkpoint).await?;
            let Checkpoint { height, block } = checkpoint;
            out.answer(&Trusted { checkpoint }, |_| format!("trusts block {block} at height {height}"))?;
        }
        Ledger::Params => {
            chain.head().await?;
            let params = &chain.rules().params;
            let text = toml::to_string(params).map_err(other)?;
            out.answer(params, |_| text.trim_end().to_owned())?;
        }
    }
    Ok(())
}

fn epoch_text(summary: &EpochSummary, paint: Paint) -> String {
    let beacon = summary.beacon.map_or("not complete yet".to_owned(), hex::encode);
    let bytes = |bytes: u128| bytes_text(u64::try_from(bytes).unwrap_or(u64::MAX));
    let (part, all) = (bytes(summary.proven_bytes), bytes(summary.stored_bytes));
    let faults = &summary.faults;
    let excused = if faults.amnesty { "; those who missed it are excused" } else { "" };
    let proven = format!("{part} of {all}, by {} providers{excused}", summary.proven);
    let table = Table::of([
        ("epoch", summary.epoch.to_string()),
        ("began", format!("{} (block {})", time::of_ms(summary.start_ms), summary.first)),
        ("beacon", beacon),
        ("providers", summary.providers.to_string()),
        ("proven", proven),
        ("space for proofs", format!("{} of {} blocks", summary.proof_space.with_space, summary.proof_space.blocks)),
        ("free", bytes(summary.weight)),
    ]);
    [table.render(paint), faults_text(faults, paint)].join("\n").trim_end().to_owned()
}

/// Who did not prove the epoch or lost something, why, and the hash of what shows it.
fn faults_text(faults: &EpochFaults, paint: Paint) -> String {
    let mut table = Table::new(0).head(["provider", "why", "evidence"]);
    for fault in &faults.faults {
        let reasons: Vec<&str> = fault.reasons.iter().map(|reason| reason.name()).collect();
        table.plain([fault.provider.to_string(), reasons.join(", "), hex::encode(fault.evidence)]);
    }
    if faults.faults.is_empty() { String::new() } else { table.render(paint) }
}

fn totals_text(totals: &Totals, paint: Paint) -> String {
    let obols = |amount| format!("{amount} obols");
    let table = Table::of([
        ("height", totals.height.to_string()),
        ("minted", obols(totals.minted)),
        ("in accounts", obols(totals.balances)),
        ("bonds", obols(totals.bonds)),
        ("in escrow", obols(totals.escrow)),
        ("validators' pool", obols(totals.pools)),
        ("burnt", obols(totals.burnt)),
    ]);
    table.render(paint)
}

fn head_text(head: &Head, chain: &ChainId, paint: Paint) -> String {
    let obols = |amount| format!("{amount} obols");
    let table = Table::of([
        ("height", head.height.to_string()),
        ("block", head.block.to_string()),
        ("time", time::of_ms(head.time_ms)),
        ("epoch", head.epoch.to_string()),
        ("chain", chain.to_string()),
        ("minted", obols(head.supply.minted)),
        ("bonded", obols(head.supply.bonded)),
        ("in escrow", obols(head.supply.escrowed)),
        ("burnt", obols(head.supply.burnt)),
        ("fees", format!("{} times the minimum", head.fee_factor)),
    ]);
    table.render(paint)
}

fn block_text(decided: &DecidedBlock, pace: &Pace, paint: Paint) -> String {
    let (header, txs, charged) = (&decided.block.header, &decided.block.txs, &decided.block.charged);
    let lacks_proofs = decided.block.lacks_proofs();
    let proofs = if lacks_proofs { "dropped".to_owned() } else { decided.block.proofs.len().to_string() };
    let table = Table::of([
        ("height", header.height.to_string()),
        ("block", header.id().to_string()),
        ("parent", header.parent.to_string()),
        ("proposer", header.proposer.to_string()),
        ("round", header.round.to_string()),
        ("time", time::of_ms(header.time_ms)),
        ("state", hex::encode(header.state)),
        ("signatures", decided.certificate.signatures.len().to_string()),
        ("transactions", txs.len().to_string()),
        ("failed", charged.len().to_string()),
        ("proofs", proofs),
    ]);
    let mut listing = Table::new(2);
    for (place, tx) in decided.block.places() {
        let (kind, details) = words(&tx.body.action, pace);
        listing.plain([tx.id().to_string(), name_of(kind, place), details]);
    }
    [table.render(paint), listing.render(paint)].join("\n").trim_end().to_owned()
}

impl Placed {
    fn text(&self, pace: &Pace, paint: Paint) -> String {
        let (body, (kind, details)) = (&self.tx.body, words(&self.tx.body.action, pace));
        let table = Table::of([
            ("transaction", self.tx.id().to_string()),
            ("block", self.place.height.to_string()),
            ("outcome", if self.place.is_charged() { "failed; it paid its fee" } else { "applied" }.to_owned()),
            ("account", body.account.to_string()),
            ("nonce", body.nonce.to_string()),
            ("fee", format!("{} obols", body.fee)),
            (kind, details),
        ]);
        table.render(paint)
    }
}

impl Validators {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0).head(["validator", "power", "bond", "domain", "missed turns", "state"]);
        for row in &self.validators {
            table.plain([
                row.key.to_string(),
                row.power.to_string(),
                row.bond.to_string(),
                row.domain.to_string(),
                row.missed.to_string(),
                state_name(row.status).to_owned(),
            ]);
        }
        table.render(paint)
    }
}

const fn state_name(status: ValidatorStatus) -> &'static str {
    match status {
        ValidatorStatus::Active => "active",
        ValidatorStatus::Condemned => "condemned",
        ValidatorStatus::Left { .. } => "left",
        ValidatorStatus::Removed { .. } => "removed",
    }
}
