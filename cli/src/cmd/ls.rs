//! `ostrakon ls`: what was added with this profile, from its own list; with links, what is in those directories.
//! Whether an object is still stored is `status`'s to report.

use std::os::unix::ffi::OsStrExt;

use ostrakon::{ObjectEntry, Objects, escape};
use serde::Serialize;

use super::Home;
use crate::{
    args::Ls,
    exit::usage,
    output::{Output, Table, bytes_text},
    time,
};

mod directory;

/// What `ls --json` prints.
#[derive(Debug, Serialize)]
struct Listing {
    objects: Vec<ObjectEntry>,
}

/// Runs the command.
///
/// # Errors
/// When the list, or a directory, cannot be read.
pub(crate) async fn run(args: Ls, home: &Home, out: &Output) -> crate::Result<()> {
    match &args.targets.targets()?[..] {
        [] if args.recursive => Err(usage("-R needs a directory: give its link or CID")),
        [] => added(&args, home, out),
        targets => directory::run(targets, &args, home, out).await,
    }
}

fn added(args: &Ls, home: &Home, out: &Output) -> crate::Result<()> {
    let listing = Listing { objects: home.listed(Objects::list)? };
    if listing.objects.is_empty() {
        out.words("nothing was added with this profile");
    }
    out.answer(&listing, |paint| {
        let mut table = Table::new(0);
        for entry in &listing.objects {
            let (cid, size) = (entry.link.object.to_string(), bytes_text(entry.size));
            let name = if entry.name.is_empty() { "-".to_owned() } else { escape(entry.name.as_bytes()) };
            match args.long {
                true => table.plain([cid, size, time::of_ms(entry.time_ms), name]),
                false => table.plain([cid, size, name]),
            }
        }
        table.render(paint)
    })?;
    Ok(())
}
