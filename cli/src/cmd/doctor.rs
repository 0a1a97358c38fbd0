//! `ostrakon doctor`: checks this machine, the profile and the network one after the other, and says how to fix what
//! is wrong. The verdicts are pure; only [`run`] does I/O.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use ostrakon::{Client, Error, ErrorKind, Head, PublicProfile, cpu_supported};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Home;
use crate::{
    exit,
    output::{Output, Paint, Style, Table},
};

/// How long the network may take to make a block.
const BLOCK: Duration = Duration::from_secs(15);
/// How often to look for one.
const LOOK: Duration = Duration::from_millis(250);
/// How far this machine's clock may be from the newest block's time.
const SKEW_MS: u64 = 60_000;

#[derive(Debug, Serialize)]
struct Diagnosis {
    healthy: bool,
    checks: Vec<Check>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

impl Check {
    fn new(name: &'static str, result: Result<String, String>) -> Self {
        let ok = result.is_ok();
        Self { name, ok, detail: result.unwrap_or_else(|problem| problem) }
    }
}

/// Runs the command.
///
/// # Errors
/// When a check fails: as a network failure when only the network is at fault.
pub(crate) async fn run(home: &Home, out: &Output) -> crate::Result<()> {
    let mut checks = vec![Check::new("processor", processor())];
    let dir = home.dir()?;
    let client = home.reader().map_err(|error| exit::message(&error));
    let profile = client.as_ref().map(|_| format!("{} is readable", dir.display())).map_err(String::clone);
    checks.push(Check::new("profile", profile));
    checks.push(Check::new("key file", key_file(&dir.join("keys"))));
    checks.extend(home.public().ok().map(|profile| Check::new("adds", adds(&profile))));
    if let Ok(client) = client {
        checks.extend(network(&client).await);
    }
    let diagnosis = Diagnosis { healthy: checks.iter().all(|check| check.ok), checks };
    out.answer(&diagnosis, |paint| diagnosis.text(paint))?;
    diagnosis.verdict()
}

fn processor() -> Result<String, String> {
    cpu_supported().map(|()| "supports the erasure code".to_owned()).map_err(|error| error.to_string())
}

fn key_file(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    key_mode(metadata.permissions().mode() & 0o777, path)
}

fn key_mode(mode: u32, path: &Path) -> Result<String, String> {
    if mode & 0o077 == 0 {
        return Ok(format!("only its owner can read {}", path.display()));
    }
    Err(format!("{0} has mode {mode:o}, so others can read the account key: run `chmod 600 {0}`", path.display()))
}

/// Adds that were interrupted are no fault, but somebody may have forgotten them.
fn adds(profile: &PublicProfile) -> Result<String, String> {
    let count = profile.journals().list().map_err(|error| error.to_string())?.len();
    Ok(match count {
        0 => "none is unfinished".to_owned(),
        _ => format!("{count} unfinished: `ostrakon uploads ls` lists them"),
    })
}

async fn network(client: &Client) -> Vec<Check> {
    let first = match client.chain().head().await {
        Ok(head) => head,
        Err(error) => return vec![Check::new("network", Err(error.to_string()))],
    };
    let mut checks = vec![Check::new("network", Ok(format!("a node responds, at height {}", first.height)))];
    let newest = next_block(client, &first).await;
    checks.push(Check::new("blocks", blocks(&first, newest.as_ref())));
    if let Some(head) = newest {
        checks.push(Check::new("clock", clock(ostrakon::now_ms(), head.time_ms)));
    }
    checks
}

/// The first block seen above `first`, while there is patience.
async fn next_block(client: &Client, first: &Head) -> Option<Head> {
    let deadline = Instant::now() + BLOCK;
    while Instant::now() < deadline {
        match client.chain().head().await {
            Ok(head) if head.height > first.height => return Some(head),
            _ => sleep(LOOK).await,
        }
    }
    None
}

fn blocks(first: &Head, newest: Option<&Head>) -> Result<String, String> {
    let stuck = || {
        let (height, seconds) = (first.height, BLOCK.as_secs());
        format!("no block after {height} within {seconds} s: validators are down, so nothing can be added for now")
    };
    newest.map(|head| format!("the height advances: {} to {}", first.height, head.height)).ok_or_else(stuck)
}

fn clock(now_ms: u64, block_ms: u64) -> Result<String, String> {
    let skew = now_ms.abs_diff(block_ms);
    let seconds = skew / 1_000;
    if skew <= SKEW_MS {
        return Ok(format!("within {} s of the newest block", seconds + 1));
    }
    Err(format!("{seconds} s off the newest block's time: set this machine's clock, for example with NTP"))
}

impl Diagnosis {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0);
        for check in &self.checks {
            let mark = if check.ok { (Style::Green, "ok") } else { (Style::Red, "bad") };
            let cells = [mark, (Style::Plain, check.name), (Style::Plain, &check.detail)];
            table.row(cells.into_iter().map(|(style, text)| (style, text.to_owned())).collect());
        }
        table.render(paint)
    }

    fn verdict(&self) -> crate::Result<()> {
        let bad: Vec<&str> = self.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect();
        let kind = match bad.as_slice() {
            [] => return Ok(()),
            ["network" | "blocks"] => ErrorKind::Network,
            _ => ErrorKind::Other,
        };
        Err(Error::new(kind, format!("not healthy: {}", bad.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_for_their_owner_alone() {
        let check = |mode, good| assert_eq!(key_mode(mode, Path::new("key")).is_ok(), good, "{mode:o}");
        check(0o600, true);
        check(0o400, true);
        check(0o640, false);
        check(0o604, false);
    }

    #[test]
    fn clocks_may_differ_a_little() {
        assert!(clock(1_000_000, 1_000_000 + SKEW_MS).is_ok());
        assert!(clock(1_000_000 + SKEW_MS + 1, 1_000_000).is_err());
    }

    #[test]
    fn the_verdict_tells_the_network_s_fault_from_ours() {
        let check = |bad: &[&'static str], expect: Option<ErrorKind>| {
            let checks = bad.iter().map(|name| Check::new(name, Err("x".to_owned()))).collect();
            let verdict = Diagnosis { healthy: bad.is_empty(), checks }.verdict();
            assert_eq!(verdict.err().map(|error| error.kind()), expect, "{bad:?}");
        };
        check(&[], None);
        check(&["network"], Some(ErrorKind::Network));
        check(&["clock"], Some(ErrorKind::Other));
        check(&["profile", "key file"], Some(ErrorKind::Other));
    }
}
