//! `ostrakon add --resume` and `--abandon`: the adds of this profile that were interrupted.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ostrakon::{ErrorKind, Events, Journals, Origin, Profile, PublicProfile, Unfinished};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    add::{AddObject, add_file, directory, keep_outdated, remember},
    interruptible,
};
use crate::{
    exit::{self, answered, failure},
    output::{Output, Table, bytes_text},
};

/// What `add --resume --dry-run --json` prints.
#[derive(Debug, Serialize)]
struct ListObject {
    unfinished: Vec<UnfinishedObject>,
    failed: Vec<FailedObject>,
}

#[derive(Debug, Serialize)]
struct UnfinishedObject {
    path: PathBuf,
    name: String,
    size: u64,
    read_bytes: u64,
    journal: PathBuf,
}

/// An add with which nothing could be done.
#[derive(Debug, Serialize)]
struct FailedObject {
    /// Where its source is, when that is known.
    path: Option<PathBuf>,
    message: String,
    #[serde(skip)]
    kind: Option<ErrorKind>,
}

/// What `add --resume --json` and `add --abandon --json` print.
#[derive(Debug, Default, Serialize)]
struct DoneObject {
    /// Those that are stored and paid for.
    added: Vec<AddObject>,
    /// Those that were given up.
    abandoned: Vec<PathBuf>,
    failed: Vec<FailedObject>,
}

/// A line about the unfinished adds of this profile, for people; empty when there are none.
pub(crate) fn remark(profile: &PublicProfile) -> String {
    let count = profile.journals().list().map_or(0, |list| list.len());
    let adds = match count {
        0 => return String::new(),
        1 => "1 add is".to_owned(),
        _ => format!("{count} adds are"),
    };
    format!("{adds} unfinished: the same command goes on with it, and so does `ostrakon add --resume`")
}

/// Lists them.
///
/// # Errors
/// When they cannot be listed.
pub(crate) fn list(profile: &Profile, out: &Output) -> anyhow::Result<()> {
    let (unfinished, failed) = sorted(&profile.journals())?;
    let object = |one: Unfinished| UnfinishedObject {
        path: one.source,
        name: one.name,
        size: one.size,
        read_bytes: one.read_bytes,
        journal: one.journal,
    };
    let list = ListObject { unfinished: unfinished.into_iter().map(object).collect(), failed };
    if list.unfinished.is_empty() {
        out.words("no add is unfinished");
    }
    list.failed.iter().for_each(|failed| out.words(&failed.message));
    out.answer(&list, |paint| {
        let mut table = Table::new(0);
        for one in &list.unfinished {
            let done = format!("{} of {} read", bytes_text(one.read_bytes), bytes_text(one.size));
            table.plain([one.path.display().to_string(), done]);
        }
        table.render(paint)
    })?;
    Ok(())
}

/// Goes on with all of them.
///
/// # Errors
/// When one could not be finished; the others are.
pub(crate) async fn resume(profile: &Profile, out: &Output) -> anyhow::Result<()> {
    let journals = profile.journals();
    let (unfinished, failed) = sorted(&journals)?;
    if unfinished.is_empty() && failed.is_empty() {
        out.words("no add is unfinished");
    }
    let (mut done, mut finished) = (DoneObject { failed, ..DoneObject::default() }, Vec::new());
    for one in unfinished {
        let path = one.source.clone();
        match interruptible(go_on(&one, profile, out)).await {
            Ok(Finished { added, journal, complaint }) => {
                out.words(&format!("{}: {}", path.display(), added.words()));
                done.added.push(added);
                finished.extend(journal);
                if let Err(error) = complaint {
                    done.fail(path, &error);
                }
            }
            Err(error) if error.to_string() == INTERRUPTED => return Err(error),
            Err(error) => done.fail(path, &error),
        }
    }
    done.say(out)?;
    // Their links are remembered and printed now.
    finished.into_iter().try_for_each(ostrakon::Journal::remove)?;
    done.verdict()
}

/// What [`interruptible`] says when it was.
const INTERRUPTED: &str = "interrupted";

/// An add that is stored and paid for.
struct Finished {
    added: AddObject,
    journal: Option<ostrakon::Journal>,
    /// What is not in it, where that is something.
    complaint: anyhow::Result<()>,
}

async fn go_on(one: &Unfinished, profile: &Profile, out: &Output) -> anyhow::Result<Finished> {
    let client = profile.connect()?;
    if !one.is_file {
        let source = (one.source.as_path(), one.name.as_str());
        let (added, parts, journal) = directory::add(&client, source, (&one.options, profile), out).await?;
        remember(profile, &added, one.name.clone())?;
        return Ok(Finished { added, journal, complaint: parts.complaint() });
    }
    loop {
        let gone = || "the source cannot be read any more: `ostrakon add --abandon PATH` gives it up";
        let origin = Origin::file(&one.source).with_context(gone)?.named(one.name.clone());
        let (added, kept) = add_file(&client, &origin, (&one.options, &profile.journals()), out).await?;
        if !kept.outdated {
            remember(profile, &added, one.name.clone())?;
            return Ok(Finished { added, journal: Some(kept.journal), complaint: Ok(()) });
        }
        keep_outdated(profile, &origin, (&added, kept), out)?;
    }
}

/// Gives up those of `path`, or all.
///
/// # Errors
/// When there is none of that path, or one could not be given up; the others are.
pub(crate) async fn abandon(path: Option<&Path>, profile: &Profile, out: &Output) -> anyhow::Result<()> {
    let journals = profile.journals();
    let (mut unfinished, mut failed) = sorted(&journals)?;
    if let Some(path) = path {
        let source = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path))?;
        unfinished.retain(|one| one.source == source);
        failed.clear();
        if unfinished.is_empty() {
            return Err(failure(ErrorKind::NotFound, format!("no add of {} is unfinished", path.display())));
        }
    }
    let mut done = DoneObject { failed, ..DoneObject::default() };
    for one in unfinished {
        match interruptible(give_up(&one, profile)).await {
            Ok(None) => done.abandoned.push(one.source),
            Ok(Some(added)) => {
                let name = one.source.display();
                out.words(&format!("{name} is stored and paid for: it stays, and `ostrakon rm {}` ends it", added.cid));
                done.added.push(added);
            }
            Err(error) if error.to_string() == INTERRUPTED => return Err(error),
            Err(error) => done.fail(one.source, &error),
        }
    }
    done.say(out)?;
    done.verdict()
}

/// `None` when it is given up; what it turned out to be when all of it is stored.
async fn give_up(one: &Unfinished, profile: &Profile) -> anyhow::Result<Option<AddObject>> {
    let (client, began) = (profile.connect()?, Instant::now());
    let journal = profile.journals().open(one)?;
    let Some(kept) = client.abandon(journal, &Events::none()).await? else { return Ok(None) };
    let added = AddObject::new(&kept.added, began.elapsed().as_secs_f64());
    remember(profile, &added, one.name.clone())?;
    kept.journal.remove()?;
    Ok(Some(added))
}

/// Those that can go on, and those whose journals cannot be used.
fn sorted(journals: &Journals) -> anyhow::Result<(Vec<Unfinished>, Vec<FailedObject>)> {
    let (mut unfinished, mut failed) = (Vec::new(), Vec::new());
    for one in journals.list()? {
        match one {
            Ok(one) => unfinished.push(one),
            Err(error) => {
                failed.push(FailedObject { path: None, message: error.to_string(), kind: Some(error.kind()) });
            }
        }
    }
    Ok((unfinished, failed))
}

impl DoneObject {
    fn fail(&mut self, path: PathBuf, error: &anyhow::Error) {
        let message = format!("{}: {}", path.display(), exit::message(error));
        self.failed.push(FailedObject { path: Some(path), message, kind: Some(exit::kind(error)) });
    }

    fn say(&self, out: &Output) -> anyhow::Result<()> {
        for path in &self.abandoned {
            out.words(&format!("gave up {}", path.display()));
        }
        out.answer(self, |_| {
            let links: Vec<&str> = self.added.iter().map(|added| added.link.as_str()).collect();
            links.join("\n")
        })?;
        Ok(())
    }

    fn verdict(&self) -> anyhow::Result<()> {
        let Some(first) = self.failed.first() else { return Ok(()) };
        let messages: Vec<&str> = self.failed.iter().map(|failed| failed.message.as_str()).collect();
        Err(answered(first.kind.unwrap_or(ErrorKind::Other), messages.join("\n")))
    }
}
