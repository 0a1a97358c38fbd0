//! Adds a directory, lists it, and reads one file of it. Run it on a network of your own:
//!
//! ```text
//! ostrakon devnet up --dir net
//! OSTRAKON_PROFILE=net/profile cargo run --release -p ostrakon-examples --example directory examples
//! ostrakon devnet down --dir net
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::{Context, Result, ensure};
use ostrakon::{Client, EntryKind, Listing};

#[tokio::main]
async fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).context("usage: directory PATH")?;
    let client = Client::open_default()?;

    // Names, modes, times, symlinks and empty directories are stored; what cannot be read is left out and named.
    let added = client.add(&path).exclude(["target"]).await?;
    println!("added {} bytes: {}", added.size, added.link);
    for skipped in added.skipped() {
        println!("left out: {skipped:?}");
    }

    // The index is read page by page: a part of a large directory costs little.
    let directory = client.open_pack(&added.link).await?;
    let mut entries = directory.list(None, Listing::Everything).await?;
    let mut first = None;
    while let Some(entry) = entries.next().await? {
        println!("  {}", entry.path);
        if matches!(entry.kind, EntryKind::File(_)) {
            first.get_or_insert(entry.path);
        }
    }

    // One file is read without the others.
    let file = first.context("there is no file in the directory")?;
    let bytes = client.get(&added.link).path(file.as_bytes()).bytes().await?;
    println!("{file} has {} bytes", bytes.len());

    // A part of it, or all, can be restored to disk.
    let copy = tempfile::tempdir()?;
    let restored = client.get(&added.link).save(copy.path().join("copy")).await?;
    ensure!(restored.entries == Some(directory.entries()), "some entries are missing");
    Ok(())
}
