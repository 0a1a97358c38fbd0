//! `ostrakon add DIR`: a directory as one object. What cannot be stored is named, and the rest is stored.

use std::path::Path;

use ostrakon::{AddOptions, AddedDirectory, Client, ErrorKind, Journal, Keeping, Profile, Skipped};
use ostrakon_proto::pack::escape;
use serde::Serialize;
use tokio::time::Instant;

use super::{AddObject, outdated_words, remember};
use crate::{
    cmd::{interruptible, unfinished},
    exit::answered,
    output::Output,
    progress::Progress,
};

/// What `add --json` prints of anything: what it is, and how it was stored.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    content: &'static str,
    #[serde(flatten)]
    added: &'a AddObject,
    #[serde(flatten)]
    directory: Option<&'a Parts>,
}

/// What there is to say of a directory alone.
#[derive(Debug, Serialize)]
pub(crate) struct Parts {
    entries: u64,
    skipped: Vec<SkippedObject>,
}

#[derive(Debug, Serialize)]
struct SkippedObject {
    path: String,
    reason: String,
}

impl<'a> Answer<'a> {
    /// Of a file, or of a stream.
    pub(crate) fn of_file(added: &'a AddObject) -> Self {
        Self { content: "file", added, directory: None }
    }

    fn of_directory(added: &'a AddObject, parts: &'a Parts) -> Self {
        Self { content: "directory", added, directory: Some(parts) }
    }
}

impl Parts {
    fn new(entries: u64, skipped: &[Skipped]) -> Self {
        let object = |skipped: &Skipped| SkippedObject {
            path: escape(skipped.path.as_os_str().as_encoded_bytes()),
            reason: skipped.reason.clone(),
        };
        Self { entries, skipped: skipped.iter().map(object).collect() }
    }

    /// One line for a person.
    pub(crate) fn words(&self) -> String {
        format!("a directory of {} entries", self.entries)
    }

    /// A failure that names what is not stored, once the link was printed.
    pub(crate) fn complaint(&self) -> anyhow::Result<()> {
        if self.skipped.is_empty() {
            return Ok(());
        }
        let lines = self.skipped.iter().map(|skipped| format!("\n  {}: {}", skipped.path, skipped.reason));
        let (count, lines) = (self.skipped.len(), lines.collect::<String>());
        let rest = "everything else is stored";
        Err(answered(ErrorKind::Partial, format!("{count} entries are not in the directory, and {rest}:{lines}")))
    }
}

/// Adds a directory, or goes on with it; remembers and prints its link.
///
/// # Errors
/// As the SDK's `add_directory`; and that something is not stored.
pub(super) async fn run(
    (path, name): (&Path, &str),
    options: &AddOptions,
    profile: &Profile,
    out: &Output,
) -> anyhow::Result<()> {
    let client = profile.connect()?;
    let adding = interruptible(add(&client, (path, name), (options, profile), out)).await;
    let (added, parts, journal) = adding.inspect_err(|_| out.words(&unfinished::remark(profile.public())))?;
    // The object is stored: whatever happens to the list, its link must be seen.
    let remembered = remember(profile, &added, name.to_owned());
    out.words(&parts.words());
    out.words(&added.words());
    out.answer(&Answer::of_directory(&added, &parts), |_| added.link.clone())?;
    remembered?;
    drop(client);
    journal.map_or(Ok(()), Journal::remove)?;
    parts.complaint()
}

/// Adds a directory as it is now. What an earlier run had stored of it when it was different is remembered.
///
/// # Errors
/// As the SDK's `add_directory`.
pub(crate) async fn add(
    client: &Client,
    (path, name): (&Path, &str),
    (options, profile): (&AddOptions, &Profile),
    out: &Output,
) -> anyhow::Result<(AddObject, Parts, Option<Journal>)> {
    let journals = profile.journals();
    loop {
        let (began, progress) = (Instant::now(), Progress::new("add", out));
        let keeping = Some(Keeping { journals: &journals, name });
        let directory = client.add_directory(path, options, keeping, &progress.events(out)).await?;
        drop(progress);
        let AddedDirectory { added, entries, skipped, journal, outdated } = directory;
        let added = AddObject::new(&added, began.elapsed().as_secs_f64());
        if !outdated {
            return Ok((added, Parts::new(entries, &skipped), journal));
        }
        remember(profile, &added, name.to_owned())?;
        out.words(&outdated_words(&added));
        journal.map_or(Ok(()), Journal::remove)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    #[test]
    fn everything_that_is_not_stored_is_named() {
        let skipped = |path: &str| Skipped { path: path.into(), reason: "is a fifo".to_owned() };
        let parts = Parts::new(7, &[skipped("a/b"), skipped("c\nd")]);
        let error = parts.complaint().expect_err("two are missing");
        assert_eq!(exit::kind(&error), ErrorKind::Partial);
        let text = error.to_string();
        assert!(text.starts_with("2 entries") && text.ends_with(":\n  a/b: is a fifo\n  c\\nd: is a fifo"), "{text}");
        assert!(Parts::new(7, &[]).complaint().is_ok());
        let value = serde_json::to_value(&parts).expect("serialises");
        assert_eq!((value["entries"].as_u64(), value["skipped"][0]["path"].as_str()), (Some(7), Some("a/b")));
    }
}
