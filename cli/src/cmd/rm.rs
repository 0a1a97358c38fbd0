//! `ostrakon rm`: destroys the key first, then ends the commitment; so a private object is unreadable from the first
//! moment on, whatever the network does. Both cannot be undone, so it asks.

use ostrakon::{Error, ErrorKind, Height, ObjectEntry, ObjectId};
use serde::Serialize;

use super::Home;
use crate::{
    args::Remove,
    exit::usage,
    output::{Output, bytes_text},
    progress::Progress,
};

#[derive(Debug, Serialize)]
struct Removed {
    cid: ObjectId,
    key_destroyed: bool,
    extents: usize,
    height: Option<Height>,
}

/// Runs the command.
///
/// # Errors
/// When it is not confirmed, the profile cannot be changed, the ledger has no such object, or another account owns it.
pub(crate) async fn run(args: &Remove, home: &Home, out: &Output) -> crate::Result<()> {
    let profile = home.profile()?;
    let (cid, objects) = (args.object.link(home).await?.object, profile.objects());
    let known = objects.find(&cid)?;
    let loss = loss(cid, known.as_ref());
    if !args.yes {
        confirm(&loss, out)?;
    }
    let key_destroyed = objects.forget(&cid)?;
    let progress = Progress::waiting("releasing", out);
    let released = home.connect()?.release(cid).on_event(progress.listener(out)).await;
    drop(progress);
    let released = released.map_err(|error| match key_destroyed {
        true => error.context(format_args!(
            "the key is destroyed, but the object is still stored and paid for: run `ostrakon rm {cid} --yes` again"
        )),
        false => error,
    })?;
    let height = released.iter().map(|included| included.height).max();
    let removed = Removed { cid, key_destroyed, extents: released.len(), height };
    out.answer(&removed, |_| {
        format!("removed {cid}: it ends with this epoch, and the rest of the escrow is refunded")
    })?;
    Ok(())
}

/// What is lost permanently.
fn loss(cid: ObjectId, known: Option<&ObjectEntry>) -> String {
    let Some(entry) = known else {
        return format!("{cid} will be deleted from the network");
    };
    let (name, size) = (&entry.name, bytes_text(entry.size));
    let is_private = entry.link.key.is_some();
    let key = if is_private { "; its key is destroyed, so no copy of it can be read without the link" } else { "" };
    format!("{name:?} ({size}, {cid}) will be deleted from the network{key}")
}

/// Asks on the terminal. Where nobody can be asked, `--yes` is needed.
fn confirm(loss: &str, out: &Output) -> crate::Result<()> {
    match out.confirmed(&format!("{loss}. Continue?"))? {
        None => Err(usage(format!("{loss}: confirm with --yes"))),
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(ErrorKind::Other, "not confirmed: nothing was removed")),
    }
}

#[cfg(test)]
mod tests {
    use ostrakon::{Link, ObjectKey};

    use super::*;

    #[test]
    fn the_loss_names_what_is_lost() {
        let cid = ObjectId::new([1; 32]);
        let entry = |key| ObjectEntry { link: Link { object: cid, key }, name: "a\nb".into(), size: 2048, time_ms: 1 };
        let private = loss(cid, Some(&entry(Some(ObjectKey::from_bytes([2; 32])))));
        assert!(private.contains("2.0 KiB") && private.contains("key is destroyed"), "{private}");
        assert!(!private.contains('\n') && !private.contains('#'), "{private}");
        assert!(!loss(cid, Some(&entry(None))).contains("key"));
        assert!(loss(cid, None).contains(&cid.to_string()));
    }
}
