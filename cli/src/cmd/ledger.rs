//! `ostrakon ledger`: the newest block, a block, a transaction, the validators and the parameters, each proven.

use ostrakon::{Chain, ErrorKind, Head};
use ostrakon_proto::{
    id::{ChainId, Height, TxId},
    ledger::{
        state::{Validator, ValidatorStatus},
        tx::{DecidedBlock, Tx},
    },
    light::Trust,
};
use serde::Serialize;

use super::Home;
use crate::{
    args::Ledger,
    exit::failure,
    output::{Output, Paint, Table},
    time,
};

mod action;

pub(super) use action::{changed, words};

#[derive(Debug, Serialize)]
struct HeadObject {
    chain: String,
    height: u64,
    block: String,
    epoch: u64,
    time_ms: u64,
    time: String,
    minted: String,
    bonded: String,
    escrowed: String,
    burnt: String,
    fee_factor: String,
}

#[derive(Debug, Serialize)]
struct BlockObject {
    height: u64,
    block: String,
    parent: String,
    round: u32,
    time_ms: u64,
    time: String,
    proposer: String,
    state: String,
    signatures: usize,
    signers: Vec<String>,
    transactions: Vec<TxObject>,
}

#[derive(Debug, Serialize)]
struct TxObject {
    tx: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u64>,
    account: String,
    nonce: u64,
    fee: String,
    action: &'static str,
    details: String,
}

#[derive(Debug, Serialize)]
struct TrustedObject {
    height: u64,
    block: String,
}

#[derive(Debug, Serialize)]
struct ValidatorsObject {
    validators: Vec<ValidatorObject>,
}

#[derive(Debug, Serialize)]
struct ValidatorObject {
    key: String,
    node: String,
    owner: String,
    domain: String,
    power: u64,
    bond: String,
    state: &'static str,
    missed: u32,
}

/// Runs the command.
///
/// # Errors
/// When no node responds with a proof, and when there is no such block or transaction.
pub(crate) async fn run(command: Ledger, home: &Home, out: &Output) -> anyhow::Result<()> {
    let client = home.reader()?;
    let chain = client.chain();
    match command {
        Ledger::Head => {
            let object = HeadObject::new(&chain.rules().chain, &chain.head().await?);
            out.answer(&object, |paint| object.text(paint))?;
        }
        Ledger::Block { height } => {
            let object = BlockObject::new(&block(chain, Height(height)).await?);
            out.answer(&object, |paint| object.text(paint))?;
        }
        Ledger::Tx { id } => {
            let object = transaction(chain, id).await?;
            out.answer(&object, |paint| object.text(paint))?;
        }
        Ledger::Validators => {
            let validators = chain.validators().await?.iter().map(ValidatorObject::new).collect();
            let object = ValidatorsObject { validators };
            out.answer(&object, |paint| object.text(paint))?;
        }
        Ledger::Trust { checkpoint } => {
            let object = TrustedObject::new(&chain.trust_checkpoint(checkpoint).await?);
            out.answer(&object, |_| format!("trusts block {} at height {}", object.block, object.height))?;
        }
        Ledger::Params => {
            chain.head().await?;
            let params = &chain.rules().params;
            let text = toml::to_string(params)?;
            out.answer(params, |_| text.trim_end().to_owned())?;
        }
    }
    Ok(())
}

impl TrustedObject {
    fn new(trust: &Trust) -> Self {
        Self { height: trust.height().0, block: trust.block().to_string() }
    }
}

async fn block(chain: &Chain, height: Height) -> anyhow::Result<DecidedBlock> {
    let missing = || failure(ErrorKind::NotFound, format!("block {height} does not exist yet"));
    chain.block(height).await?.ok_or_else(missing)
}

async fn transaction(chain: &Chain, id: TxId) -> anyhow::Result<TxObject> {
    let missing = || failure(ErrorKind::NotFound, format!("transaction {id} is in no block that the nodes have"));
    let height = chain.inclusion(id).await?.ok_or_else(missing)?;
    let decided = block(chain, height).await?;
    let tx = decided.block.txs.iter().find(|tx| tx.id() == id).ok_or_else(missing)?;
    Ok(TxObject { height: Some(height.0), ..TxObject::new(tx) })
}

impl HeadObject {
    fn new(chain: &ChainId, head: &Head) -> Self {
        Self {
            chain: chain.to_string(),
            height: head.height.0,
            block: head.block.to_string(),
            epoch: head.epoch.0,
            time_ms: head.time_ms,
            time: time::of_ms(head.time_ms),
            minted: head.minted.to_string(),
            bonded: head.bonded.to_string(),
            escrowed: head.escrowed.to_string(),
            burnt: head.burnt.to_string(),
            fee_factor: head.fee_factor.to_string(),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0);
        table.plain(["height".to_owned(), self.height.to_string()]);
        table.plain(["block".to_owned(), self.block.clone()]);
        table.plain(["time".to_owned(), self.time.clone()]);
        table.plain(["epoch".to_owned(), self.epoch.to_string()]);
        table.plain(["chain".to_owned(), self.chain.clone()]);
        let money = [("minted", &self.minted), ("bonded", &self.bonded), ("in escrow", &self.escrowed)];
        for (name, amount) in money.into_iter().chain([("burnt", &self.burnt)]) {
            table.plain([name.to_owned(), format!("{amount} obols")]);
        }
        table.plain(["fees".to_owned(), format!("{} times the minimum", self.fee_factor)]);
        table.render(paint)
    }
}

impl BlockObject {
    fn new(decided: &DecidedBlock) -> Self {
        let header = &decided.block.header;
        Self {
            height: header.height.0,
            block: header.id().to_string(),
            parent: header.parent.to_string(),
            round: header.round,
            time_ms: header.time_ms,
            time: time::of_ms(header.time_ms),
            proposer: header.proposer.to_string(),
            state: hex::encode(header.state),
            signatures: decided.certificate.signatures.len(),
            signers: decided.certificate.signatures.keys().map(ToString::to_string).collect(),
            transactions: decided.block.txs.iter().map(TxObject::new).collect(),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0);
        table.plain(["height".to_owned(), self.height.to_string()]);
        table.plain(["block".to_owned(), self.block.clone()]);
        table.plain(["parent".to_owned(), self.parent.clone()]);
        table.plain(["proposer".to_owned(), self.proposer.clone()]);
        table.plain(["round".to_owned(), self.round.to_string()]);
        table.plain(["time".to_owned(), self.time.clone()]);
        table.plain(["state".to_owned(), self.state.clone()]);
        table.plain(["signatures".to_owned(), self.signatures.to_string()]);
        table.plain(["transactions".to_owned(), self.transactions.len().to_string()]);
        let mut listing = Table::new(2);
        for tx in &self.transactions {
            listing.plain([tx.tx.clone(), tx.action.to_owned(), tx.details.clone()]);
        }
        if self.transactions.is_empty() {
            return table.render(paint);
        }
        format!("{}\n{}", table.render(paint), listing.render(paint))
    }
}

impl TxObject {
    fn new(tx: &Tx) -> Self {
        let body = &tx.body;
        let (action, details) = action::words(&body.action);
        Self {
            tx: tx.id().to_string(),
            height: None,
            account: body.account.to_string(),
            nonce: body.nonce,
            fee: body.fee.to_string(),
            action,
            details,
        }
    }

    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0);
        table.plain(["transaction".to_owned(), self.tx.clone()]);
        table.plain(["block".to_owned(), self.height.map_or_else(|| "-".to_owned(), |height| height.to_string())]);
        table.plain(["account".to_owned(), self.account.clone()]);
        table.plain(["nonce".to_owned(), self.nonce.to_string()]);
        table.plain(["fee".to_owned(), format!("{} obols", self.fee)]);
        table.plain([self.action.to_owned(), self.details.clone()]);
        table.render(paint)
    }
}

impl ValidatorObject {
    fn new(validator: &Validator) -> Self {
        Self {
            key: validator.key.to_string(),
            node: validator.node.to_string(),
            owner: validator.owner.to_string(),
            domain: validator.domain.to_string(),
            power: validator.power,
            bond: validator.bond.to_string(),
            state: state_name(validator.status),
            missed: validator.missed,
        }
    }
}

impl ValidatorsObject {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0).head(["validator", "power", "bond", "domain", "missed turns", "state"]);
        for row in &self.validators {
            table.plain([
                row.key.clone(),
                row.power.to_string(),
                row.bond.clone(),
                row.domain.clone(),
                row.missed.to_string(),
                row.state.to_owned(),
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
