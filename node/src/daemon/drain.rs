//! `drain`: ends a node's service as a provider without a loss. It accepts nothing new, its columns move to others, and
//! then its bond unlocks.
//!
//! The running node moves the columns; this command tells the ledger, waits, and shows how far it is. It may be ended
//! and run again at any time. Not here: how columns are moved, which is `repair`'s.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use ostrakon_proto::{
    id::{Amount, Epoch},
    ledger::{
        state::{Provider, ProviderStatus},
        tx::{Action, Drain, Withdraw},
    },
};
use serde_json::json;
use tokio::time::sleep;

use super::{
    member::{Operator, OwnerArgs, block_on},
    say,
};

/// How often the ledger is asked how much is left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) const HELP: &str =
    "Keep the node running meanwhile: it sends its columns to others, one copy of each, and is \
paid for each until it is there. The nodes that take them are paid from its bond. The command waits until nothing is \
left, withdraws the node, and says in which epoch the bond returns; end it with Ctrl-C and run it again as you like.

Examples:
  ostrakon-node drain --dir DIR
  ostrakon-node drain --dir DIR --no-wait    begin, and look later with `ostrakon-node status`";

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    owner: OwnerArgs,
    /// Begin, and do not wait
    #[arg(long)]
    no_wait: bool,
}

pub(super) fn drain(args: DrainArgs) -> anyhow::Result<()> {
    block_on(async {
        let operator = Operator::open(args.owner)?;
        let provider = begin(&operator).await?;
        if args.no_wait {
            return say(&format!("{:#}\n", json!({ "provider": operator.id(), "left_bytes": provider.used })));
        }
        wait_until_empty(&operator).await?;
        withdraw(&operator).await
    })
}

/// This node's record in the ledger.
async fn record(operator: &Operator) -> anyhow::Result<Provider> {
    let node = operator.id();
    let found = operator.client.chain().provider(node).await?;
    found.with_context(|| format!("node {node} is not a provider in the ledger: nothing is to be drained"))
}

/// Tells the ledger that the node leaves, unless it knows.
async fn begin(operator: &Operator) -> anyhow::Result<Provider> {
    let provider = record(operator).await?;
    match provider.status {
        ProviderStatus::Draining => {}
        ProviderStatus::Exited { until } => {
            let returns = returns_in(operator, &provider, until).await?;
            bail!("the node has withdrawn already; its bond returns in epoch {returns}")
        }
        ProviderStatus::Active | ProviderStatus::Suspended => {
            operator.perform(Action::Drain(Drain { node: operator.id() })).await?;
        }
    }
    Ok(provider)
}

/// Waits until the node stores nothing, has nothing left to prove, and has paid for what it lost.
async fn wait_until_empty(operator: &Operator) -> anyhow::Result<()> {
    let (mut first, mut shown) = (None, None);
    loop {
        let provider = record(operator).await?;
        let epoch = operator.client.chain().head().await?.epoch;
        let left = provider.used;
        if left == 0 && provider.frozen_bytes(epoch) == 0 && provider.collateral == Amount::ZERO {
            clear_line();
            return Ok(());
        }
        let all = *first.get_or_insert(left);
        let line = progress(&provider, all, epoch);
        if shown.as_ref() != Some(&line) {
            show(&line);
            shown = Some(line);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What is left to do, in one line.
fn progress(provider: &Provider, all: u64, epoch: Epoch) -> String {
    let left = provider.used;
    match left {
        0 if provider.collateral > Amount::ZERO => format!(
            "nothing is stored any more; {} obols of the bond are held for lost columns that are not rebuilt yet",
            provider.collateral
        ),
        0 => format!("nothing is stored any more; waits for the end of epoch {epoch}, which may still ask for proofs"),
        _ => format!("{left} of {all} bytes are still to be moved"),
    }
}

fn show(line: &str) {
    let mut err = io::stderr().lock();
    // What cannot be shown stops nothing.
    let _shown = if err.is_terminal() { write!(err, "\r\x1b[K{line}") } else { writeln!(err, "{line}") };
}

fn clear_line() {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let _shown = write!(err, "\r\x1b[K");
    }
}

/// Withdraws the node, and says when its bond returns.
async fn withdraw(operator: &Operator) -> anyhow::Result<()> {
    let node = operator.id();
    let height = operator.perform(Action::Withdraw(Withdraw { node })).await?;
    let provider = record(operator).await?;
    let ProviderStatus::Exited { until } = provider.status else {
        bail!("node {node} withdrew in block {height}, and the ledger does not show it: run the command again");
    };
    let (bond, returns) = (provider.bond, returns_in(operator, &provider, until).await?);
    let done =
        json!({ "provider": node, "withdrawn_at": height, "bond_obols": bond, "bond_returns_in_epoch": returns });
    say(&format!("{done:#}\n"))?;
    operator.warn_of_offer()
}

/// The epoch in which the bond returns: it is unlocked from `until` on, and kept while a valid draw can name the node,
/// which on networks with a short unbonding time is longer.
async fn returns_in(operator: &Operator, provider: &Provider, until: Epoch) -> anyhow::Result<Epoch> {
    let chain = operator.client.chain();
    let epoch = chain.head().await?.epoch;
    Ok(until.max(provider.listing.forgotten_in(epoch, chain.rules().params.draw_epochs)))
}
