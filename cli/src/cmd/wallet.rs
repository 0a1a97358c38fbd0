//! `ostrakon wallet`: the profile's account: its address, its money, and payments.

use ostrakon_proto::id::{AccountId, Amount};
use serde::Serialize;

use super::Home;
use crate::{args::Wallet, output::Output};

#[derive(Debug, Serialize)]
struct Address {
    address: String,
}

#[derive(Debug, Serialize)]
struct Balance {
    address: String,
    balance: String,
    micro: u64,
    nonce: u64,
}

#[derive(Debug, Serialize)]
struct Sent {
    tx: String,
    height: u64,
    to: String,
    amount: String,
}

/// Runs the command.
///
/// # Errors
/// When there is no profile, no node answers, or the account is too poor.
pub(crate) async fn run(command: Wallet, home: &Home, out: &Output) -> anyhow::Result<()> {
    match command {
        Wallet::Address => {
            let address = Address { address: home.profile()?.account().to_string() };
            out.answer(&address, |_| address.address.clone())?;
            Ok(())
        }
        Wallet::Balance => balance(home, out).await,
        Wallet::Send { to, amount } => send(to, amount, home, out).await,
    }
}

async fn balance(home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.profile()?;
    let account = profile.connect()?.chain().account(profile.account()).await?;
    let balance = Balance {
        address: profile.account().to_string(),
        balance: account.balance.to_string(),
        micro: account.balance.0,
        nonce: account.nonce,
    };
    out.answer(&balance, |_| format!("{} obols", balance.balance))?;
    Ok(())
}

async fn send(to: AccountId, amount: Amount, home: &Home, out: &Output) -> anyhow::Result<()> {
    let included = home.connect()?.transfer(to, amount).await?;
    let sent =
        Sent { tx: included.tx.to_string(), height: included.height.0, to: to.to_string(), amount: amount.to_string() };
    out.answer(&sent, |_| format!("paid {amount} obols to {to} in block {}", included.height))?;
    Ok(())
}
