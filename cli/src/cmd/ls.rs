//! `ostrakon ls`: what was added with this profile, from its own list. Whether it is still kept is `status`'s to say.

use serde::Serialize;

use super::{Home, unfinished};
use crate::{
    objects::{Entry, Objects},
    output::{Output, Table, bytes_text},
};

#[derive(Debug, Serialize)]
struct Listing {
    objects: Vec<Entry>,
}

/// Runs the command.
///
/// # Errors
/// When the list can not be read.
pub(crate) fn run(home: &Home, out: &Output) -> anyhow::Result<()> {
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
