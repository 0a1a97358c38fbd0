//! `ostrakon governance`: proposals of changes of the network, and votes on them. What is shown is proven; what is
//! proposed and voted, the profile's account signs.

use std::{fs, path::Path, time::Duration};

use ostrakon::{
    AccountId, Action, Chain, ChainError, Client, Epoch, Error, ErrorKind, Included, Pace,
    ledger::{Ballot, Charter, Membership, Params, Proposal, ProposalOutcome, Propose, ProposedChange, Upgrade},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Home, ledger::changed};
use crate::{
    args::{Governance, Proposed, Vote},
    exit::usage,
    output::{Output, Paint, Table},
    progress::Progress,
    time,
};

/// How long a node may take to serve what is in a block already.
const SHOWN_IN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize)]
struct Listing {
    #[serde(flatten)]
    charter: Charter,
    proposals: Vec<Proposal>,
}

/// A proposal, and the transaction that proposed it or voted on it.
#[derive(Debug, Serialize)]
struct Said {
    #[serde(flatten)]
    included: Included,
    #[serde(flatten)]
    proposal: Proposal,
}

/// Runs the command.
///
/// # Errors
/// When no node responds with a proof, there is no such proposal, or the ledger refuses the transaction.
pub(crate) async fn run(command: Governance, home: &Home, out: &Output) -> crate::Result<()> {
    // The list needs no signature, and so no passphrase.
    let client = if matches!(command, Governance::List) { home.reader()? } else { home.connect()? };
    match command {
        Governance::List => {
            client.chain().head().await?;
            let (charter, proposals) = client.chain().proposals().await?;
            let listing = Listing { charter, proposals };
            out.answer(&listing, |paint| listing.text(&client.chain().pace(), paint))?;
            Ok(())
        }
        Governance::Propose { change } => propose(&client, change, out).await,
        Governance::Vote { number, vote } => cast(&client, number, vote == Vote::Yes, out).await,
    }
}

async fn propose(client: &Client, proposed: Proposed, out: &Output) -> crate::Result<()> {
    let chain = client.chain();
    chain.head().await?;
    let change = change(proposed, &chain.rules().params)?;
    let action = Action::Propose(Propose { change: change.clone() });
    client.check_funds(&action).await?;
    let included = perform(client, action, out).await?;
    let proposer = client.account().ok_or(ChainError::NoKey)?;
    let proposal = shown(chain, |proposal| proposal.proposer == proposer && proposal.change == change).await?;
    let said = Said { included, proposal };
    out.answer(&said, |_| {
        let Proposal { number, until, change, .. } = &said.proposal;
        format!(
            "proposal {number} is open until {}: {}\nvote on it with `ostrakon governance vote {number} yes`",
            time::of_epoch(*until, &chain.pace()),
            changed(change, &chain.pace())
        )
    })?;
    Ok(())
}

async fn cast(client: &Client, number: u64, yes: bool, out: &Output) -> crate::Result<()> {
    let chain = client.chain();
    let known = chain.proposals().await?.1.iter().any(|proposal| proposal.number == number);
    if !known {
        let words = format!("proposal {number} does not exist: see `ostrakon governance list`");
        return Err(Error::new(ErrorKind::NotFound, words));
    }
    let included = perform(client, Action::Vote(Ballot { proposal: number, yes }), out).await?;
    let voter = client.account().ok_or(ChainError::NoKey)?;
    let counted = |proposal: &Proposal| proposal.number == number && proposal.votes.get(&voter) == Some(&yes);
    let proposal = shown(chain, counted).await?;
    let said = Said { included, proposal };
    out.answer(&said, |_| match said.proposal.outcome {
        ProposalOutcome::Open => {
            let ((yes, no), height) = (votes(&said.proposal), said.included.height);
            format!("voted in block {height}; proposal {number} is still open, with {yes} for it and {no} against it")
        }
        ProposalOutcome::Passed(height) => format!("proposal {number} passed and took effect in block {height}"),
        ProposalOutcome::Superseded(height) => {
            format!("proposal {number} is obsolete: other parameters passed in block {height}; propose it again")
        }
    })?;
    Ok(())
}

async fn perform(client: &Client, action: Action, out: &Output) -> crate::Result<Included> {
    let progress = Progress::waiting("submitting", out);
    let included = client.perform(action).on_event(progress.listener(out)).await?;
    drop(progress);
    Ok(included)
}

/// The newest proposal that matches, as soon as the nodes that are asked have the block.
async fn shown(chain: &Chain, wanted: impl Fn(&Proposal) -> bool) -> crate::Result<Proposal> {
    let deadline = Instant::now() + SHOWN_IN;
    loop {
        let (_, proposals) = chain.proposals().await?;
        if let Some(found) = proposals.into_iter().rfind(&wanted) {
            return Ok(found);
        }
        if Instant::now() > deadline {
            let words = "the transaction is in a block that no node serves yet: see `ostrakon governance list` later";
            return Err(Error::new(ErrorKind::Network, words));
        }
        sleep(LOOK_EVERY).await;
    }
}

fn change(proposed: Proposed, current: &Params) -> crate::Result<ProposedChange> {
    Ok(match proposed {
        Proposed::Params { file } => ProposedChange::Params(Box::new(read_params(&file, current)?)),
        Proposed::AdmitProvider { node } => ProposedChange::AdmitProvider(node),
        Proposed::ExpelProvider { node } => ProposedChange::ExpelProvider(node),
        Proposed::AdmitValidator { key } => ProposedChange::AdmitValidator(key),
        Proposed::ExpelValidator { key } => ProposedChange::ExpelValidator(key),
        Proposed::Upgrade { version, epoch } => {
            ProposedChange::Upgrade(Upgrade { protocol: version, epoch: Epoch(epoch) })
        }
    })
}

fn read_params(file: &Path, current: &Params) -> crate::Result<Params> {
    let wrong = |reason: &dyn std::fmt::Display| usage(format!("{}: {reason}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let params = amended(current, &text).map_err(|error| wrong(&error))?;
    params.validate().map_err(|error| wrong(&error))?;
    if params == *current { Err(wrong(&"all parameters have these values already")) } else { Ok(params) }
}

/// `current` with the changes of the text.
fn amended(current: &Params, text: &str) -> Result<Params, toml::de::Error> {
    let mut table = toml::Table::try_from(current).expect("a parameter table is a table");
    amend(&mut table, text.parse()?);
    table.try_into()
}

fn amend(table: &mut toml::Table, changes: toml::Table) {
    for (name, value) in changes {
        match (table.get_mut(&name), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => amend(inner, value),
            (_, value) => _ = table.insert(name, value),
        }
    }
}

impl Listing {
    fn text(&self, pace: &Pace, paint: Paint) -> String {
        let mut lines = vec![deciders(&self.charter.membership)];
        if let Some(Upgrade { protocol, epoch }) = &self.charter.upgrade {
            let when = time::of_epoch(*epoch, pace);
            lines.push(format!("version {protocol} of the rules takes effect with {when}"));
        }
        if self.proposals.is_empty() {
            lines.push("there are no proposals".to_owned());
            return lines.join("\n");
        }
        let mut table = Table::new(0).head(["proposal", "change", "until", "yes", "no", "state"]);
        for row in &self.proposals {
            let (yes, no) = votes(row);
            let state = match row.outcome {
                ProposalOutcome::Open => "open".to_owned(),
                ProposalOutcome::Passed(height) => format!("passed in block {height}"),
                ProposalOutcome::Superseded(height) => format!("superseded in block {height}"),
            };
            let (number, until) = (row.number.to_string(), time::of_epoch(row.until, pace));
            table.plain([number, changed(&row.change, pace), until, yes.to_string(), no.to_string(), state]);
        }
        lines.push(table.render(paint));
        lines.join("\n")
    }
}

/// How many are for it, and how many against.
fn votes(proposal: &Proposal) -> (usize, usize) {
    let yes = proposal.votes.values().filter(|yes| **yes).count();
    (yes, proposal.votes.len() - yes)
}

/// Who can vote.
fn deciders(membership: &Membership) -> String {
    match membership {
        Membership::Permissionless => {
            "permissionless network: changes need more than two thirds of the validators' power, voted by their owners"
                .to_owned()
        }
        Membership::Single { operator } => format!("permissioned network: {operator} decides on changes and members"),
        Membership::Majority => {
            "permissioned network: more than half of the validators' owners decide on changes and members".to_owned()
        }
        Membership::Hybrid { council } => {
            let council: Vec<String> = council.iter().map(AccountId::to_string).collect();
            format!(
                "permissioned network: more than half of the council ({}) and more than half of the validators' owners \
                 decide on changes and members",
                council.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ostrakon::{
        Amount, Height, NodeId,
        ledger::{EpochClock, Timing},
    };

    use super::*;
    use crate::exit;

    #[test]
    fn what_a_file_does_not_name_stays() {
        let current = Params { time: Timing { epoch_ms: 77_000, ..Timing::default() }, ..Params::default() };
        let text = "fees.base = \"0.5\"\n[governance]\nmax_power_share = 25\n";
        let mut expect = current.clone();
        (expect.fees.base, expect.governance.max_power_share) = (Amount(500_000), 25);
        assert_eq!(amended(&current, text), Ok(expect));
        assert_eq!(amended(&current, ""), Ok(current.clone()));
        assert!(amended(&current, "fee_bass = \"0.5\"").is_err());
        assert!(amended(&current, "governance = 1").is_err());
    }

    #[test]
    fn a_file_that_cannot_be_meant_is_a_usage_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("changes.toml");
        let check = |text: &str, names: &str| {
            fs::write(&file, text).expect("written");
            let error = read_params(&file, &Params::default()).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(exit::message(&error).contains(names), "{error}");
        };
        check("", "already");
        check("no toml", "changes.toml");
        check("[governance]\nmax_power_share = 101", "max_power_share");
        let missing = read_params(&dir.path().join("none.toml"), &Params::default()).expect_err("not there");
        assert!(exit::message(&missing).contains("none.toml"));
    }

    #[test]
    fn a_listing_counts_the_votes() {
        let account = |byte| AccountId::new([byte; 32]);
        let proposal = Proposal {
            number: 3,
            proposer: account(1),
            change: ProposedChange::AdmitProvider(NodeId::new([9; 32])),
            deposit: Amount::ZERO,
            until: Epoch(8),
            votes: BTreeMap::from([(account(1), true), (account(2), false), (account(3), true)]),
            outcome: ProposalOutcome::Passed(Height(40)),
        };
        let membership = Membership::Single { operator: account(1) };
        let charter = Charter { membership, protocol: 1, upgrade: None, proposals: 4 };
        let listing = Listing { charter, proposals: vec![proposal] };
        let object = serde_json::to_value(&listing).expect("serialises");
        assert_eq!(object["rule"], "single");
        let row = &object["proposals"][0];
        assert_eq!((row["number"].as_u64(), row["state"].as_str()), (Some(3), Some("passed")));
        assert_eq!(
            (row["decided_at"].as_u64(), row["votes"][account(2).to_string()].as_bool()),
            (Some(40), Some(false))
        );
        assert_eq!(row["change"]["admit-provider"], NodeId::new([9; 32]).to_string());
        let text = listing.text(
            &Pace::new(&EpochClock { epoch: Epoch(1), ..EpochClock::genesis(3_600_000) }, 3_600_000, 3_600_000),
            Paint::PLAIN,
        );
        assert!(text.contains("epoch 8 (1970-01-01 08:00 UTC)  2    1   passed in block 40"), "{text}");
        assert!(text.contains(&account(1).to_string()), "{text}");
    }
}
