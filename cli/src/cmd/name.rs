//! `ostrakon name`: names on the ledger that point to objects. What is shown is proven; the profile's account signs
//! changes.

use anyhow::Context;
use ostrakon::{Client, ErrorKind, Expect, Name, NameSet, object_of};
use ostrakon_proto::{
    id::{AccountId, Amount, Height, ObjectId},
    ledger::{
        state::NameRecord,
        tx::{Action, SetName, TxBody},
    },
};
use serde::Serialize;

use super::Home;
use crate::{
    args::{NameCommand, NameSetArgs},
    exit::{failure, usage},
    output::{Output, Paint, Table},
    progress::Progress,
    target::NameOf,
};

/// What `--json` prints of a name: scripts rely on these fields.
#[derive(Debug, Serialize)]
struct NameObject {
    name: String,
    owner: String,
    /// `None` when the value does not name an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    value_hex: String,
    version: u64,
    deposit: String,
    /// As of which block.
    height: u64,
}

/// A change of a name.
#[derive(Debug, Serialize)]
struct Changed {
    name: String,
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    /// The version now; `None` of a name that was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The version before; 0 when it was not set.
    replaced: u64,
    tx: String,
    height: u64,
}

/// Runs the command.
///
/// # Errors
/// When there is no profile or no such name, no node answers with a proof, or the name is not as expected.
pub(crate) async fn run(command: NameCommand, home: &Home, out: &Output) -> anyhow::Result<()> {
    match command {
        NameCommand::Set(args) => set(&args, home, out).await,
        NameCommand::Show { name } => show(&name, home, out).await,
        NameCommand::Remove { name, expect } => {
            let expect = expect.map_or(Expect::Any, Expect::Version);
            change(&home.connect()?, (&name, None), expect, out).await
        }
    }
}

/// The object that this name points to, proven.
///
/// # Errors
/// When no node responds with a proof, and when the name is not set or does not point to an object.
pub(crate) async fn object(name: &NameOf, home: &Home) -> anyhow::Result<ObjectId> {
    let (owner, _, found) = look(name, home).await?;
    let other = || failure(ErrorKind::NotFound, format!("name {} of {owner} does not point to an object", name.word));
    object_of(&found).ok_or_else(other)
}

/// The account of the name, the block as of which it was read, and its record.
async fn look(name: &NameOf, home: &Home) -> anyhow::Result<(AccountId, Height, NameRecord)> {
    let profile = home.public()?;
    let owner = name.owner.unwrap_or_else(|| profile.account());
    let (height, found) = profile.connect()?.chain().name(owner, &name.word).await?;
    let none = || format!("name {} of {owner} is not set as of block {height} (proven)", name.word);
    Ok((owner, height, found.ok_or_else(|| failure(ErrorKind::NotFound, none()))?))
}

async fn show(name: &NameOf, home: &Home, out: &Output) -> anyhow::Result<()> {
    let (owner, height, found) = look(name, home).await?;
    let object = NameObject {
        name: name.word.to_string(),
        owner: owner.to_string(),
        cid: object_of(&found).map(|object| object.to_string()),
        value_hex: hex::encode(&found.value),
        version: found.version,
        deposit: found.deposit.to_string(),
        height: height.0,
    };
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

async fn set(args: &NameSetArgs, home: &Home, out: &Output) -> anyhow::Result<()> {
    let link = args.object.link(home).await?;
    if link.key.is_some() {
        let cid = link.object;
        return Err(usage(format!("the ledger is public and would reveal the link's key: give the CID alone, {cid}")));
    }
    let client = home.connect()?;
    check_funds(&client, &args.name, link.object).await?;
    change(&client, (&args.name, Some(link.object)), args.expect(), out).await
}

async fn change(
    client: &Client,
    (name, object): (&Name, Option<ObjectId>),
    expect: Expect,
    out: &Output,
) -> anyhow::Result<()> {
    let owner = client.account().context("the profile has no account")?;
    let progress = Progress::waiting("naming", out);
    let NameSet { included, before } = client.set_name(name, object, expect).on_event(progress.listener(out)).await?;
    drop(progress);
    let (_, found) = client.chain().name(owner, name).await?;
    let now = found.filter(|found| object_of(found) == object && object.is_some());
    let changed = Changed {
        name: name.to_string(),
        owner: owner.to_string(),
        cid: object.map(|object| object.to_string()),
        version: now.map(|found| found.version),
        replaced: before,
        tx: included.tx.to_string(),
        height: included.height.0,
    };
    out.answer(&changed, |_| changed.text())?;
    Ok(())
}

/// Checked before anything is signed, and by the ledger again. A name that is set already has its deposit.
async fn check_funds(client: &Client, name: &Name, object: ObjectId) -> anyhow::Result<()> {
    let (chain, account) = (client.chain(), client.account().context("the profile has no account")?);
    let is_new = chain.name(account, name).await?.1.is_none();
    chain.head().await?;
    let (rules, balance) = (chain.rules(), client.balance().await?);
    let deposit = if is_new { rules.params.bonds.name } else { Amount::ZERO };
    let value = Some(object.to_string().into_bytes());
    let action = Action::SetName(SetName { name: name.hash(), version: 0, value });
    let body = TxBody { account, nonce: 0, valid_until: Height(0), fee: Amount::ZERO, action };
    let fee = rules.offer(&body);
    let enough = deposit.plus(fee).is_some_and(|need| need <= balance);
    let poor =
        || format!("the account has {balance} obols, and a new name needs a deposit of {deposit} and a fee of {fee}");
    if enough { Ok(()) } else { Err(failure(ErrorKind::Funds, poor())) }
}

impl NameObject {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0);
        table.plain(["name".to_owned(), self.name.clone()]);
        table.plain(["owner".to_owned(), self.owner.clone()]);
        let value = self.cid.clone().unwrap_or_else(|| format!("not an object: {}", self.value_hex));
        table.plain(["points to".to_owned(), value]);
        table.plain(["version".to_owned(), self.version.to_string()]);
        table.plain(["deposit".to_owned(), format!("{} obols", self.deposit)]);
        table.render(paint)
    }
}

impl Changed {
    fn text(&self) -> String {
        let Self { name, height, .. } = self;
        match (&self.cid, self.version) {
            (None, _) => format!("removed name {name} in block {height}"),
            (Some(cid), Some(version)) => {
                format!("name {name} points to {cid} at version {version}, in block {height}")
            }
            (Some(cid), None) => format!("name {name} pointed to {cid} in block {height}, and has been changed since"),
        }
    }
}
