//! What an account did and was paid, listed by the command that people use: in pages, of another's account, and with a
//! node that is gone.

use anyhow::{Result, ensure};
use ostrakon_tests::{friend::Friend, scenarios::Stage};
use serde::Deserialize;

/// What `wallet history` prints.
#[derive(Debug, Deserialize)]
struct Listing {
    account: String,
    transactions: Vec<Row>,
    next: Option<String>,
    first_block: u64,
    sent_before: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Row {
    tx: String,
    height: u64,
    direction: String,
    kind: String,
    nonce: u64,
    amount: Option<String>,
    counterparty: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Sent {
    tx: String,
    height: u64,
}

#[derive(Debug, Deserialize)]
struct Balance {
    address: String,
    nonce: u64,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let friend = Friend::new(&stage.cluster, "friend")?;
    let address = friend.address()?;
    let paid: Vec<Sent> = ["3", "0.5"].iter().map(|amount| send(stage, &address, amount)).collect::<Result<_>>()?;
    let own: Balance = stage.cluster.run(&["wallet", "balance"])?.json()?;
    friend.run(&["wallet", "send", &own.address, "0.25"])?.expect_code(0)?;

    let newest = history(stage, &["--limit", "3"])?;
    let shown = |row: &Row| (row.direction.clone(), row.amount.clone().unwrap_or_default());
    let expected = [("received", "0.25"), ("sent", "0.5"), ("sent", "3")].map(|(way, of)| (way.into(), of.into()));
    let got: Vec<(String, String)> = newest.transactions.iter().map(shown).collect();
    ensure!(got == expected, "the newest three of the account are {got:?}");
    ensure!(newest.transactions[1].tx == paid[1].tx && newest.transactions[2].height == paid[0].height, "{newest:?}");
    ensure!(newest.transactions.iter().all(|row| row.counterparty.as_deref() == Some(&address)), "{newest:?}");
    ensure!(newest.sent_before == Some(own.nonce - 2), "{newest:?} of an account with nonce {}", own.nonce);

    // By any other, without a key of that account, and with a node less.
    stage.cluster.kill(&[13])?;
    let of_friend: Listing = stage.cluster.run(&["wallet", "history", &address])?.json()?;
    let ways: Vec<&str> = of_friend.transactions.iter().map(|row| row.direction.as_str()).collect();
    ensure!(ways == ["sent", "received", "received"] && of_friend.next.is_none(), "{of_friend:?}");

    let (pages, all) = everything(stage)?;
    let sent = all.iter().filter(|row| row.direction != "received").count();
    let nonces: Vec<u64> = all.iter().filter(|row| row.direction != "received").map(|row| row.nonce).collect();
    ensure!(nonces.iter().rev().copied().eq(0..own.nonce), "{sent} were sent, and listed are {nonces:?}");
    let wrong = stage.cluster.run(&["wallet", "history", "--before", "soon"])?;
    wrong.expect_code(2)?;
    Ok(format!("{} transactions of an account in {pages} pages, {sent} of them sent, none left out", all.len()))
}

fn history(stage: &Stage, args: &[&str]) -> Result<Listing> {
    let listing: Listing = stage.cluster.run(&[&["wallet", "history"], args].concat())?.json()?;
    ensure!(listing.first_block == 1 && listing.account.starts_with("ost1"), "{listing:?}");
    Ok(listing)
}

/// The account's whole history, two at a time; and in how many pages.
fn everything(stage: &Stage) -> Result<(usize, Vec<Row>)> {
    let (mut all, mut pages, mut page) = (Vec::new(), 1, history(stage, &["--limit", "2"])?);
    loop {
        all.extend(page.transactions);
        let Some(next) = page.next else { return Ok((pages, all)) };
        page = history(stage, &["--limit", "2", "--before", &next])?;
        pages += 1;
    }
}

fn send(stage: &Stage, to: &str, amount: &str) -> Result<Sent> {
    stage.cluster.run(&["wallet", "send", to, amount])?.json()
}
