//! Durations and dates, in UTC: the same on every machine. In go the term that a user types and the epochs that the
//! ledger counts; out come epochs, and dates beside them.

use std::time::Duration;

use clap::Args;
use ostrakon::{Epoch, Pace};

const DAY: i64 = 86_400;

/// How long an object is paid for.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Term {
    /// How long to pay for, such as 36h, 30d, 2months or 1y
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// How long to pay for, in epochs of the network
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: Option<u64>,
}

impl Term {
    /// The term in epochs; `None` when neither flag was given. A duration is rounded up.
    pub(crate) fn epochs(&self, pace: &Pace) -> Option<u64> {
        self.epochs.or_else(|| self.duration.map(|duration| pace.epochs_in(duration)))
    }
}

/// `30d`, `1y 6months`: as systemd and humantime write it, and longer than nothing.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let example = "need a number and a unit, such as 36h, 30d, 2months or 1y";
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err(format!("must be positive: {example}")),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}: {example}")),
    }
}

/// Seconds of Unix time as `2001-09-09 01:46:40`.
pub(crate) fn text(seconds: i64) -> String {
    let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{} {hour:02}:{minute:02}:{second:02}", day_text(day))
}

/// Milliseconds of Unix time as `2001-09-09 01:46:40 UTC`.
pub(crate) fn of_ms(ms: u64) -> String {
    format!("{} UTC", text(i64::try_from(ms / 1_000).unwrap_or(i64::MAX)))
}

/// `epoch 720 (2026-12-26)`, to the minute when it is less than two days from the pace's block.
pub(crate) fn of_epoch(epoch: Epoch, pace: &Pace) -> String {
    let seconds = i64::try_from(pace.starts_ms(epoch) / 1_000).unwrap_or(i64::MAX);
    let near = seconds.abs_diff(i64::try_from(pace.time_ms() / 1_000).unwrap_or(i64::MAX)) < 2 * DAY.unsigned_abs();
    let shown = text(seconds);
    let (date, time) = shown.split_once(' ').unwrap_or((&shown, ""));
    match time.get(..5) {
        Some(minute) if near => format!("epoch {epoch} ({date} {minute} UTC)"),
        _ => format!("epoch {epoch} ({date})"),
    }
}

/// A day counted from 1970-01-01 as `2001-09-09`.
fn day_text(day: i64) -> String {
    // Years begin in March here, so that leap days end them.
    const CYCLE: i64 = 146_097; // days of 400 years
    let day = day + 719_468;
    let (cycle, day) = (day.div_euclid(CYCLE), day.rem_euclid(CYCLE));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let in_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{:04}-{month:02}-{in_month:02}", 400 * cycle + year + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use ostrakon::ledger::EpochClock;

    use super::*;

    #[test]
    fn dates_are_right() {
        let check = |seconds, expect: &str| assert_eq!(text(seconds), expect, "{seconds}");
        check(0, "1970-01-01 00:00:00");
        check(-1, "1969-12-31 23:59:59");
        check(951_782_400, "2000-02-29 00:00:00");
        check(1_709_164_800, "2024-02-29 00:00:00");
        check(4_107_542_399, "2100-02-28 23:59:59");
        check(4_107_542_400, "2100-03-01 00:00:00");
        check(-62_167_219_200, "0000-01-01 00:00:00");
        check(i64::MAX, &text(i64::MAX));
        assert_eq!(of_ms(951_782_400_999), "2000-02-29 00:00:00 UTC");
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let check = |text, seconds| assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        check("36h", 129_600);
        check("30d", 2_592_000);
        check("2w", 1_209_600);
        check("1y", 31_557_600);
        check("1day 12h", 129_600);
        for bad in ["", "30", "d", "-1d", "0s", "30 lightyears"] {
            let error = parse_duration(bad).expect_err(bad);
            assert!(error.contains("30d"), "{error}");
        }
    }

    #[test]
    fn terms_are_epochs_and_epochs_have_dates() {
        let pace = Pace::new(&EpochClock { epoch: Epoch(1), ..EpochClock::genesis(3_600_000) }, 3_600_000, 3_600_000);
        let term = |duration: Option<&str>, epochs| Term {
            duration: duration.map(|text| parse_duration(text).expect("a duration")),
            epochs,
        };
        assert_eq!(term(Some("30d"), None).epochs(&pace), Some(720));
        assert_eq!(term(None, Some(5)).epochs(&pace), Some(5));
        assert_eq!(term(None, None).epochs(&pace), None);
        assert_eq!(of_epoch(Epoch(721), &pace), "epoch 721 (1970-01-31)");
        assert_eq!(of_epoch(Epoch(2), &pace), "epoch 2 (1970-01-01 02:00 UTC)");
    }
}
