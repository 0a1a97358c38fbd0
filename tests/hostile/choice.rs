//! Which attacks are run, for how long, and how strictly they are judged: from arguments and the environment.
//!
//! Out come names and an [`Effort`]. Not here: what an attack is, and what is measured.

use std::{env, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use ostrakon_tests::{
    attack::{ATTACKS, EVERYTHING},
    scenarios::Part,
};

use crate::{
    judge::{self, Bounds},
    measure::Effort,
};

/// Seconds of an attack where the environment does not say: what is measured in fewer is judged less strictly.
const FULL_S: u32 = 60;
/// In fewer no add and get would fit.
const LEAST_S: u32 = 5;

/// The attacks whose names contain one of `filters`, or all, of those that `OSTRAKON_ATTACKS` names, or of all; and of
/// these the part that `OSTRAKON_PART` names.
///
/// # Errors
/// When one of `filters` is in no name, or `OSTRAKON_ATTACKS` names what is not an attack: nothing would be run, and
/// that would look as if all held.
pub(crate) fn names(filters: &[String]) -> Result<Vec<&'static str>> {
    let all = || ATTACKS.iter().map(|attack| attack.name).chain([EVERYTHING]);
    let listed = env::var("OSTRAKON_ATTACKS").unwrap_or_default();
    let listed: Vec<&str> = listed.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = listed.iter().find(|name| !all().any(|known| known == **name)) {
        bail!("OSTRAKON_ATTACKS: {unknown:?} is not an attack; `--list` lists them");
    }
    let is_part = |part: &&String| all().any(|name| name.contains(part.as_str()));
    if let Some(unknown) = filters.iter().find(|filter| !is_part(filter)) {
        bail!("no attack's name has {unknown:?} in it; `--list` lists them");
    }
    let is_listed = |name: &&str| listed.is_empty() || listed.contains(name);
    let is_wanted = |name: &&str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let part = Part::chosen();
    let chosen = all().filter(is_listed).filter(is_wanted).enumerate();
    Ok(chosen.filter(|(number, _)| part.has(*number)).map(|(_, name)| name).collect())
}

/// How much is measured, with the bounds for it: a minute for each attack, or `OSTRAKON_ATTACK_SECONDS`.
///
/// # Errors
/// When that is not a number, or too few.
pub(crate) fn effort() -> Result<(Effort, Bounds)> {
    let seconds = match env::var("OSTRAKON_ATTACK_SECONDS") {
        Ok(text) => text.parse().context("OSTRAKON_ATTACK_SECONDS is not a number")?,
        Err(_) => FULL_S,
    };
    ensure!(seconds >= LEAST_S, "OSTRAKON_ATTACK_SECONDS must be {LEAST_S} or more");
    let is_full = seconds >= FULL_S;
    let some = |full, short| Duration::from_secs(if is_full { full } else { short });
    let effort = Effort {
        attack: Duration::from_secs(seconds.into()),
        rounds: (seconds / 3).clamp(5, 20),
        patience: some(60, 15),
        after: some(60, 8),
        credit_bytes: if is_full { 1 << 30 } else { 1 << 28 },
    };
    Ok((effort, if is_full { judge::LONG } else { judge::SHORT }))
}
