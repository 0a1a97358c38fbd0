//! Half a core for the attacker and no more: a cgroup of its own, so that what an attack costs the nodes is seen apart
//! from what its own program costs the machine. Where the system gives no cgroup, the attacker runs with the lowest
//! priority instead, and the output reports it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Microseconds of processor time in each [`PERIOD_US`].
const QUOTA_US: u32 = 50_000;
const PERIOD_US: u32 = 100_000;

/// A cgroup with half a core; it is removed when this is dropped.
#[derive(Debug)]
pub struct Quota {
    group: PathBuf,
}

impl Quota {
    /// Makes the group.
    ///
    /// # Errors
    /// When there is no controller for processor time, or it may not be used.
    pub fn new() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let (root, is_unified) = controller(&mounts).context("no cgroup controller for processor time is mounted")?;
        let group = root.join(format!("ostrakon-attacker-{}", std::process::id()));
        fs::create_dir(&group).with_context(|| format!("cannot create {}", group.display()))?;
        let quota = Self { group };
        if is_unified {
            quota.set("cpu.max", &format!("{QUOTA_US} {PERIOD_US}"))?;
        } else {
            quota.set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            quota.set("cpu.cfs_quota_us", &QUOTA_US.to_string())?;
        }
        Ok(quota)
    }

    /// From now on this process is in it.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn take(&self, pid: u32) -> Result<()> {
        self.set("cgroup.procs", &pid.to_string())
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.group.join(file);
        fs::write(&path, value).with_context(|| format!("cannot write {value} to {}", path.display()))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Where a process of it still ends, the empty directory stays: it holds nothing.
        let _left = fs::remove_dir(&self.group);
    }
}

/// Where the controller is mounted, and whether it is of the second version.
fn controller(mounts: &str) -> Option<(PathBuf, bool)> {
    let mut unified = None;
    for line in mounts.lines() {
        let mut fields = line.split_whitespace().skip(1);
        let (Some(place), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else { continue };
        match kind {
            "cgroup" if options.split(',').any(|option| option == "cpu") => return Some((place.into(), false)),
            "cgroup2" if has_cpu(Path::new(place)) => unified = Some((place.into(), true)),
            _ => {}
        }
    }
    unified
}

fn has_cpu(root: &Path) -> bool {
    let controllers = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
    controllers.split_whitespace().any(|controller| controller == "cpu")
}
