//! `ostrakon get` and `cat` of directories, and of what is in them.

use std::{
    ffi::OsStr,
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use ostrakon::{Client, GetError, Overwrite, PackReadError, Restored};
use ostrakon_proto::{link::Link, pack::PackPath};
use serde::Serialize;
use tokio::time::Instant;

use super::{FailedColumn, GetObject, UsedColumn, exists, failures};
use crate::{
    cmd::interruptible,
    output::{Output, bytes_text, rate_text},
    progress::Progress,
};

/// What `get --json` prints of a directory, or of something in one.
#[derive(Debug, Serialize)]
struct RestoreObject {
    cid: String,
    content: &'static str,
    entries: u64,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    columns_used: Vec<UsedColumn>,
    columns_failed: Vec<FailedColumn>,
    reconstructed: bool,
    fetched_bytes: u64,
    bits_dropped: u64,
    seconds: f64,
    path: String,
}

impl RestoreObject {
    fn new(restored: Restored, seconds: f64, to: &Path) -> Self {
        Self {
            cid: restored.object.to_string(),
            content: if restored.blake3.is_some() { "file" } else { "directory" },
            entries: restored.entries,
            size: restored.size,
            blake3: restored.blake3.map(hex::encode),
            columns_used: restored.columns_used.into_iter().map(UsedColumn::from).collect(),
            columns_failed: restored.columns_failed.into_iter().map(FailedColumn::from).collect(),
            reconstructed: restored.reconstructed,
            fetched_bytes: restored.fetched_bytes,
            bits_dropped: restored.bits_dropped,
            seconds,
            path: to.display().to_string(),
        }
    }

    fn text(&self) -> String {
        let (size, rate) = (bytes_text(self.size), rate_text(self.size, self.seconds));
        let (entries, path, fetched) = (self.entries, &self.path, bytes_text(self.fetched_bytes));
        let entries = if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
        let mut text = format!("{entries}, {size} to {path} in {:.1} s, {rate}, {fetched} fetched", self.seconds);
        if self.bits_dropped > 0 {
            text +=
                &format!("\nthe set-user-id or set-group-id bits of {} entries are not restored", self.bits_dropped);
        }
        [text, failures(&self.columns_failed)].join("\n").trim_end().to_owned()
    }
}

/// Restores a directory, or what is at a path in it.
///
/// # Errors
/// As the SDK's `restore`.
pub(super) async fn restore(
    client: &Client,
    (link, path): (&Link, Option<&PackPath>),
    (to, overwrite): (&Path, Overwrite),
    out: &Output,
) -> anyhow::Result<()> {
    let (began, progress) = (Instant::now(), Progress::new("get", out));
    let events = progress.events(out);
    let work = async {
        let restored = async { client.open_pack(link).await?.restore(path, to, overwrite, &events).await };
        restored.await.map_err(|error| match error {
            PackReadError::Get(GetError::Exists(path)) => exists(&path),
            error => error.into(),
        })
    };
    let restored = interruptible(work).await?;
    drop(progress);
    let object = RestoreObject::new(restored, began.elapsed().as_secs_f64(), to);
    out.answer(&object, |_| object.text())?;
    Ok(())
}

/// Writes a file of a directory, or a range of it, to stdout.
///
/// # Errors
/// As the SDK's `read`.
pub(crate) async fn to_stdout(
    client: &Client,
    (link, path): (&Link, &PackPath),
    range: Option<Range<u64>>,
    out: &Output,
) -> anyhow::Result<()> {
    let (began, progress) = (Instant::now(), Progress::new("get", out));
    let events = progress.events(out);
    let work = async { Ok(client.open_pack(link).await?.read(path, range, tokio::io::stdout(), &events).await?) };
    let fetched = interruptible(work).await?;
    drop(progress);
    let object = GetObject::new(fetched, began.elapsed().as_secs_f64(), None);
    out.answer(&object, |_| object.after_bytes())?;
    Ok(())
}

/// The last part of a path in a directory, as the name of a file here.
pub(super) fn usual_name(path: &PackPath) -> PathBuf {
    OsStr::from_bytes(path.name()).into()
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::ObjectId;

    use super::*;

    #[test]
    fn people_and_scripts_learn_what_came() {
        let restored = Restored {
            object: ObjectId::new([1; 32]),
            entries: 12,
            size: 3_000_000,
            blake3: None,
            bits_dropped: 2,
            columns_used: Vec::new(),
            columns_failed: Vec::new(),
            reconstructed: false,
            fetched_bytes: 4 << 20,
        };
        let object = RestoreObject::new(restored.clone(), 2.0, Path::new("to"));
        let text = object.text();
        assert!(text.starts_with("12 entries, 2.9 MiB to to in 2.0 s, 1.4 MiB/s, 4.0 MiB fetched\n"), "{text}");
        assert!(text.ends_with("bits of 2 entries are not restored"), "{text}");
        let value = serde_json::to_value(object).expect("serialises");
        assert_eq!((value["content"].as_str(), value["entries"].as_u64()), (Some("directory"), Some(12)));
        assert!(value.get("blake3").is_none());
        let file = RestoreObject::new(Restored { blake3: Some([3; 32]), ..restored }, 2.0, Path::new("to"));
        assert_eq!((file.content, file.blake3), ("file", Some("03".repeat(32))));
    }

    #[test]
    fn a_part_is_called_as_in_the_directory() {
        let path = PackPath::new(&b"a/b\xff"[..]).expect("a path");
        assert_eq!(usual_name(&path), PathBuf::from(OsStr::from_bytes(b"b\xff")));
    }
}
