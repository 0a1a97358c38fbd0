//! `ostrakon rm`: destroys the key first, then ends the commitment; so a private object is unreadable from the first
//! moment on, whatever the network does.

use anyhow::Context;
use serde::Serialize;

use super::Home;
use crate::{args::Named, objects::Objects, output::Output, progress::Progress};

#[derive(Debug, Serialize)]
struct Removed {
    cid: String,
    key_destroyed: bool,
    extents: usize,
    height: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// When the profile cannot be changed, the ledger does not have the object, or it is somebody else's.
pub(crate) async fn run(args: &Named, home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.profile()?;
    let object = args.object();
    let key_destroyed = Objects::of(&profile).remove(&object)?;
    let progress = Progress::waiting("releasing", out);
    let released = profile.connect()?.release(object, &progress.events(out)).await;
    drop(progress);
    let released = match key_destroyed {
        true => released.with_context(|| {
            format!("this profile has forgotten the object, but its commitment goes on: repeat `ostrakon rm {object}`")
        })?,
        false => released?,
    };
    let removed = Removed {
        cid: object.to_string(),
        key_destroyed,
        extents: released.len(),
        height: released.iter().map(|included| included.height.0).max(),
    };
    out.answer(&removed, |_| format!("removed {object}; the unused escrow came back"))?;
    Ok(())
}
