//! `ostrakon add`: stores a file or stdin, remembers its link on this profile, and prints the link.
//!
//! A file's add has a journal, which goes last: after the link is remembered and printed. A run that is killed at any
//! moment and repeated thus ends with one object, paid once. `--resume` and `--abandon` are in [`super::unfinished`],
//! directories in [`directory`].

use std::path::Path;

use anyhow::Context;
use ostrakon::{AddOptions, Added, Client, CodeChoice, Journals, Kept, ObjectEntry, Origin, Profile, Quote, Traffic};
use ostrakon_proto::{
    id::NodeId,
    params::{Class, Code},
    placement::Tolerance,
};
use serde::Serialize;
use tokio::time::Instant;

use super::{Home, interruptible, key::backup_remark, unfinished, unix_ms};
use crate::{
    args::{self, Add},
    exit::usage,
    output::{Output, Paint, Table, bytes_text, rate_text},
    progress::Progress,
};

pub(crate) mod directory;

use directory::Answer;

/// What `add --json` prints: scripts rely on these fields.
#[derive(Debug, Serialize)]
pub(crate) struct AddObject {
    pub(crate) cid: String,
    pub(crate) link: String,
    pub(crate) size: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) code: Code,
    pub(crate) slots: Vec<SlotObject>,
    height: u64,
    expires_epoch: u64,
    price: String,
    survives: String,
    pub(crate) seconds: f64,
    #[serde(flatten)]
    traffic: TrafficObject,
}

/// What went over the network, and what did not have to.
#[derive(Debug, Serialize)]
struct TrafficObject {
    sent_bytes: u64,
    held_bytes: u64,
    resumed: bool,
}

/// Where one column is.
#[derive(Debug, Serialize)]
pub(crate) struct SlotObject {
    pub(crate) extent: u32,
    index: u8,
    pub(crate) provider: NodeId,
    domain: String,
    column: String,
    stored: bool,
}

impl AddObject {
    pub(crate) fn new(added: &Added, seconds: f64) -> Self {
        let slot = |slot: &ostrakon::AddedSlot| SlotObject {
            extent: slot.extent,
            index: slot.index,
            provider: slot.provider,
            domain: slot.domain.to_string(),
            column: slot.column.to_string(),
            stored: slot.stored,
        };
        let Traffic { sent_bytes, held_bytes, resumed } = added.traffic;
        Self {
            cid: added.link.object.to_string(),
            link: added.link.to_string(),
            size: added.size,
            stored_bytes: added.stored_bytes,
            code: added.code,
            slots: added.slots.iter().map(slot).collect(),
            height: added.height.0,
            expires_epoch: added.end.0,
            price: added.price.to_string(),
            survives: survives(added.code, added.tolerance),
            seconds,
            traffic: TrafficObject { sent_bytes, held_bytes, resumed },
        }
    }

    pub(crate) fn words(&self) -> String {
        let (size, rate) = (bytes_text(self.size), rate_text(self.size, self.seconds));
        let (Code { k, n }, stored) = (self.code, self.slots.iter().filter(|slot| slot.stored).count());
        let (sent, held) = (bytes_text(self.traffic.sent_bytes), bytes_text(self.traffic.held_bytes));
        let earlier = match self.traffic.resumed {
            true => format!("\nwent on where an earlier run stopped: {sent} sent now, {held} were there"),
            false => String::new(),
        };
        format!(
            "{size} in {:.1} s, {rate}; paid {} obols, until epoch {}\n\
             any {k} of {n} columns restore it, {stored} of {} are stored; it survives {}{earlier}",
            self.seconds,
            self.price,
            self.expires_epoch,
            self.slots.len(),
            self.survives
        )
    }
}

/// What `add --dry-run --json` prints.
#[derive(Debug, Serialize)]
struct QuoteObject {
    dry_run: bool,
    size: u64,
    stored_bytes: u64,
    code: Code,
    repair_threshold: u8,
    epochs: u64,
    price: String,
    fee: String,
    balance: String,
    survives: String,
}

/// Runs the command.
///
/// # Errors
/// As the SDK's `add`; and when there is no such file.
pub(crate) async fn run(args: Add, home: &Home, out: &Output) -> anyhow::Result<()> {
    let (options, profile) = (options(&args), home.profile()?);
    let path = match &args.path {
        _ if args.abandon => return unfinished::abandon(args.path.as_deref(), &profile, out).await,
        None if args.dry_run => return unfinished::list(&profile, out),
        None => return unfinished::resume(&profile, out).await,
        Some(path) => path,
    };
    let dry_run = args.dry_run;
    let done = match path == Path::new("-") {
        true if args.dry_run => Err(usage("the price of stdin is known only at its end: --dry-run needs a file")),
        true => stdin(&options, args.name.unwrap_or_default(), &profile, out).await,
        false if args.dry_run => quote(path, &options, &profile, out).await,
        false if path.is_dir() => {
            let name = args.name.unwrap_or_else(|| usual_name(path));
            directory::run((path, &name), &options, &profile, out).await
        }
        false => {
            let origin = origin(path)?;
            let origin = match args.name {
                Some(name) => origin.named(name),
                None => origin.named(usual_name(path)),
            };
            file(&origin, &options, &profile, out).await
        }
    };
    if done.is_ok() && !dry_run {
        out.words(&backup_remark(&profile));
    }
    done
}

async fn stdin(options: &AddOptions, name: String, profile: &Profile, out: &Output) -> anyhow::Result<()> {
    let client = profile.connect()?;
    let added = interruptible(add_stdin(&client, options, out)).await?;
    // The object is stored: whatever happens to the list, its link must be seen.
    let remembered = remember(profile, &added, name);
    out.words(&added.words());
    out.answer(&Answer::of_file(&added), |_| added.link.clone())?;
    remembered
}

async fn file(origin: &Origin, options: &AddOptions, profile: &Profile, out: &Output) -> anyhow::Result<()> {
    let (client, journals) = (profile.connect()?, profile.journals());
    let (added, kept) = loop {
        let adding = interruptible(add_file(&client, origin, (options, &journals), out)).await;
        let (added, kept) = adding.inspect_err(|_| out.words(&unfinished::remark(profile.public())))?;
        if !kept.outdated {
            break (added, kept);
        }
        keep_outdated(profile, origin, (&added, kept), out)?;
    };
    let remembered = remember(profile, &added, origin.name().to_owned());
    out.words(&added.words());
    out.answer(&Answer::of_file(&added), |_| added.link.clone())?;
    remembered?;
    drop(client);
    Ok(kept.journal.remove()?)
}

/// Remembers an object that an earlier run had stored, of a source that has changed since.
pub(crate) fn keep_outdated(
    profile: &Profile,
    origin: &Origin,
    (added, kept): (&AddObject, Kept),
    out: &Output,
) -> anyhow::Result<()> {
    remember(profile, added, origin.name().to_owned())?;
    out.words(&outdated_words(added));
    Ok(kept.journal.remove()?)
}

fn outdated_words(added: &AddObject) -> String {
    format!("what it was before it changed was stored already, and is in `ostrakon ls`: {}", added.cid)
}

/// Writes the link into the profile's list.
pub(crate) fn remember(profile: &Profile, added: &AddObject, name: String) -> anyhow::Result<()> {
    let entry = ObjectEntry {
        link: added.link.parse().context("the SDK's links are links")?,
        name,
        size: added.size,
        time_ms: unix_ms(),
    };
    let remembered = profile.objects().remember(&entry);
    remembered.context("the object is stored and its link printed, but this profile could not remember it")
}

fn options(args: &Add) -> AddOptions {
    let class = match args.class {
        args::Class::Standard => Class::Standard,
        args::Class::Economy => Class::Economy,
    };
    let code = args.code.map_or(CodeChoice::Class(class), CodeChoice::Code);
    AddOptions { public: args.public, code, epochs: args.epochs, all: args.all, ..AddOptions::default() }
}

/// Adds a file, or goes on with it.
///
/// # Errors
/// As the SDK's `add`.
pub(crate) async fn add_file(
    client: &Client,
    origin: &Origin,
    (options, journals): (&AddOptions, &Journals),
    out: &Output,
) -> anyhow::Result<(AddObject, Kept)> {
    let (began, progress) = (Instant::now(), Progress::new("add", out));
    let kept = client.add_file(origin, options, journals, &progress.events(out)).await?;
    drop(progress);
    Ok((AddObject::new(&kept.added, began.elapsed().as_secs_f64()), kept))
}

async fn add_stdin(client: &Client, options: &AddOptions, out: &Output) -> anyhow::Result<AddObject> {
    let (began, progress) = (Instant::now(), Progress::new("add", out));
    let added = client.add(tokio::io::stdin(), options, &progress.events(out)).await?;
    drop(progress);
    Ok(AddObject::new(&added, began.elapsed().as_secs_f64()))
}

/// A plain file, as it is now.
fn origin(path: &Path) -> anyhow::Result<Origin> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_file() {
        return Origin::file(path).map_err(|error| unreadable(path, &error));
    }
    Err(usage(format!("{} is neither a file nor a directory: pipe what it gives to `ostrakon add -`", path.display())))
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    usage(format!("cannot read {}: {error}", path.display()))
}

fn usual_name(path: &Path) -> String {
    if path == Path::new("-") {
        return String::new();
    }
    // "." and ".." have no name of their own.
    let whole = || path.canonicalize().ok()?.file_name().map(ToOwned::to_owned);
    let name = path.file_name().map(ToOwned::to_owned).or_else(whole);
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// What an object of this code survives, where its columns are spread so well.
pub(crate) fn survives(code: Code, tolerance: Tolerance) -> String {
    let nodes = match code.spare() {
        1 => "the loss of any node".to_owned(),
        spare => format!("the loss of any {spare} nodes"),
    };
    let domains = match tolerance {
        Tolerance::Nodes => "but not of every whole domain",
        Tolerance::Domain => "and of any whole domain",
        Tolerance::DomainAndNode => "and of a whole domain and one more node, even while a repair is pending",
        Tolerance::Disasters => "and of several whole domains",
    };
    format!("{nodes}, {domains}")
}

async fn quote(path: &Path, options: &AddOptions, profile: &Profile, out: &Output) -> anyhow::Result<()> {
    let client = profile.connect()?;
    let quote = match path.is_dir() {
        true => client.quote_directory(path, options).await?,
        false => client.quote(origin(path)?.size(), options).await?,
    };
    let object = QuoteObject::new(&quote);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

impl QuoteObject {
    fn new(quote: &Quote) -> Self {
        Self {
            dry_run: true,
            size: quote.size,
            stored_bytes: quote.stored_bytes,
            code: quote.code,
            repair_threshold: quote.repair_threshold,
            epochs: quote.epochs,
            price: quote.price.to_string(),
            fee: quote.fee.to_string(),
            balance: quote.balance.to_string(),
            survives: survives(quote.code, quote.tolerance),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let (Code { k, n }, stored) = (self.code, bytes_text(self.stored_bytes));
        let mut table = Table::new(0);
        table.plain([
            "price".to_owned(),
            format!("{} obols for {} epochs, and {} in fees", self.price, self.epochs, self.fee),
        ]);
        table.plain(["balance".to_owned(), format!("{} obols", self.balance)]);
        table.plain([
            "stored".to_owned(),
            format!("{stored} for {}: any {k} of {n} columns restore it", bytes_text(self.size)),
        ]);
        table.plain(["survives".to_owned(), self.survives.clone()]);
        table.render(paint)
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        id::{Amount, ColumnId, Epoch, Height, ObjectId},
        ledger::state::Domain,
        link::Link,
        seal::ObjectKey,
    };

    use super::*;

    fn added() -> Added {
        let domain = Domain { operator: "a".to_owned(), infrastructure: "b".to_owned(), region: "c".to_owned() };
        let slot = |index: u8| ostrakon::AddedSlot {
            extent: 0,
            index,
            provider: NodeId::new([index; 32]),
            domain: domain.clone(),
            column: ColumnId::new([9; 32]),
            stored: index != 2,
        };
        Added {
            link: Link { object: ObjectId::new([1; 32]), key: Some(ObjectKey::from_bytes([2; 32])) },
            size: 1_000_000,
            stored_bytes: 3_000_000,
            code: Code { k: 1, n: 3 },
            tolerance: Tolerance::Domain,
            slots: (0..3).map(slot).collect(),
            height: Height(7),
            end: Epoch(720),
            price: Amount(1_500_000),
            spread: 3,
            existing: false,
            traffic: Traffic { sent_bytes: 3_000_000, ..Traffic::default() },
        }
    }

    #[test]
    fn the_object_has_the_fields_that_scripts_rely_on() {
        let value = serde_json::to_value(AddObject::new(&added(), 0.5)).expect("serialises");
        assert_eq!(value["cid"], ObjectId::new([1; 32]).to_string());
        assert_eq!(value["link"], added().link.to_string());
        assert_eq!((value["size"].as_u64(), value["stored_bytes"].as_u64()), (Some(1_000_000), Some(3_000_000)));
        assert_eq!(value["code"], serde_json::json!({"k": 1, "n": 3}));
        assert_eq!((value["height"].as_u64(), value["seconds"].as_f64()), (Some(7), Some(0.5)));
        assert_eq!((value["sent_bytes"].as_u64(), value["resumed"].as_bool()), (Some(3_000_000), Some(false)));
        let slot = &value["slots"][2];
        assert_eq!(slot["provider"], NodeId::new([2; 32]).to_string());
        assert_eq!(slot["domain"], "a/b/c");
        assert_eq!(slot["column"], ColumnId::new([9; 32]).to_string());
        assert_eq!(slot["stored"], false);
    }

    #[test]
    fn people_learn_the_price_and_what_it_buys() {
        let words = AddObject::new(&added(), 0.5).words();
        assert!(words.starts_with("976.6 KiB in 0.5 s, 1.9 MiB/s; paid 1.5 obols, until epoch 720\n"), "{words}");
        let rest = "2 of 3 are stored; it survives the loss of any 2 nodes, and of any whole domain";
        assert!(words.ends_with(rest), "{words}");
        let traffic = Traffic { sent_bytes: 1 << 20, held_bytes: 2 << 20, resumed: true };
        let words = AddObject::new(&Added { traffic, ..added() }, 0.5).words();
        assert!(
            words.ends_with("went on where an earlier run stopped: 1.0 MiB sent now, 2.0 MiB were there"),
            "{words}"
        );
    }

    #[test]
    fn names_are_those_of_files() {
        let check = |path, expect: &str| assert_eq!(usual_name(Path::new(path)), expect);
        check("a/b.txt", "b.txt");
        check("-", "");
        check("/", "");
        check("a/b/", "b");
        assert!(!usual_name(Path::new(".")).is_empty());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let error = origin(Path::new("/dev/null")).expect_err("is no file").to_string();
        assert!(error.contains("/dev/null") && error.contains("ostrakon add -"), "{error}");
    }

    #[test]
    fn scripts_learn_what_was_added() {
        let object = AddObject::new(&added(), 0.5);
        let value = serde_json::to_value(Answer::of_file(&object)).expect("serialises");
        assert_eq!((value["content"].as_str(), value["size"].as_u64()), (Some("file"), Some(1_000_000)));
        assert!(value.get("entries").is_none() && value.get("skipped").is_none());
    }
}
