//! Garage: three nodes with a copy each, no encryption and no erasure code; spoken to by rclone, as S3. With one node
//! dead it reads and writes; with two it does neither.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use ostrakon_benches::run;
use ostrakon_tests::process::{Daemon, until};

use crate::{
    content, ports,
    system::{Object, Start, System},
};

const NODES: usize = 3;
const BUCKET: &str = "compare";
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster that runs.
#[derive(Debug)]
pub(crate) struct Garage {
    program: PathBuf,
    stores: PathBuf,
    /// Where the first node takes S3 requests.
    s3: u16,
    /// Name and secret of the key that may use the bucket.
    key: (String, String),
    /// In the order of their numbers; none where one was killed.
    nodes: Vec<Option<Daemon>>,
}

impl Garage {
    /// Starts a cluster in `dir`.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(dir: &Path, peers: &Path) -> Result<Start> {
        let program = peers.join("bin/garage");
        let rclone = Command::new("rclone").arg("version").output().is_ok();
        if !program.is_file() || !rclone {
            let absent = if rclone { program.display().to_string() } else { "rclone".to_owned() };
            return Ok(Start::Absent(format!("no {absent}: run benches/compare/install-peers.sh")));
        }
        let (stores, ports, secret) = (dir.join("nodes"), ports::free_ports(2 * NODES)?, content::secret()?);
        for number in 0..NODES {
            let home = node_dir(&stores, number);
            fs::create_dir_all(&home)?;
            let text = config(&home, ports[number], ports[NODES + number], &secret);
            fs::write(home.join("garage.toml"), text).with_context(|| format!("cannot write in {}", home.display()))?;
        }
        let key = (format!("GK{}", &content::secret()?[..24]), content::secret()?);
        let nodes = (0..NODES).map(|_| None).collect();
        let mut cluster = Self { program, stores, s3: ports[NODES], key, nodes };
        cluster.start_nodes()?;
        cluster.lay_out()?;
        cluster.recover()?;
        cluster.make_bucket()?;
        Ok(Start::Running(Box::new(cluster)))
    }

    /// Starts the nodes that do not run.
    fn start_nodes(&mut self) -> Result<()> {
        for number in 0..NODES {
            if self.nodes[number].is_none() {
                let mut server = self.on(number);
                server.arg("server");
                self.nodes[number] = Some(Daemon::start(server, &node_dir(&self.stores, number).join("node.log"))?);
            }
        }
        Ok(())
    }

    /// Makes the nodes one cluster, with a copy of everything on each.
    fn lay_out(&self) -> Result<()> {
        for number in 0..NODES {
            let status = || Ok(self.ask(number, &["status"]).is_ok());
            until(&format!("Garage's node {number}"), PATIENCE, status)?;
        }
        for number in 0..NODES {
            let address = self.ask(number, &["node", "id", "-q"])?;
            let id = address.split('@').next().unwrap_or_default();
            if number > 0 {
                self.ask(0, &["node", "connect", &address])?;
            }
            self.ask(0, &["layout", "assign", id, "-z", &format!("zone-{number}"), "-c", "100G"])?;
        }
        self.ask(0, &["layout", "apply", "--version", "1"]).map(drop)
    }

    fn make_bucket(&self) -> Result<()> {
        let (name, secret) = &self.key;
        self.ask(0, &["key", "import", "--yes", name, secret])?;
        self.ask(0, &["bucket", "create", BUCKET])?;
        self.ask(0, &["bucket", "allow", "--read", "--write", BUCKET, "--key", name]).map(drop)
    }

    /// Garage's command on this node.
    fn on(&self, number: usize) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(node_dir(&self.stores, number).join("garage.toml"));
        command
    }

    fn ask(&self, number: usize, args: &[&str]) -> Result<String> {
        let mut command = self.on(number);
        command.args(args);
        let answer = run::run(command)?.stdout;
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }

    fn rclone(&self, verb: &str) -> Command {
        let (name, secret) = &self.key;
        let mut command = Command::new("rclone");
        // The settings are those of this remote, named `peer`, and no file's. Of what users of other S3
        // services may have set, rclone breaks on a certificate authority.
        command.env_remove("AWS_CA_BUNDLE").env("RCLONE_CONFIG", "/dev/null").env("RCLONE_CONFIG_PEER_TYPE", "s3");
        command.env("RCLONE_CONFIG_PEER_PROVIDER", "Other").env("RCLONE_CONFIG_PEER_REGION", "garage");
        command.env("RCLONE_CONFIG_PEER_ENDPOINT", format!("http://127.0.0.1:{}", self.s3));
        command.env("RCLONE_CONFIG_PEER_ACCESS_KEY_ID", name).env("RCLONE_CONFIG_PEER_SECRET_ACCESS_KEY", secret);
        command.args([verb, "--s3-no-check-bucket"]);
        command
    }
}

fn node_dir(stores: &Path, number: usize) -> PathBuf {
    stores.join(format!("node-{number}"))
}

fn config(home: &Path, rpc: u16, s3: u16, secret: &str) -> String {
    let home = home.display();
    format!(
        r#"metadata_dir = "{home}/meta"
data_dir = "{home}/data"
db_engine = "lmdb"
replication_factor = 3
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:{s3}"
"#
    )
}

fn in_bucket(source: &Path) -> String {
    format!("peer:{BUCKET}/{}", source.file_name().unwrap_or_default().to_string_lossy())
}

impl System for Garage {
    fn daemons(&self) -> Result<Vec<u32>> {
        Ok(self.nodes.iter().flatten().map(Daemon::pid).collect())
    }

    fn stores(&self) -> &Path {
        &self.stores
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
        // The last: the first is the one that is spoken to.
        self.nodes[NODES - 1] = None;
        Ok(true)
    }

    fn recover(&mut self) -> Result<()> {
        self.start_nodes()?;
        let whole = || Ok(self.ask(0, &["health"]).is_ok_and(|text| text.contains("healthy")) && all_up(self));
        until("all nodes of Garage", PATIENCE, whole)
    }
}

fn all_up(cluster: &Garage) -> bool {
    cluster.ask(0, &["status"]).is_ok_and(|text| text.matches("zone-").count() == NODES && !text.contains("FAILED"))
}
