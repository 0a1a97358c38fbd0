//! `ostrakon wallet`: the profile's account: its address, its balance, payments, and its history ([`history`]).

use ostrakon::{
    AccountId, Action, Amount, Included,
    ledger::{Account, Transfer},
};
use serde::Serialize;

use super::Home;
use crate::{args::Wallet, output::Output, progress::Progress};

mod history;

#[derive(Debug, Serialize)]
struct Address {
    address: AccountId,
}

#[derive(Debug, Serialize)]
struct Balance {
    address: AccountId,
    #[serde(flatten)]
    account: Account,
    micro: u64,
}

#[derive(Debug, Serialize)]
struct Sent {
    #[serde(flatten)]
    included: Included,
    to: AccountId,
    amount: Amount,
}

/// Runs the command.
///
/// # Errors
/// When there is no profile, no node responds, or the account cannot pay.
pub(crate) async fn run(command: Wallet, home: &Home, out: &Output) -> crate::Result<()> {
    match command {
        Wallet::Address => {
            let address = Address { address: home.public()?.account() };
            out.answer(&address, |_| address.address.to_string())?;
            Ok(())
        }
        Wallet::Balance => balance(home, out).await,
        Wallet::Send { to, amount } => send(to, amount, home, out).await,
        Wallet::History(args) => history::run(args, home, out).await,
    }
}

async fn balance(home: &Home, out: &Output) -> crate::Result<()> {
    let address = home.public()?.account();
    let account = home.reader()?.chain().account(address).await?;
    out.answer(&Balance { address, account, micro: account.balance.0 }, |_| format!("{} obols", account.balance))?;
    Ok(())
}

async fn send(to: AccountId, amount: Amount, home: &Home, out: &Output) -> crate::Result<()> {
    let client = home.connect()?;
    client.check_funds(&Action::Transfer(Transfer { to, amount })).await?;
    let progress = Progress::waiting("paying", out);
    let included = client.transfer(to, amount).on_event(progress.listener(out)).await?;
    drop(progress);
    let text = || format!("paid {amount} obols to {to} in block {}", included.height);
    out.answer(&Sent { included, to, amount }, |_| text())?;
    Ok(())
}
