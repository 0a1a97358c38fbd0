//! `ostrakon get`: fetches an object into a file, or to stdout. The SDK proves every byte, and writes the file whole or
//! not at all. Directories are in [`directory`].

use std::path::{Path, PathBuf};

use ostrakon::{Client, Fetched, GetError, GetOptions, ObjectEntry, Overwrite};
use ostrakon_proto::{link::Link, manifest::Content};
use serde::Serialize;
use tokio::time::Instant;

use super::{Home, interruptible};
use crate::{
    args::Get,
    exit::usage,
    output::{Output, bytes_text, rate_text},
    progress::Progress,
};

pub(super) mod directory;

/// What `get --json` prints: scripts rely on these fields.
#[derive(Debug, Serialize)]
pub(crate) struct GetObject {
    cid: String,
    pub(crate) size: u64,
    pub(crate) blake3: String,
    pub(crate) columns_used: Vec<UsedColumn>,
    columns_failed: Vec<FailedColumn>,
    pub(crate) reconstructed: bool,
    fetched_bytes: u64,
    /// Bytes that an earlier attempt had fetched.
    resumed: u64,
    pub(crate) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

/// A column that was read from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UsedColumn {
    pub(crate) extent: u32,
    pub(crate) index: u8,
    pub(crate) provider: String,
}

#[derive(Debug, Serialize)]
struct FailedColumn {
    extent: u32,
    index: u8,
    provider: Option<String>,
    reason: String,
    corrupt: bool,
}

impl GetObject {
    /// The object of what was fetched in this time.
    pub(crate) fn new(fetched: Fetched, seconds: f64, path: Option<&Path>) -> Self {
        Self {
            cid: fetched.object.to_string(),
            size: fetched.size,
            blake3: hex::encode(fetched.blake3),
            columns_used: fetched.columns_used.into_iter().map(UsedColumn::from).collect(),
            columns_failed: fetched.columns_failed.into_iter().map(FailedColumn::from).collect(),
            reconstructed: fetched.reconstructed,
            fetched_bytes: fetched.fetched_bytes,
            resumed: fetched.resumed,
            seconds,
            path: path.map(|path| path.display().to_string()),
        }
    }

    /// What a person wants to know: how much, how fast, and what was wrong on the way.
    pub(crate) fn text(&self) -> String {
        let size = bytes_text(self.size);
        let to = self.path.as_ref().map_or_else(String::new, |path| format!(" to {path}"));
        let recomputed = if self.reconstructed { ", partly recomputed from parity columns" } else { "" };
        let rate = rate_text(self.size - self.resumed, self.seconds);
        let before = match self.resumed {
            0 => String::new(),
            resumed => format!(" ({} were here from an earlier attempt)", bytes_text(resumed)),
        };
        let fetched = bytes_text(self.fetched_bytes);
        let done = format!("{size}{to}{before} in {:.1} s, {rate}, {fetched} fetched{recomputed}", self.seconds);
        [done, failures(&self.columns_failed)].join("\n").trim_end().to_owned()
    }

    /// What there is to say where the bytes themselves were printed.
    fn after_bytes(&self) -> String {
        let fetched = format!("{} of {} fetched", bytes_text(self.size), bytes_text(self.fetched_bytes));
        [fetched, failures(&self.columns_failed)].join("\n").trim_end().to_owned()
    }
}

/// The columns that failed, a line each.
fn failures(columns: &[FailedColumn]) -> String {
    // The reason names the node.
    let line = |column: &FailedColumn| format!("column {} failed: {}", column.index, column.reason);
    columns.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl From<ostrakon::UsedColumn> for UsedColumn {
    fn from(column: ostrakon::UsedColumn) -> Self {
        Self { extent: column.extent, index: column.index, provider: column.provider.to_string() }
    }
}

impl From<ostrakon::FailedColumn> for FailedColumn {
    fn from(column: ostrakon::FailedColumn) -> Self {
        let ostrakon::FailedColumn { extent, index, provider, reason, corrupt } = column;
        Self { extent, index, provider: provider.map(|provider| provider.to_string()), reason, corrupt }
    }
}

/// Runs the command.
///
/// # Errors
/// As the SDK's `get`; and when the file is there already.
pub(crate) async fn run(args: Get, home: &Home, out: &Output) -> anyhow::Result<()> {
    let target = args.target.target()?;
    let link = home.complete(target.link(home).await?)?;
    let overwrite = if args.force { Overwrite::Replace } else { Overwrite::Refuse };
    let within = target.path.as_ref();
    if within.is_some() && args.range.is_some() && !is_stdout(&args) {
        return Err(usage("a part of a file in a directory goes to stdout: say -o -, or use `ostrakon cat`"));
    }
    let options = GetOptions { range: args.range.clone(), overwrite, content: Some(Content::File) };
    if is_stdout(&args) {
        return match within {
            Some(path) => directory::to_stdout(&home.reader()?, (&link, path), args.range, out).await,
            None => to_stdout(&link, &options, &home.reader()?, out).await,
        };
    }
    let named = args.output.clone().or_else(|| within.map(directory::usual_name));
    let path = match named {
        Some(path) => path,
        None => usual_name(home.find(&link.object)?.as_ref(), &link),
    };
    refuse_existing(&path, overwrite)?;
    let client = home.reader()?;
    if within.is_some() {
        return directory::restore(&client, (&link, within), (&path, overwrite), out).await;
    }
    let began = Instant::now();
    let progress = Progress::new("get", out);
    let events = progress.events(out);
    let work = async {
        let got = client.get_to_path(&link, &options, &path, &events).await;
        got.map_err(|error| match error {
            GetError::Exists(path) => exists(&path),
            error => error.into(),
        })
    };
    let fetched = match interruptible(work).await {
        Err(error) if is_directory(&error) && args.range.is_none() => {
            drop(progress);
            return directory::restore(&client, (&link, None), (&path, overwrite), out).await;
        }
        fetched => fetched?,
    };
    drop(progress);
    let object = GetObject::new(fetched, began.elapsed().as_secs_f64(), Some(&path));
    out.answer(&object, |_| object.text())?;
    Ok(())
}

/// Writes the object's bytes to stdout, and what there is to say about it to stderr.
///
/// # Errors
/// As the SDK's `get`.
pub(crate) async fn to_stdout(link: &Link, options: &GetOptions, client: &Client, out: &Output) -> anyhow::Result<()> {
    let began = Instant::now();
    let progress = Progress::new("get", out);
    let fetched =
        interruptible(async { Ok(client.get(link, options, tokio::io::stdout(), &progress.events(out)).await?) })
            .await?;
    drop(progress);
    let object = GetObject::new(fetched, began.elapsed().as_secs_f64(), None);
    out.answer(&object, |_| object.after_bytes())?;
    Ok(())
}

fn is_stdout(args: &Get) -> bool {
    args.output.as_deref() == Some(Path::new("-"))
}

/// A file was asked for, and it is none: it is got in another way then.
fn is_directory(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<GetError>(), Some(GetError::IsDirectory(_)))
}

/// The name it was added by, without any directory, or else its CID.
fn usual_name(entry: Option<&ObjectEntry>, link: &Link) -> PathBuf {
    let name = entry.and_then(|entry| Path::new(&entry.name).file_name().map(PathBuf::from));
    name.unwrap_or_else(|| PathBuf::from(link.object.to_string()))
}

/// Said before anything is fetched; the SDK looks again at the end.
fn refuse_existing(path: &Path, overwrite: Overwrite) -> anyhow::Result<()> {
    let there = overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok();
    if there { Err(exists(path)) } else { Ok(()) }
}

fn exists(path: &Path) -> anyhow::Error {
    usage(format!("{} exists already: overwrite it with --force, or name another file with -o", path.display()))
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        id::{NodeId, ObjectId},
        manifest::Content,
    };

    use super::*;

    fn object() -> GetObject {
        let (object, provider) = (ObjectId::new([1; 32]), NodeId::new([2; 32]));
        let fetched = Fetched {
            object,
            content: Content::File,
            size: 3_000_000,
            blake3: [3; 32],
            resumed: 0,
            columns_used: vec![ostrakon::UsedColumn { extent: 0, index: 5, provider }],
            columns_failed: vec![ostrakon::FailedColumn {
                extent: 0,
                index: 1,
                provider: Some(provider),
                reason: "away".to_owned(),
                corrupt: false,
            }],
            reconstructed: true,
            fetched_bytes: 4_000_000,
        };
        GetObject::new(fetched, 2.0, None)
    }

    #[test]
    fn the_object_has_the_fields_that_scripts_rely_on() {
        let value = serde_json::to_value(object()).expect("serialises");
        assert_eq!(value["cid"], ObjectId::new([1; 32]).to_string());
        assert_eq!(value["size"], 3_000_000);
        assert_eq!(value["blake3"], "03".repeat(32));
        assert_eq!(value["columns_used"][0]["index"], 5);
        assert_eq!(value["columns_failed"][0]["reason"], "away");
        assert_eq!(value["reconstructed"], true);
        assert_eq!(value["seconds"], 2.0);
        assert!(value.get("path").is_none());
    }

    #[test]
    fn people_learn_what_failed_on_the_way() {
        let text = object().text();
        assert!(text.starts_with("2.9 MiB in 2.0 s, 1.4 MiB/s, 3.8 MiB fetched, partly recomputed"), "{text}");
        assert!(text.ends_with("\ncolumn 1 failed: away"), "{text}");
    }

    #[test]
    fn the_usual_name_never_leads_out_of_the_directory() {
        let link = Link { object: ObjectId::new([1; 32]), key: None };
        let check = |name: &str, expect: Option<&str>| {
            let entry = ObjectEntry { link: link.clone(), name: name.to_owned(), size: 1, time_ms: 1 };
            let expect = expect.map_or_else(|| link.object.to_string(), str::to_owned);
            assert_eq!(usual_name(Some(&entry), &link), PathBuf::from(expect), "{name}");
        };
        check("a.txt", Some("a.txt"));
        check("../../etc/passwd", Some("passwd"));
        check("..", None);
        check("", None);
        assert_eq!(usual_name(None, &link), PathBuf::from(link.object.to_string()));
    }
}
