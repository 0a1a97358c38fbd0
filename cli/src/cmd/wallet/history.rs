//! `ostrakon wallet history`: what an account sent and what was paid to it, each line of it proven.

use ostrakon::{
    AccountId, Action, Activity, Amount, Pace,
    ledger::{AccountTx, Direction},
};
use serde::Serialize;

use crate::{
    args::History,
    cmd::{
        Home,
        ledger::{name_of, words},
    },
    output::{Output, Paint, Table},
    time,
};

/// An account, and what it did and was paid.
#[derive(Debug, Serialize)]
struct Listing {
    account: AccountId,
    #[serde(flatten)]
    activity: Activity,
}

/// Runs the command.
///
/// # Errors
/// When there is no profile, or no node answers with proofs.
pub(crate) async fn run(args: History, home: &Home, out: &Output) -> crate::Result<()> {
    let profile = home.public()?;
    let account = args.account.unwrap_or_else(|| profile.account());
    let client = home.reader()?;
    client.chain().head().await?;
    let activity = client.chain().activity(account, args.before, usize::from(args.limit)).await?;
    let listing = Listing { account, activity };
    out.answer(&listing, |paint| listing.table(&client.chain().pace(), paint))?;
    out.words(&listing.remarks().join("\n"));
    Ok(())
}

impl Listing {
    fn table(&self, pace: &Pace, paint: Paint) -> String {
        if self.activity.txs.is_empty() {
            return String::new();
        }
        let mut table = Table::new(0).head(["time (UTC)", "block", "what", "amount", "fee", "transaction", "details"]);
        self.activity.txs.iter().for_each(|entry| table.plain(row(entry, &self.account, pace)));
        table.render(paint)
    }

    /// What a person should know besides.
    fn remarks(&self) -> Vec<String> {
        let Activity { txs, next, sent_before, first, witnesses, .. } = &self.activity;
        let mut remarks = Vec::new();
        if txs.is_empty() {
            remarks.push(format!("no transaction of {} is in a block that the nodes have", self.account));
        }
        if let Some(next) = next {
            remarks.push(format!("list older transactions with --before {next}"));
        } else if first.0 > 1 {
            remarks.push(pruned(first.0, *sent_before));
        }
        if *witnesses == 1 {
            remarks
                .push("only one node responded, and it could hide incoming payments: run this again later".to_owned());
        }
        remarks
    }
}

fn row(entry: &AccountTx, account: &AccountId, pace: &Pace) -> [String; 7] {
    let (body, (kind, details)) = (&entry.tx.body, words(&entry.tx.body.action, pace));
    let kind = name_of(kind, entry.place);
    let amount = amount(entry, account).map_or_else(String::new, |amount| amount.to_string());
    let (what, amount, fee, details) = match entry.direction {
        Direction::Received => {
            ("received".to_owned(), format!("+{amount}"), String::new(), format!("from {}", body.account))
        }
        Direction::Itself => (kind, amount, body.fee.to_string(), details),
        Direction::Sent if amount.is_empty() => (kind, amount, body.fee.to_string(), details),
        Direction::Sent => (kind, format!("-{amount}"), body.fee.to_string(), details),
    };
    let time = time::text(i64::try_from(entry.time_ms / 1_000).unwrap_or(i64::MAX));
    [time, entry.place.height.to_string(), what, amount, fee, entry.tx.id().to_string(), details]
}

/// What is not listed because the nodes have deleted the blocks below `first`.
fn pruned(first: u64, sent_before: Option<u64>) -> String {
    let missing = match sent_before {
        None => "what the account sent and was paid in them is".to_owned(),
        Some(0) => "what the account was paid in them is".to_owned(),
        Some(1) => "1 transaction that the account sent, and what it was paid in them, are".to_owned(),
        Some(sent) => format!("{sent} transactions that the account sent, and what it was paid in them, are"),
    };
    format!("the nodes have pruned the blocks below {first}: {missing} not listed")
}

/// What moves between the account and another, or into a bond; escrow is not said by the transaction. What failed moves
/// nothing.
fn amount(entry: &AccountTx, account: &AccountId) -> Option<Amount> {
    if entry.place.is_charged() {
        return None;
    }
    let moved = |part: &Action| match part {
        Action::Transfer(transfer) => {
            let is_outward = transfer.to != *account;
            (is_outward == (entry.direction == Direction::Sent)).then_some(transfer.amount)
        }
        Action::Join(join) => Some(join.bond),
        Action::Bond(bond) => Some(bond.amount),
        _ => None,
    };
    let add = |sum: Amount, amount| sum.plus(amount).unwrap_or(Amount(u64::MAX));
    entry.tx.body.action.parts().iter().filter_map(moved).reduce(add)
}

#[cfg(test)]
mod tests {
    use ostrakon::{
        ChainId, Height, Keypair, TxPlace,
        ledger::{Account, Anchor, EpochClock, Together, Transfer, Tx, TxBody},
    };

    use super::*;

    fn key(number: u8) -> Keypair {
        Keypair::from_seed(&[number; 32])
    }

    /// Whom key 1 paid, and who paid key 1; and an anchor.
    fn activity() -> Activity {
        let pay = |to: u8| Action::Transfer(Transfer { to: key(to).public(), amount: Amount(2_500_000) });
        let entry = |height, from: u8, nonce, action| {
            let (account, valid_until) = (key(from).public(), Height(99));
            let body = TxBody { account, nonce, valid_until, salt: 0, fee: Amount(10), action };
            let tx = Tx::sign(body, &key(from), &ChainId::new([1; 32]));
            AccountTx::new(
                key(1).public(),
                TxPlace { index: 1, ..TxPlace::start_of(Height(height)) },
                951_782_400_999,
                tx,
            )
        };
        let anchor = Action::Anchor(Anchor { hash: [1; 32] });
        let txs = vec![entry(9, 1, 6, pay(1)), entry(8, 1, 5, anchor), entry(7, 2, 0, pay(1)), entry(6, 1, 4, pay(2))];
        let account = Account { balance: Amount(1), nonce: 7, ..Account::default() };
        Activity { account, txs, next: None, sent_before: Some(4), first: Height(6), witnesses: 3 }
    }

    fn listing(activity: Activity) -> Listing {
        Listing { account: key(1).public(), activity }
    }

    #[test]
    fn the_object_has_the_fields_that_scripts_rely_on() {
        let value = serde_json::to_value(listing(activity())).expect("serialises");
        let column = |name: &str| -> Vec<serde_json::Value> {
            value["transactions"].as_array().expect("a list").iter().map(|row| row[name].clone()).collect()
        };
        assert_eq!(column("direction"), ["self", "sent", "received", "sent"]);
        assert_eq!(column("kind"), ["transfer", "anchor", "transfer", "transfer"]);
        assert_eq!(column("height"), [9, 8, 7, 6]);
        assert_eq!(column("nonce"), [6, 5, 0, 4]);
        let other: AccountId = key(2).public();
        let (none, other) = (serde_json::Value::Null, other.to_string());
        assert_eq!(column("counterparty"), [none.clone(), none, other.clone().into(), other.clone().into()]);
        assert_eq!(column("amount")[3], "2.5");
        assert_eq!((&value["first_block"], &value["sent_before"]), (&6.into(), &4.into()));
        assert!(value.get("next").is_none());
    }

    #[test]
    fn people_see_which_way_money_went_and_when() {
        let text = listing(activity()).table(&Pace::new(&EpochClock::genesis(0), 1, 1), Paint::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("2000-02-29 00:00:00  9      transfer  2.5"), "{text}");
        assert!(lines[3].contains("received  +2.5") && lines[4].contains("transfer  -2.5"), "{text}");
    }

    #[test]
    fn payments_together_are_payments() {
        let pay = |to: u8, amount| Action::Transfer(Transfer { to: key(to).public(), amount: Amount(amount) });
        let anchor = Action::Anchor(Anchor { hash: [1; 32] });
        let parts = vec![pay(2, 1_000_000), anchor, pay(3, 4_000_000), pay(2, 500_000)];
        let action = Action::Together(Together::new(parts).expect("few"));
        let seen = |by: u8| {
            let body = TxBody {
                account: key(1).public(),
                nonce: 0,
                valid_until: Height(9),
                salt: 0,
                fee: Amount(10),
                action: action.clone(),
            };
            let tx = Tx::sign(body, &key(1), &ChainId::new([1; 32]));
            let (account, place) = (key(by).public(), TxPlace::start_of(Height(2)));
            let txs = vec![AccountTx::new(account, place, 0, tx)];
            let text = Listing { account, activity: Activity { txs, ..activity() } }
                .table(&Pace::new(&EpochClock::genesis(0), 1, 1), Paint::PLAIN);
            text.lines().nth(1).expect("a row").split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" ")
        };
        assert_eq!([1, 2, 3].map(seen), ["together -5.5", "received +1.5", "received +4"]);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let remarks = |activity: Activity| listing(activity).remarks().join("\n");
        let deleted = remarks(activity());
        assert!(deleted.contains("blocks below 6: 4 transactions that the account sent"), "{deleted}");
        assert_eq!(remarks(Activity { first: Height(1), sent_before: Some(0), ..activity() }), "");
        let next = Some(TxPlace { index: 1, ..TxPlace::start_of(Height(6)) });
        assert_eq!(remarks(Activity { next, ..activity() }), "list older transactions with --before 6/1");
        assert!(remarks(Activity { witnesses: 1, ..activity() }).contains("only one node"));
        assert!(remarks(Activity { txs: Vec::new(), ..activity() }).contains("no transaction of ost1"));
    }
}
