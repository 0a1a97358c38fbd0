//! What the kernel knows of a process: CPU time it has used, memory it has resident, files it has open. In comes what
//! is under `/proc`; out come numbers.

use std::fs;

/// Ticks in which `/proc` counts CPU time: USER_HZ, which is 100 on every machine that this runs on.
const TICKS_PER_SECOND: u32 = 100;

/// CPU time, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// Of the process itself, all threads.
    pub own: u64,
    /// Of those children that ended and were waited for, and theirs.
    pub children: u64,
}

/// The CPU time of a process; nothing when it is gone.
pub fn ticks(pid: u32) -> Option<Ticks> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The bytes that a process has resident; nothing when it is gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    parse_kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// The most bytes that a process has had resident so far; nothing when it is gone.
pub fn peak_bytes(pid: u32) -> Option<u64> {
    parse_kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

/// How many files and sockets a process has open; nothing when it is gone.
pub fn open_files(pid: u32) -> Option<usize> {
    fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count)
}

/// Ticks as seconds.
pub fn seconds(ticks: u64) -> f64 {
    // Less than a year of CPU time.
    f64::from(u32::try_from(ticks).unwrap_or(u32::MAX)) / f64::from(TICKS_PER_SECOND)
}

/// Fields 14 to 17 of `/proc/PID/stat`: utime, stime, cutime, cstime. The name, field 2, may hold spaces and brackets,
/// so they are counted from the last bracket on.
fn parse_stat(text: &str) -> Option<Ticks> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || fields.next()?.ok();
    let (user, system, children_user, children_system) = (next()?, next()?, next()?, next()?);
    Some(Ticks { own: user + system, children: children_user + children_system })
}

/// The bytes in the line of `/proc/PID/status` with this name.
fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let check = |text: &str, expect: Option<(u64, u64)>| {
            let expect = expect.map(|(own, children)| Ticks { own, children });
            assert_eq!(parse_stat(text), expect, "{text}");
        };
        let fields = "S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1 0";
        check(&format!("42 (node) {fields}"), Some((120, 7)));
        check(&format!("42 (a (b) c) d) {fields}"), Some((120, 7)));
        check("42 (node) S 1 2", None);
        check("42 (node) S 1 2 3 4 5 6 7 8 9 10 x 20 3 4", None);
        check("", None);
    }

    #[test]
    fn memory_is_found_among_the_rest() {
        let status = "Name:\tx\nVmHWM:\t  9 kB\nVmRSS:\t  2048 kB\nThreads:\t1\n";
        assert_eq!((parse_kib(status, "VmRSS:"), parse_kib(status, "VmHWM:")), (Some(2 << 20), Some(9 << 10)));
        assert_eq!(parse_kib("Name:\tkthreadd\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_can_be_seen() {
        assert!(ticks(std::process::id()).is_some());
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 100_000));
        assert_eq!(seconds(250), 2.5);
    }
}
