//! `ostrakon get`: fetches an object into a file, or to stdout. The SDK proves every byte, and writes the file whole or
//! not at all.

use std::path::{Path, PathBuf};

use ostrakon::{Fetched, GetError, GetOptions, Overwrite, Profile};
use ostrakon_proto::link::Link;
use serde::Serialize;
use tokio::time::Instant;

use super::{Home, interruptible};
use crate::{
    args::Get,
    exit::usage,
    objects::Objects,
    output::{Output, bytes_text, rate_text},
    progress::Progress,
};

/// What `get --json` prints: scripts rely on these fields.
#[derive(Debug, Serialize)]
pub(crate) struct GetObject {
    cid: String,
    pub(crate) size: u64,
    pub(crate) blake3: String,
    pub(crate) columns_used: Vec<UsedColumn>,
    columns_failed: Vec<FailedColumn>,
    pub(crate) reconstructed: bool,
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
        let used = fetched.columns_used.into_iter().map(|column| UsedColumn {
            extent: column.extent,
            index: column.index,
            provider: column.provider.to_string(),
        });
        let failed = fetched.columns_failed.into_iter().map(|column| FailedColumn {
            extent: column.extent,
            index: column.index,
            provider: column.provider.map(|provider| provider.to_string()),
            reason: column.reason,
            corrupt: column.corrupt,
        });
        Self {
            cid: fetched.object.to_string(),
            size: fetched.size,
            blake3: hex::encode(fetched.blake3),
            columns_used: used.collect(),
            columns_failed: failed.collect(),
            reconstructed: fetched.reconstructed,
            resumed: fetched.resumed,
            seconds,
            path: path.map(|path| path.display().to_string()),
        }
    }

    /// What a person wants to know: how much, how fast, and what was wrong on the way.
    pub(crate) fn text(&self) -> String {
        let size = bytes_text(self.size);
        let to = self.path.as_ref().map_or_else(String::new, |path| format!(" to {path}"));
        let anew = if self.reconstructed { ", partly computed anew from parity columns" } else { "" };
        let rate = rate_text(self.size - self.resumed, self.seconds);
        let before = match self.resumed {
            0 => String::new(),
            resumed => format!(" ({} were here from an earlier attempt)", bytes_text(resumed)),
        };
        let done = format!("{size}{to}{before} in {:.1} s, {rate}{anew}", self.seconds);
        [done, self.failures()].join("\n").trim_end().to_owned()
    }

    /// The columns that failed, a line each.
    fn failures(&self) -> String {
        // The reason names the node.
        let line = |column: &FailedColumn| format!("column {} failed: {}", column.index, column.reason);
        self.columns_failed.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Runs the command.
///
/// # Errors
/// As the SDK's `get`; and when the file is there already.
pub(crate) async fn run(args: Get, home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.profile()?;
    let objects = Objects::of(&profile);
    let link = objects.complete(&args.link)?;
    let overwrite = if args.force { Overwrite::Replace } else { Overwrite::Refuse };
    let options = GetOptions { range: args.range, overwrite };
    if args.output.as_deref() == Some(Path::new("-")) {
        return to_stdout(&link, &options, &profile, out).await;
    }
    let path = args.output.map_or_else(|| usual_name(&objects, &link), Ok)?;
    refuse_existing(&path, overwrite)?;
    let client = profile.connect()?;
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
    let fetched = interruptible(work).await?;
    drop(progress);
    let object = GetObject::new(fetched, began.elapsed().as_secs_f64(), Some(&path));
    out.answer(&object, |_| object.text())?;
    Ok(())
}

/// Writes the object's bytes to stdout, and what there is to say about it to stderr.
///
/// # Errors
/// As the SDK's `get`.
pub(crate) async fn to_stdout(
    link: &Link,
    options: &GetOptions,
    profile: &Profile,
    out: &Output,
) -> anyhow::Result<()> {
    let client = profile.connect()?;
    let began = Instant::now();
    let progress = Progress::new("get", out);
    let fetched =
        interruptible(async { Ok(client.get(link, options, tokio::io::stdout(), &progress.events(out)).await?) })
            .await?;
    drop(progress);
    let object = GetObject::new(fetched, began.elapsed().as_secs_f64(), None);
    out.answer(&object, |_| object.failures())?;
    Ok(())
}

/// The name it was added by, without any directory, or else its CID.
fn usual_name(objects: &Objects, link: &Link) -> anyhow::Result<PathBuf> {
    let entry = objects.find(&link.object)?;
    let name = entry.and_then(|entry| Path::new(&entry.name).file_name().map(PathBuf::from));
    Ok(name.unwrap_or_else(|| PathBuf::from(link.object.to_string())))
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
    use crate::objects::Entry;
    use ostrakon_proto::id::{NodeId, ObjectId};

    use super::*;

    fn object() -> GetObject {
        let (object, provider) = (ObjectId::new([1; 32]), NodeId::new([2; 32]));
        let fetched = Fetched {
            object,
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
        assert!(text.starts_with("2.9 MiB in 2.0 s, 1.5 MB/s, partly computed anew"), "{text}");
        assert!(text.ends_with("\ncolumn 1 failed: away"), "{text}");
    }

    #[test]
    fn the_usual_name_never_leads_out_of_the_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let objects = Objects::in_directory(dir.path());
        let check = |byte, name: &str, expect: Option<&str>| {
            let cid = ObjectId::new([byte; 32]);
            let link = Link { object: cid, key: None };
            objects
                .append(&Entry { cid, link: link.to_string(), name: name.to_owned(), size: 1, time_ms: 1 })
                .expect("appends");
            let expect = expect.map_or_else(|| cid.to_string(), str::to_owned);
            assert_eq!(usual_name(&objects, &link).expect("reads"), PathBuf::from(expect), "{name}");
        };
        check(1, "a.txt", Some("a.txt"));
        check(2, "../../etc/passwd", Some("passwd"));
        check(3, "..", None);
        check(4, "", None);
        let unknown = Link { object: ObjectId::new([9; 32]), key: None };
        assert_eq!(usual_name(&objects, &unknown).expect("reads"), PathBuf::from(unknown.object.to_string()));
    }
}
