//! `ostrakon wallet`: the profile's account: its address, its balance, payments, and its history ([`history`]).

use ostrakon::ErrorKind;
use ostrakon_proto::{
    id::{AccountId, Amount, Height},
    ledger::{
        Rules,
        tx::{Action, Transfer, TxBody},
    },
};
use serde::Serialize;

use super::Home;
use crate::{args::Wallet, exit::failure, output::Output, progress::Progress};

mod history;

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
/// When there is no profile, no node responds, or the account cannot pay.
pub(crate) async fn run(command: Wallet, home: &Home, out: &Output) -> anyhow::Result<()> {
    match command {
        Wallet::Address => {
            let address = Address { address: home.public()?.account().to_string() };
            out.answer(&address, |_| address.address.clone())?;
            Ok(())
        }
        Wallet::Balance => balance(home, out).await,
        Wallet::Send { to, amount } => send(to, amount, home, out).await,
        Wallet::History(args) => history::run(args, home, out).await,
    }
}

async fn balance(home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.public()?;
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
    let client = home.connect()?;
    let rules = client.chain().rules();
    let from = home.public()?.account();
    check_funds(client.balance().await?, amount, transfer_fee(&rules, from, to))?;
    let progress = Progress::waiting("paying", out);
    let included = client.transfer(to, amount).on_event(progress.listener(out)).await?;
    drop(progress);
    let sent =
        Sent { tx: included.tx.to_string(), height: included.height.0, to: to.to_string(), amount: amount.to_string() };
    out.answer(&sent, |_| format!("paid {amount} obols to {to} in block {}", included.height))?;
    Ok(())
}

/// The fee of a payment; the same for every amount.
fn transfer_fee(rules: &Rules, account: AccountId, to: AccountId) -> Amount {
    let action = Action::Transfer(Transfer { to, amount: Amount::ZERO });
    rules.offer(&TxBody { account, nonce: 0, valid_until: Height(0), fee: Amount::ZERO, action })
}

/// Checked before anything is signed, and by the ledger again.
fn check_funds(balance: Amount, amount: Amount, fee: Amount) -> anyhow::Result<()> {
    let enough = amount.plus(fee).is_some_and(|need| need <= balance);
    let poor = || format!("the account's balance of {balance} obols does not cover {amount} and a fee of {fee}");
    if enough { Ok(()) } else { Err(failure(ErrorKind::Funds, poor())) }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{id::ChainId, ledger::FeeFactor, params::Params};

    use super::*;
    use crate::exit;

    #[test]
    fn a_payment_needs_its_fee_as_well() {
        let check = |balance, amount, good: bool| {
            let checked = check_funds(Amount(balance), Amount(amount), Amount(10));
            assert_eq!(
                checked.as_ref().err().map(exit::kind),
                (!good).then_some(ErrorKind::Funds),
                "{amount} of {balance}"
            );
        };
        check(100, 90, true);
        check(100, 91, false);
        check(0, 0, false);
        check(u64::MAX, u64::MAX, false);
    }

    #[test]
    fn the_fee_does_not_depend_on_the_amount() {
        let account = AccountId::new([1; 32]);
        let rules = Rules { chain: ChainId::new([2; 32]), params: Params::default(), fee_factor: FeeFactor::ONE };
        assert!(transfer_fee(&rules, account, account) > rules.params.fee_base);
    }
}
