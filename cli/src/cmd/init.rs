//! `ostrakon init`: a new profile: the network it is for, and an account key, under a passphrase.

use ostrakon::{AccountId, ChainId, Cost, Keypair, Profile, Protection, key_file, read_genesis};
use serde::Serialize;

use super::Home;
use crate::{args::Init, exit::usage, output::Output};

#[derive(Debug, Serialize)]
struct Made {
    profile: String,
    network: String,
    chain: ChainId,
    address: AccountId,
    passphrase: bool,
}

/// Runs the command.
///
/// # Errors
/// When no network is named, its file is wrong, there is a profile already, or no passphrase is given.
pub(crate) fn run(args: &Init, home: &Home, out: &Output) -> crate::Result<()> {
    let Some(path) = &args.network else {
        return Err(usage(
            "which network? name its genesis file with --network FILE; where there is none yet, `ostrakon key create` \
             makes an account that it can name; to try things on this machine, use `ostrakon devnet up`, which makes a \
             profile too",
        ));
    };
    let (dir, genesis) = (home.dir()?, read_genesis(path)?);
    let key = args.key_file.as_ref().map(key_file::read).transpose()?;
    let passphrase =
        (!args.no_passphrase).then(|| home.new_passphrase("the new profile (or use --no-passphrase)")).transpose()?;
    let protection =
        passphrase.as_ref().map_or(Protection::None, |given| Protection::Passphrase(given, Cost::default()));
    let profile = match key {
        Some(seed) => Profile::init_with(&dir, &genesis, &Keypair::from_seed(seed.bytes()), &protection)?,
        None => Profile::init(&dir, &genesis, &protection)?,
    };
    let made = Made {
        profile: dir.display().to_string(),
        network: profile.genesis().name.clone(),
        chain: profile.genesis().id(),
        address: profile.account(),
        passphrase: passphrase.is_some(),
    };
    out.answer(&made, |_| format!("profile {} for {:?}\naddress {}", made.profile, made.network, made.address))?;
    Ok(())
}
