//! `ostrakon name`: names on the ledger that point to objects. What is shown is proven; the profile's account signs
//! changes.

use ostrakon::{
    AccountId, Action, ChainError, Client, Error, ErrorKind, Expect, Height, Included, Name, NameSet, ObjectId,
    ledger::{NameRecord, SetName},
    object_of,
};
use serde::Serialize;

use super::Home;
use crate::{
    args::{NameCommand, NameSetArgs},
    exit::usage,
    output::{Output, Paint, Table},
    progress::Progress,
    target::NameOf,
};

/// A name as the ledger has it.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    owner: AccountId,
    /// `None` when the value does not name an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<ObjectId>,
    #[serde(flatten)]
    record: NameRecord,
    /// As of which block.
    height: Height,
}

/// A change of a name.
#[derive(Debug, Serialize)]
struct Changed {
    name: String,
    owner: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<ObjectId>,
    /// The version now; `None` of a name that was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The version before; 0 when it was not set.
    replaced: u64,
    #[serde(flatten)]
    included: Included,
}

/// Runs the command.
///
/// # Errors
/// When there is no profile or no such name, no node answers with a proof, or the name is not as expected.
pub(crate) async fn run(command: NameCommand, home: &Home, out: &Output) -> crate::Result<()> {
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
pub(crate) async fn object(name: &NameOf, home: &Home) -> crate::Result<ObjectId> {
    let (owner, _, found) = look(name, home).await?;
    let other =
        || Error::new(ErrorKind::NotFound, format!("name {} of {owner} does not point to an object", name.word));
    object_of(&found).ok_or_else(other)
}

/// The account of the name, the block as of which it was read, and its record.
async fn look(name: &NameOf, home: &Home) -> crate::Result<(AccountId, Height, NameRecord)> {
    let owner = name.owner.map_or_else(|| home.public().map(|profile| profile.account()), Ok)?;
    let (height, found) = home.reader()?.chain().name(owner, &name.word).await?;
    let none = || format!("name {} of {owner} is not set as of block {height} (proven)", name.word);
    Ok((owner, height, found.ok_or_else(|| Error::new(ErrorKind::NotFound, none()))?))
}

async fn show(name: &NameOf, home: &Home, out: &Output) -> crate::Result<()> {
    let (owner, height, record) = look(name, home).await?;
    let shown = Shown { name: name.word.to_string(), owner, cid: object_of(&record), record, height };
    out.answer(&shown, |paint| shown.text(paint))?;
    Ok(())
}

async fn set(args: &NameSetArgs, home: &Home, out: &Output) -> crate::Result<()> {
    let link = args.object.link(home).await?;
    if link.key.is_some() {
        let cid = link.object;
        return Err(usage(format!("the ledger is public and would reveal the link's key: give the CID alone, {cid}")));
    }
    let client = home.connect()?;
    // A name that is set already has its deposit.
    let account = client.account().ok_or(ChainError::NoKey)?;
    let version = client.chain().name(account, &args.name).await?.1.map_or(0, |found| found.version);
    let value = Some(link.object.to_string().into_bytes());
    client.check_funds(&Action::SetName(SetName { name: args.name.hash(), version, value })).await?;
    change(&client, (&args.name, Some(link.object)), args.expect(), out).await
}

async fn change(
    client: &Client,
    (name, object): (&Name, Option<ObjectId>),
    expect: Expect,
    out: &Output,
) -> crate::Result<()> {
    let owner = client.account().ok_or(ChainError::NoKey)?;
    let progress = Progress::waiting("naming", out);
    let NameSet { included, before } = client.set_name(name, object, expect).on_event(progress.listener(out)).await?;
    drop(progress);
    let (_, found) = client.chain().name(owner, name).await?;
    let now = found.filter(|found| object_of(found) == object && object.is_some());
    let version = now.map(|found| found.version);
    let changed = Changed { name: name.to_string(), owner, cid: object, version, replaced: before, included };
    out.answer(&changed, |_| changed.text())?;
    Ok(())
}

impl Shown {
    fn text(&self, paint: Paint) -> String {
        let other = || format!("not an object: {}", hex::encode(&self.record.value));
        let table = Table::of([
            ("name", self.name.clone()),
            ("owner", self.owner.to_string()),
            ("points to", self.cid.map_or_else(other, |cid| cid.to_string())),
            ("version", self.record.version.to_string()),
            ("deposit", format!("{} obols", self.record.deposit)),
        ]);
        table.render(paint)
    }
}

impl Changed {
    fn text(&self) -> String {
        let Self { name, included: Included { height, .. }, .. } = self;
        match (&self.cid, self.version) {
            (None, _) => format!("removed name {name} in block {height}"),
            (Some(cid), Some(version)) => {
                format!("name {name} points to {cid} at version {version}, in block {height}")
            }
            (Some(cid), None) => format!("name {name} pointed to {cid} in block {height}, and has been changed since"),
        }
    }
}
