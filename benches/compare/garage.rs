//! Garage: three nodes with a copy each, no encryption and no erasure code; spoken to by rclone, as S3. With one node
//! dead it reads and writes; with two it does neither.

use std::{ops::Range, path::Path, process::Command};

use anyhow::Result;
use ostrakon_benches::garage::{self, GarageCluster, REGION};

use crate::system::{Object, Start, System};

const NODES: usize = 3;
const BUCKET: &str = "compare";

/// A cluster that runs.
#[derive(Debug)]
pub(crate) struct Garage(GarageCluster);

impl Garage {
    /// Starts a cluster in `dir`.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(dir: &Path, peers: &Path) -> Result<Start> {
        if Command::new("rclone").arg("version").output().is_err() {
            return Ok(Start::Absent("no rclone: run benches/compare/install-peers.sh".to_owned()));
        }
        match garage::program(peers) {
            Ok(program) => {
                let cluster = GarageCluster::start(program, dir, NODES, false, BUCKET)?;
                Ok(Start::Running(Box::new(Self(cluster))))
            }
            Err(absent) => Ok(Start::Absent(absent)),
        }
    }

    fn rclone(&self, verb: &str) -> Command {
        let (name, secret) = &self.0.key;
        let mut command = Command::new("rclone");
        // The settings are those of this remote, named `peer`, and no file's. Of what users of other S3
        // services may have set, rclone breaks on a certificate authority.
        command.env_remove("AWS_CA_BUNDLE").env("RCLONE_CONFIG", "/dev/null").env("RCLONE_CONFIG_PEER_TYPE", "s3");
        command.env("RCLONE_CONFIG_PEER_PROVIDER", "Other").env("RCLONE_CONFIG_PEER_REGION", REGION);
        command.env("RCLONE_CONFIG_PEER_ENDPOINT", format!("http://127.0.0.1:{}", self.0.s3));
        command.env("RCLONE_CONFIG_PEER_ACCESS_KEY_ID", name).env("RCLONE_CONFIG_PEER_SECRET_ACCESS_KEY", secret);
        command.args([verb, "--s3-no-check-bucket"]);
        command
    }
}

fn in_bucket(source: &Path) -> String {
    format!("peer:{BUCKET}/{}", source.file_name().unwrap_or_default().to_string_lossy())
}

impl System for Garage {
    fn daemons(&self) -> Result<Vec<u32>> {
        Ok(self.0.pids())
    }

    fn stores(&self) -> &Path {
        self.0.stores()
    }

    fn add(&self, source: &Path) -> Command {
        let mut command = self.rclone("copyto");
        command.arg(source).arg(in_bucket(source));
        command
    }

    fn added(&self, source: &Path, _stdout: &[u8]) -> Result<Object> {
        Ok(Object { link: in_bucket(source), holders: Vec::new() })
    }

    fn get(&self, object: &Object, to: &Path) -> Command {
        let mut command = self.rclone("copyto");
        command.arg(&object.link).arg(to);
        command
    }

    fn add_directory(&self, source: &Path) -> Command {
        let mut command = self.rclone("copy");
        command.args(["--transfers", "16"]).arg(source).arg(in_bucket(source));
        command
    }

    fn get_directory(&self, object: &Object, to: &Path) -> Result<Command> {
        let mut command = self.rclone("copy");
        command.args(["--transfers", "16"]).arg(&object.link).arg(to);
        Ok(command)
    }

    fn cat(&self, object: &Object, range: Option<Range<u64>>) -> Option<Command> {
        let mut command = self.rclone("cat");
        if let Some(Range { start, end }) = range {
            command.args(["--offset", &start.to_string(), "--count", &end.checked_sub(start)?.to_string()]);
        }
        command.arg(&object.link);
        Some(command)
    }

    fn lose(&mut self, _object: &Object) -> Result<bool> {
        self.0.lose_one();
        Ok(true)
    }

    fn recover(&mut self) -> Result<()> {
        self.0.recover()
    }
}
