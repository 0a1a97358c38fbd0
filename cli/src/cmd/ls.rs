//! `ostrakon ls`: what was added with this profile, from its own list. Whether it is still kept is `status`'s to say.
//! With a link, what is in a directory.

use serde::Serialize;

use super::{Home, unfinished};
use crate::{
    args::Ls,
    objects::{Entry, Objects},
    output::{Output, Table, bytes_text},
};

mod directory;

#[derive(Debug, Serialize)]
struct Listing {
    objects: Vec<Entry>,
}

/// Runs the command.
///
/// # Errors
/// When the list, or the directory, cannot be read.
pub(crate) async fn run(args: Ls, home: &Home, out: &Output) -> anyhow::Result<()> {
    match &args.target {
        Some(target) => directory::run(&target.link(home).await?, &args, home, out).await,
        None => added(home, out),
    }
}

fn added(home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.profile()?;
    let listing = Listing { objects: Objects::of(&profile).list()? };
    if listing.objects.is_empty() {
        out.words("nothing was added with this profile");
    }
    out.answer(&listing, |paint| {
        let mut table = Table::new(0);
        for entry in &listing.objects {
            let name = if entry.name.is_empty() { "-".to_owned() } else { entry.name.clone() };
            table.plain([entry.cid.to_string(), bytes_text(entry.size), name]);
        }
        table.render(paint)
    })?;
    out.words(&unfinished::remark(&profile));
    Ok(())
}
