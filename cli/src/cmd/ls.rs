//! `ostrakon ls`: what was added with this profile, from its own list. Whether it is still kept is `status`'s to say.
//! With a link, what is in a directory.

use ostrakon::{Error, ObjectEntry, ObjectsError};
use serde::Serialize;

use super::Home;
use crate::{
    args::Ls,
    exit::usage,
    output::{Output, Table, bytes_text},
};

mod directory;

#[derive(Debug, Serialize)]
struct Listing {
    objects: Vec<ObjectEntry>,
}

/// Runs the command.
///
/// # Errors
/// When the list, or the directory, cannot be read.
pub(crate) async fn run(args: Ls, home: &Home, out: &Output) -> anyhow::Result<()> {
    match &args.target.optional()? {
        Some(target) => directory::run(target, &args, home, out).await,
        None if args.long || args.recursive => Err(usage("-l and -R list a directory: name its link")),
        None => added(home, out),
    }
}

fn added(home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.public()?;
    let objects = match profile.objects().list() {
        Err(ObjectsError::Locked { .. }) => home.profile()?.objects().list(),
        list => list,
    };
    let listing = Listing { objects: objects.map_err(Error::from)? };
    if listing.objects.is_empty() {
        out.words("nothing was added with this profile");
    }
    out.answer(&listing, |paint| {
        let mut table = Table::new(0);
        for entry in &listing.objects {
            let name = if entry.name.is_empty() { "-".to_owned() } else { entry.name.clone() };
            table.plain([entry.link.object.to_string(), bytes_text(entry.size), name]);
        }
        table.render(paint)
    })?;
    Ok(())
}
