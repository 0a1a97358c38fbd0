//! The program `attacker` as a process of its own, which runs until it is told to end.
//!
//! In come a network, what is known of it, and half a core where the system gives it; out comes what the attacker says
//! that it did. Not here: the words between the two ([`crate::attack`]).

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    attack::{AttackPlan, AttackReport},
    cluster::Cluster,
    process::Running,
    quota::Quota,
};

/// An attacker that was told to end and does not within this is killed.
const END: Duration = Duration::from_secs(10);

/// The attacker of one network.
#[derive(Debug)]
pub struct Attacker {
    program: PathBuf,
    plan_file: PathBuf,
    quota: Option<Quota>,
}

/// An attack that runs.
#[derive(Debug)]
pub struct Assault {
    running: Running,
    since: Instant,
}

impl Attacker {
    /// The one of `cluster`. Without a quota it runs with the lowest priority.
    ///
    /// # Errors
    /// When it is not built.
    pub fn new(cluster: &Cluster, plan: &AttackPlan, quota: Option<Quota>) -> Result<Self> {
        let program = cluster.binaries.client.with_file_name("attacker");
        ensure!(program.is_file(), "{} is missing: run `make programs` first", program.display());
        let plan_file = cluster.files.join("plan.json");
        fs::write(&plan_file, serde_json::to_string(plan)?)?;
        Ok(Self { program, plan_file, quota })
    }

    /// Begins this attack.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn begin(&self, name: &str) -> Result<Assault> {
        let mut command = match &self.quota {
            Some(_) => Command::new(&self.program),
            None => {
                let mut command = Command::new("nice");
                command.args(["-n", "19"]).arg(&self.program);
                command
            }
        };
        command.arg(name).arg(&self.plan_file);
        let since = Instant::now();
        let running = Running::spawn(command, Stdio::piped())?;
        if let Some(quota) = &self.quota {
            quota.take(running.pid())?;
        }
        Ok(Assault { running, since })
    }
}

impl Assault {
    /// Ends it: what it says that it did.
    ///
    /// # Errors
    /// When it has failed.
    pub fn end(mut self) -> Result<AttackReport> {
        // The end of its stdin tells it to end.
        drop(self.running.stdin());
        // A command's limit counts from its start.
        self.running.wait(self.since.elapsed() + END)?.json()
    }
}
