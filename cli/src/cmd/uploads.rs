//! `ostrakon uploads`: the adds of this profile that were interrupted.

use std::path::PathBuf;

use ostrakon::{Added, Client, Error, ErrorKind, PublicProfile, Unfinished};
use serde::Serialize;

use super::{
    Home,
    add::{Several, complaint, words},
};
use crate::{
    args::Uploads,
    output::{Output, Table, bytes_text},
    progress::Progress,
};

/// What `uploads ls --json` prints.
#[derive(Debug, Serialize)]
struct ListObject {
    unfinished: Vec<Unfinished>,
    /// What is wrong with journals that cannot be used.
    failed: Vec<String>,
}

/// What `uploads abort --json` prints.
#[derive(Debug, Default, Serialize)]
struct AbortObject {
    aborted: Vec<PathBuf>,
    #[serde(flatten)]
    rest: Several,
}

/// Runs the command.
///
/// # Errors
/// The first failure, after the others were resumed or given up.
pub(crate) async fn run(command: Uploads, home: &Home, out: &Output) -> crate::Result<()> {
    let list = list(&home.public()?)?;
    match command {
        Uploads::Ls => print_list(&list, out),
        Uploads::Resume { paths } => resume(&home.connect()?, &chosen(list, &paths, out)?, out).await,
        Uploads::Abort { paths, .. } => abort(&home.connect()?, &chosen(list, &paths, out)?, out).await,
    }
}

fn list(profile: &PublicProfile) -> crate::Result<ListObject> {
    let (mut unfinished, mut failed) = (Vec::new(), Vec::new());
    for one in profile.journals().list()? {
        match one {
            Ok(one) => unfinished.push(one),
            Err(error) => failed.push(error.to_string()),
        }
    }
    Ok(ListObject { unfinished, failed })
}

fn print_list(list: &ListObject, out: &Output) -> crate::Result<()> {
    if list.unfinished.is_empty() {
        out.words("there are no unfinished adds");
    }
    list.failed.iter().for_each(|failed| out.words(failed));
    out.answer(list, |paint| {
        let mut table = Table::new(0);
        for one in &list.unfinished {
            let done = format!("{} of {} read", bytes_text(one.read_bytes), bytes_text(one.size));
            table.plain([one.source.display().to_string(), done]);
        }
        table.render(paint)
    })?;
    Ok(())
}

/// Those of these paths; all of them when there are none.
fn chosen(list: ListObject, paths: &[PathBuf], out: &Output) -> crate::Result<Vec<Unfinished>> {
    if paths.is_empty() {
        if list.unfinished.is_empty() {
            out.words("there are no unfinished adds");
        }
        list.failed.iter().for_each(|failed| out.words(failed));
        return Ok(list.unfinished);
    }
    let mut chosen = Vec::new();
    for path in paths {
        let source = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path))?;
        let before = chosen.len();
        chosen.extend(list.unfinished.iter().filter(|one| one.source == source).cloned());
        if chosen.len() == before {
            let text = format!("there is no unfinished add of {}: `ostrakon uploads ls` lists them", path.display());
            return Err(Error::new(ErrorKind::NotFound, text));
        }
    }
    Ok(chosen)
}

async fn resume(client: &Client, chosen: &[Unfinished], out: &Output) -> crate::Result<()> {
    let (mut all, mut complaints) = (Several::default(), Ok(()));
    for one in chosen {
        match resume_one(client, one, out).await {
            Ok(added) => {
                complaints = complaints.and(complaint(&added));
                all.added.push(added);
            }
            Err(error) => all.fail(&one.source, &error),
        }
    }
    out.answer(&all, |_| all.links())?;
    all.verdict().and(complaints)
}

async fn resume_one(client: &Client, one: &Unfinished, out: &Output) -> crate::Result<Added> {
    let progress = Progress::new("add", out);
    let result = client.resume(one).on_event(progress.listener(out)).await;
    drop(progress);
    let added = result?;
    out.words(&format!("{}: {}", one.source.display(), words(&added, &client.chain().pace())));
    Ok(added)
}

async fn abort(client: &Client, chosen: &[Unfinished], out: &Output) -> crate::Result<()> {
    let mut done = AbortObject::default();
    for one in chosen {
        match client.abort(one).await {
            Ok(None) => {
                out.words(&format!("aborted the add of {}", one.source.display()));
                done.aborted.push(one.source.clone());
            }
            Ok(Some(added)) => {
                let (path, cid) = (one.source.display(), added.link.object);
                out.words(&format!("{path} is already stored and paid for: remove it with `ostrakon rm {cid}`"));
                done.rest.added.push(added);
            }
            Err(error) => done.rest.fail(&one.source, &error),
        }
    }
    out.answer(&done, |_| done.rest.links())?;
    done.rest.verdict()
}
