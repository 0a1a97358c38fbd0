//! What an attack did, against what the same network does beside a busy loop: the table, and whether it holds.
//!
//! Pure: measurements come in, lines and breaches go out.

use std::time::Duration;

use ostrakon_tests::attack::{ATTACKS, AttackReport, Reach, WAITING};

/// What was measured while one attack ran, and after it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// The attack.
    pub(crate) name: String,
    /// Heights a second.
    pub(crate) pace: f64,
    /// How long each add took; nothing for one that failed.
    pub(crate) adds: Vec<Option<Duration>>,
    /// How long each get took; nothing for one that failed.
    pub(crate) gets: Vec<Option<Duration>>,
    /// Bytes that the largest node had resident at most.
    pub(crate) peak: u64,
    /// Bytes that the largest node has resident some time after.
    pub(crate) after: u64,
    /// Why the network is not well 5 s after, if it is not.
    pub(crate) unwell: Option<String>,
    /// What the attacker says.
    pub(crate) report: AttackReport,
    /// What the nodes say that they refused, by class and reason.
    pub(crate) refused: Vec<(String, f64)>,
    /// How often a validator decided a block after its first round.
    pub(crate) late: f64,
}

/// What is asked of a network under attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Heights a second, as a part of those without attack.
    pub(crate) pace: f64,
    /// An add or get may take this many times as long, and so much longer.
    pub(crate) times: u32,
    pub(crate) longer: Duration,
    /// Bytes resident during an attack.
    pub(crate) peak: u64,
    /// Bytes resident after it: so many tenths of those without attack, and so many more.
    pub(crate) after_tenths: u64,
    pub(crate) after_more: u64,
}

const MIB: u64 = 1 << 20;

/// Attacks that exceed a limit, and what metrics or logs must show as refused: the operator looks there.
const VISIBLE: [(&str, &str); 6] = [
    ("silent", "handshake"),
    ("silent-fast", "handshake"),
    ("connections", "connection"),
    ("votes", "consensus"),
    ("forged-votes", "forger"),
    ("claims", "forger"),
];

/// What is asked where every attack has a minute.
pub(crate) const LONG: Bounds = Bounds {
    pace: 0.9,
    times: 2,
    longer: Duration::from_millis(500),
    peak: 512 * MIB,
    after_tenths: 15,
    after_more: 32 * MIB,
};

/// What is asked where it has less: only what breaks plainly is a breach.
pub(crate) const SHORT: Bounds = Bounds {
    pace: 0.5,
    times: 4,
    longer: Duration::from_secs(2),
    peak: 512 * MIB,
    after_tenths: 20,
    after_more: 64 * MIB,
};

impl Measured {
    /// Whether blocks were decided and no add or get failed, so that others can be measured against it.
    pub(crate) fn is_sound(&self) -> bool {
        let mut all = self.adds.iter().chain(&self.gets);
        self.pace > 0.0 && !self.adds.is_empty() && all.all(Option::is_some)
    }
}

impl Bounds {
    /// What does not hold, against the measurement without attack.
    pub(crate) fn breaches(&self, quiet: &Measured, under: &Measured) -> Vec<String> {
        let mut breaches = Vec::new();
        let ratio = under.pace / quiet.pace.max(0.001);
        if ratio < self.pace {
            breaches.push(format!("{ratio:.2} x the heights a second, under {}", self.pace));
        }
        for (what, before, now) in [("add", &quiet.adds, &under.adds), ("get", &quiet.gets, &under.gets)] {
            let failed = now.iter().filter(|took| took.is_none()).count();
            if failed > 0 {
                breaches.push(format!("{failed} of {} {what}s failed", now.len()));
            }
            let most = self.most(median(before));
            if let Some(took) = median(now).filter(|took| *took > most) {
                breaches.push(format!("{what} takes {:.2} s, over {:.2} s", took.as_secs_f64(), most.as_secs_f64()));
            }
        }
        if under.peak > self.peak {
            breaches.push(format!("{} MiB resident, over {}", under.peak / MIB, self.peak / MIB));
        }
        let after = quiet.after / 10 * self.after_tenths + self.after_more;
        if under.after > after {
            breaches.push(format!("{} MiB resident after it, over {}", under.after / MIB, after / MIB));
        }
        breaches.extend(under.unwell.as_ref().map(|why| format!("5 s after it: {why}")));
        if let Some((_, class)) = VISIBLE.iter().find(|(name, _)| *name == under.name)
            && !under.refused.iter().any(|(labels, _)| labels.contains(class))
        {
            breaches.push(format!("neither metrics nor logs show that a {class} was refused"));
        }
        // These are no attackers.
        if under.name == WAITING && under.late > quiet.late {
            let (late, before) = (under.late, quiet.late);
            breaches.push(format!("{late} blocks were decided after their first round, over {before}"));
        }
        let attack = ATTACKS.iter().find(|attack| attack.name == under.name);
        let reach = attack.map_or(Reach::Answers, |attack| attack.reach);
        if under.report.reached(reach) == 0 {
            breaches.push(format!("nothing is shown: the attack did not come as far as {reach:?}"));
        }
        breaches
    }

    /// How long an add or get may take whose median without attack is this.
    pub(crate) fn most(&self, quiet: Option<Duration>) -> Duration {
        quiet.unwrap_or_default() * self.times + self.longer
    }
}

/// What the nodes say that they refused, in one line.
pub(crate) fn refusals(under: &Measured) -> String {
    let each = under.refused.iter().map(|(labels, count)| format!("{count} {labels}"));
    let all = each.collect::<Vec<_>>().join(", ");
    let refused = if all.is_empty() { "nothing" } else { &all };
    format!("the nodes say: {} blocks took a second round, and refused: {refused}", under.late)
}

/// The median of those that did not fail.
pub(crate) fn median(took: &[Option<Duration>]) -> Option<Duration> {
    let mut all: Vec<Duration> = took.iter().copied().flatten().collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

/// The columns of the table.
pub(crate) fn heading() -> String {
    format!(
        "{:<20} {:>7} {:>7} {:>7} {:>9} {:>8} {:>8}  {}",
        "attack", "heights", "add", "get", "failures", "peak MiB", "after", "verdict"
    )
}

/// One line of the table.
pub(crate) fn line(quiet: &Measured, under: &Measured, breaches: &[String]) -> String {
    let seconds = |took: &[Option<Duration>]| {
        median(took).map_or_else(|| "-".to_owned(), |took| format!("{:.2} s", took.as_secs_f64()))
    };
    let failures = under.adds.iter().chain(&under.gets).filter(|took| took.is_none()).count();
    let tried = under.adds.len() + under.gets.len();
    format!(
        "{:<20} {:>5.2} x {:>7} {:>7} {:>9} {:>8} {:>8}  {}",
        under.name,
        under.pace / quiet.pace.max(0.001),
        seconds(&under.adds),
        seconds(&under.gets),
        format!("{failures} of {tried}"),
        under.peak / MIB,
        under.after / MIB,
        if breaches.is_empty() { "ok".to_owned() } else { format!("FAILED: {}", breaches.join("; ")) },
    )
}
