//! `ostrakon init`: a new profile: a key of its own, and the network it is for.

use ostrakon::Profile;
use ostrakon_proto::ledger::Genesis;
use serde::Serialize;

use super::Home;
use crate::{args::Init, exit::usage, output::Output};

#[derive(Debug, Serialize)]
struct Made {
    profile: String,
    network: String,
    chain: String,
    address: String,
}

/// Runs the command.
///
/// # Errors
/// When no network is named, its file is wrong, or there is a profile already.
pub(crate) fn run(args: Init, home: &Home, out: &Output) -> anyhow::Result<()> {
    let Some(path) = args.network else {
        return Err(usage(
            "which network? name its genesis file with --network FILE; to try things on this machine, \
             use `ostrakon devnet up`, which makes a profile too",
        ));
    };
    let dir = home.dir()?;
    let text =
        std::fs::read_to_string(&path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
    let genesis: Genesis =
        toml::from_str(&text).map_err(|error| usage(format!("{} is no genesis: {error}", path.display())))?;
    let profile = Profile::init(&dir, &genesis)?;
    let made = Made {
        profile: dir.display().to_string(),
        network: profile.genesis().name.clone(),
        chain: profile.genesis().id().to_string(),
        address: profile.account().to_string(),
    };
    out.answer(&made, |_| format!("profile {} for {:?}\naddress {}", made.profile, made.network, made.address))?;
    Ok(())
}
