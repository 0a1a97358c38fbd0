//! A network of several operators, by the commands of the README's section "A network of several operators" alone: six
//! found it, over IPv4 and IPv6, TCP and QUIC, one more joins late and without money, one moves to another address, and
//! one is behind a NAT. Then n-k of those that hold a file die, and it is read: from that one directly, or through a
//! relay where its NAT gives each connection another port, until the router forwards one of its ports.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Added, Binaries, Outcome, Running, until},
    content,
    process::{Daemon, signal},
    router::{Router, Site, nat::Kind},
};
use serde_json::Value;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Of all, four vote on blocks.
const FOUNDERS: [&str; 6] = ["anna", "ben", "cleo", "dara", "emil", "fay"];
const VALIDATORS: usize = 4;
const LATE: &str = "gus";
const HOME: &str = "hana";
/// Bytes of the file: of each column a quarter, which takes longer than to open a direct connection.
const FILE: u64 = 40_000_000;

/// An operator: a machine, a data directory, and the node while it runs.
struct Operator {
    name: &'static str,
    site: Site,
    addresses: Vec<String>,
    dir: PathBuf,
    node: Option<Daemon>,
}

/// What all share: the programs, and a directory in which files are handed over.
struct World {
    binaries: Binaries,
    files: tempfile::TempDir,
    client: Site,
}

pub(crate) fn run() -> Result<String> {
    let binaries = Binaries::find()?;
    let mut router = Router::new("ost-ops", 79)?;
    let founders = FOUNDERS.into_iter().enumerate();
    let files = binaries.directory()?;
    let mut operators = founders
        .map(|(number, name)| Operator::new(name, router.place(name)?, number, files.path()))
        .collect::<Result<Vec<Operator>>>()?;
    let mut late = Operator::new(LATE, router.place(LATE)?, FOUNDERS.len(), files.path())?;
    let mut home = Operator::new(HOME, router.place_behind_nat(HOME)?, FOUNDERS.len() + 1, files.path())?;
    let world = World { binaries, files, client: router.place("alice")? };

    found(&world, &operators)?;
    for operator in &mut operators {
        operator.run(&world, &["init", "--genesis", "genesis.toml"])?;
        operator.start(&world)?;
    }
    world
        .client(&["init", "--network", "genesis.toml", "--key-file", "alice.key", "--no-passphrase"])?
        .expect_code(0)?;
    until("the network makes blocks", LIMIT, || {
        let head = world.client(&["ledger", "head"])?;
        Ok(head.code == Some(0) && head.json::<Value>()?["height"].as_u64() >= Some(2))
    })?;
    let paid = joins_late(&world, &mut late)?;
    joins_late(&world, &mut home)?;
    let moved = router.place("ben-new")?;
    moves(&world, &mut operators[1], moved)?;
    operators.push(late);
    operators.iter().try_for_each(|operator| reached(&world, operator))?;
    let (stored, [direct, relayed]) = survives(&world, &mut operators, &home, &router)?;
    let mapped = has_a_port(&world, (&mut home, &mut router), &stored)?;
    Ok(format!(
        "six operators founded a network, four by IPv4, of which one by QUIC alone, and two by IPv6; one joined late \
         with {paid} obols that it asked for; one moved with its validator; one is behind a NAT; four of eight killed, \
         and the file read, of which that one gave {direct} bytes directly, and {relayed} through a relay when its NAT \
         was symmetric, and {mapped} directly when the router forwarded a port to it"
    ))
}

/// Each operator gives a card, and the first creates the genesis, with an account for a client.
fn found(world: &World, operators: &[Operator]) -> Result<()> {
    let mut cards = Vec::new();
    for (number, operator) in operators.iter().enumerate() {
        let flags = if number < VALIDATORS { &["--validator"][..] } else { &[] };
        let made = operator.init(world, flags)?;
        ensure!(!made.stderr.contains("warning"), "its address leads to it: {made}");
        ensure!(made.stderr.contains("ostrakon-node network card"), "the next command is not named: {made}");
        let card = format!("{}.card", operator.name);
        operator.run(world, &["network", "card", "-o", &card])?;
        cards.push(card);
    }
    let account: Value = world.client(&["key", "create", "alice.key"])?.json()?;
    let fund = format!("{}=1000000", account["address"].as_str().context("`key create` prints the address")?);
    let create = ["network", "create", "--name", "tideline", "--epoch", "5", "--fund", &fund, "-o", "genesis.toml"];
    let cards: Vec<&str> = cards.iter().map(String::as_str).collect();
    let made: Value = operators[0].command(world, &[&create[..], &cards].concat())?.json()?;
    ensure!(made["providers"] == 6 && made["validators"] == VALIDATORS, "another network was founded: {made}");
    let again = operators[0].command(world, &[&create[..], &cards].concat())?;
    ensure!(again.code == Some(1) && again.stderr.contains("--overwrite"), "a genesis was replaced: {again}");
    Ok(())
}

/// A node that the genesis does not know says what it needs, and by which command it gets it; gives the amount.
fn joins_late(world: &World, late: &mut Operator) -> Result<String> {
    let made = late.init(world, &["--genesis", "genesis.toml"])?;
    let owner: Value = made.json()?;
    let owner = owner["owner"].as_str().context("`init` prints the owner's account")?.to_owned();
    late.start(world)?;
    let asks = |status: &Value| -> Option<Vec<String>> {
        let words = status["registration"].as_str()?.split_once("`ostrakon ")?.1;
        Some(words.strip_suffix('`')?.split(' ').map(str::to_owned).collect())
    };
    let mut command = None;
    until("the late node asks for money", LIMIT, || {
        command = late.status(world)?.as_ref().and_then(asks);
        Ok(command.is_some())
    })?;
    let command: Vec<String> = command.context("it has just asked")?;
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    ensure!(command.starts_with(&["wallet", "send", &owner]), "it does not name its owner {owner}: {command:?}");
    ensure!(late.log()?.contains(&owner), "the log does not name the account: {}", late.log()?);
    world.client(&command)?.expect_code(0)?;
    let id = late.id(world)?;
    until("the late node is drawn", LIMIT, || {
        let (listing, row) = world.provider(&id)?;
        let drawn = row.and_then(|row| row["drawn_from"].as_u64());
        Ok(drawn.is_some_and(|from| listing["drawable"].as_u64() >= Some(from)))
    })?;
    until("its status says from when on it is drawn", LIMIT, || {
        let status = late.status(world)?.context("it runs")?;
        Ok(status["registration"].as_str().is_some_and(|words| words.contains("draws count it from epoch")))
    })?;
    Ok(command[3].to_owned())
}

/// A provider that validates too starts again on another machine, with its new address in `node.toml`.
fn moves(world: &World, operator: &mut Operator, to: Site) -> Result<()> {
    operator.stop()?;
    let path = operator.dir.join("node.toml");
    let (old, new) = (operator.site.address.to_string(), to.address.to_string());
    fs::write(&path, fs::read_to_string(&path)?.replace(&old, &new))?;
    operator.addresses.iter_mut().for_each(|address| *address = address.replace(&old, &new));
    operator.site = to;
    operator.start(world)?;
    let id = operator.id(world)?;
    until("the ledger has the provider's new address", LIMIT, || {
        Ok(world.provider(&id)?.1.is_some_and(|row| row["addresses"].to_string().contains(&new)))
    })?;
    until("the ledger has the validator's new address", LIMIT, || {
        let listed: Value = world.client(&["ledger", "validators"])?.json()?;
        Ok(listed["validators"].to_string().contains(&new))
    })
}

/// Others that a node asks can connect with it at each of its addresses.
fn reached(world: &World, operator: &Operator) -> Result<()> {
    let mut found = Value::Null;
    let all = until("others reach it", LIMIT, || {
        found = operator.status(world)?.context("it runs")?["reached"].take();
        let is_reached = |address: &String| {
            let of_it = found.as_array()?.iter().find(|one| one["address"] == address.as_str())?;
            of_it["reached"].as_u64().filter(|nodes| *nodes > 0)
        };
        Ok(operator.addresses.iter().all(|address| is_reached(address).is_some()))
    });
    all.with_context(|| format!("{} at {:?}: {found}", operator.name, operator.addresses))
}

/// With a file on all eight, any four are enough: the three that are left need the one behind NAT. How many bytes it
/// gave directly, and through a relay when it could not.
fn survives(world: &World, operators: &mut [Operator], home: &Operator, router: &Router) -> Result<(Stored, [u64; 2])> {
    let hash = content::write_file(&world.files.path().join("file"), 79, FILE)?;
    let added: Added = world.client(&["add", "file", "--code", "4/8", "--all"])?.json()?;
    for operator in &mut operators[3..] {
        operator.node = None;
    }
    let id = home.id(world)?;
    until("the node behind NAT has relays that run", LIMIT, || {
        let announced = world.provider(&id)?.1.context("it is registered")?["addresses"].to_string();
        let is_through = |operator: &Operator| announced.contains(&format!("/{}/", operator.site.address));
        Ok(!operators[3..].iter().any(is_through) && operators[..3].iter().any(is_through))
    })?;
    let stored = Stored { link: added.link, hash };
    let [direct, by_relay] = stored.read(world, home)?;
    ensure!(by_relay < direct / 10, "{by_relay} bytes went through a relay, {direct} directly");
    router.set_nat(&home.site, Kind::Symmetric);
    let [few, relayed] = stored.read(world, home)?;
    ensure!(few < relayed, "{few} bytes went directly through a symmetric NAT, {relayed} through a relay");
    Ok((stored, [direct, relayed]))
}

/// The router of the home answers UPnP now, and the node is started again: others connect to the port that the router
/// forwards, until it is stopped. How many bytes of the file it gave directly.
fn has_a_port(world: &World, (home, router): (&mut Operator, &mut Router), stored: &Stored) -> Result<u64> {
    let mapped = |home: &Operator| -> Result<Value> { Ok(home.status(world)?.context("it runs")?["mapped"].take()) };
    let before = mapped(home)?;
    let problem = before["problem"].as_str().unwrap_or_default();
    ensure!(problem.contains("no router"), "before, no router had answered: {before}");
    router.answer_upnp(&home.site)?;
    home.stop()?;
    home.start(world)?;
    let at = format!("/ip4/{}/tcp/", home.site.address);
    let mut last = Value::Null;
    let forwards = until("the router forwards a port to it", LIMIT, || {
        last = mapped(home)?;
        let address = last["address"].as_str().filter(|address| address.starts_with(&at));
        home.addresses = address.into_iter().map(str::to_owned).collect();
        Ok(!home.addresses.is_empty())
    });
    forwards.with_context(|| last.to_string())?;
    reached(world, home)?;
    let [direct, relayed] = stored.read(world, home)?;
    ensure!(relayed < direct / 10, "{relayed} bytes went through a relay, {direct} directly");
    ensure!(router.forwarded(&home.site) == 1, "one port is forwarded");
    home.stop()?;
    ensure!(router.forwarded(&home.site) == 0, "a port is forwarded to a node that has stopped");
    Ok(direct)
}

/// A file that clients read.
struct Stored {
    link: String,
    hash: blake3::Hash,
}

impl Stored {
    /// Reads it; gives how many bytes of it `home` gave directly, and through a relay.
    fn read(&self, world: &World, home: &Operator) -> Result<[u64; 2]> {
        let get = ["get", self.link.as_str(), "--overwrite", "-o", "copy"];
        let before = home.traffic(world)?;
        until("the file is read", LIMIT, || Ok(world.client(&get)?.code == Some(0)))?;
        ensure!(content::hash_file(&world.files.path().join("copy"))? == self.hash, "WRONG BYTES");
        let column = FILE / 4;
        let mut more = [0; 2];
        until("its status has what it gave", LIMIT, || {
            let after = home.traffic(world)?;
            more = [after[0] - before[0], after[1] - before[1]];
            Ok(more[0] + more[1] >= column)
        })?;
        Ok(more)
    }
}

impl World {
    /// Runs `ostrakon --profile profile --json ARGS` at the client's place.
    fn client(&self, args: &[&str]) -> Result<Outcome> {
        let mut command = self.place(&self.client, &self.binaries.client);
        command.args(["--profile", "profile", "--json"]).args(args);
        Running::spawn(command, Stdio::null())?.wait(LIMIT)
    }

    /// This program at a place, in the directory of the files.
    fn place(&self, site: &Site, program: &Path) -> Command {
        let mut command = site.command(program);
        command.current_dir(self.files.path());
        for name in ["PROFILE", "NETWORK", "LINK", "PASSPHRASE", "PASSPHRASE_FILE", "NODE_DIR"] {
            command.env_remove(format!("OSTRAKON_{name}"));
        }
        command
    }

    /// What `ostrakon providers` prints, and its row of this node.
    fn provider(&self, id: &str) -> Result<(Value, Option<Value>)> {
        let listing: Value = self.client(&["providers"])?.json()?;
        let rows = listing["providers"].as_array().context("`providers` prints a list")?;
        let row = rows.iter().find(|row| row["provider"] == id).cloned();
        Ok((listing, row))
    }
}

impl Operator {
    fn new(name: &'static str, site: Site, number: usize, files: &Path) -> Result<Self> {
        let (v4, v6) = (site.address, site.address_v6);
        let addresses = match number {
            2 => vec![format!("/ip4/{v4}/udp/4001/quic-v1")],
            3 => vec![format!("/ip4/{v4}/tcp/4001"), format!("/ip6/{v6}/tcp/4001")],
            4 | 5 => vec![format!("/ip6/{v6}/tcp/4001")],
            7 => Vec::new(),
            _ => vec![format!("/ip4/{v4}/tcp/4001")],
        };
        Ok(Self { name, site, addresses, dir: files.join(name), node: None })
    }

    /// Creates its data directory, with its offer.
    fn init(&self, world: &World, flags: &[&str]) -> Result<Outcome> {
        let domain = format!("{0}/{0}-hosting/{0}-land", self.name);
        let offer = ["init", "--dir", self.name, "--capacity", "1G", "--domain", &domain];
        let addresses = self.addresses.iter().flat_map(|address| ["--address", address]);
        let behind_nat = self.addresses.is_empty().then_some("--behind-nat");
        let offer = offer.into_iter().chain(addresses).chain(behind_nat);
        let line: Vec<&str> = offer.chain(flags.iter().copied()).collect();
        let made = self.command(world, &line)?;
        made.expect_code(0)?;
        // The disk of a machine that runs tests may be nearly full.
        let path = self.dir.join("node.toml");
        fs::write(&path, format!("disk_reserve_bytes = 1\n{}", fs::read_to_string(&path)?))?;
        Ok(made)
    }

    /// Runs `ostrakon-node ARGS --dir NAME`, which must succeed.
    fn run(&self, world: &World, args: &[&str]) -> Result<()> {
        self.command(world, &[args, &["--dir", self.name]].concat())?.expect_code(0).map(drop)
    }

    fn command(&self, world: &World, args: &[&str]) -> Result<Outcome> {
        let mut command = world.place(&self.site, &world.binaries.node);
        command.args(args);
        Running::spawn(command, Stdio::null())?.wait(LIMIT)
    }

    fn start(&mut self, world: &World) -> Result<()> {
        let mut command = world.place(&self.site, &world.binaries.node);
        command.args(["run", "--dir", self.name]);
        self.node = Some(Daemon::start(command, &self.dir.join("node.log"))?);
        Ok(())
    }

    /// Stops it as a service manager does.
    fn stop(&mut self) -> Result<()> {
        let mut node = self.node.take().context("it runs")?;
        signal(node.pid(), "TERM")?;
        until("a node stops", LIMIT, || Ok(node.has_ended()))
    }

    /// What `ostrakon-node status` prints; nothing before the node has written it.
    fn status(&self, world: &World) -> Result<Option<Value>> {
        let outcome = self.command(world, &["status", "--json", "--dir", self.name])?;
        if outcome.code == Some(0) { outcome.json().map(Some) } else { Ok(None) }
    }

    /// Bytes that went directly, and through relays.
    fn traffic(&self, world: &World) -> Result<[u64; 2]> {
        let status = self.status(world)?.context("it runs")?;
        let bytes = |key: &str| status[key].as_u64().with_context(|| format!("`status` prints {key}"));
        Ok([bytes("direct_bytes")?, bytes("relayed_bytes")?])
    }

    fn id(&self, world: &World) -> Result<String> {
        let status = self.status(world)?.context("it has run")?;
        Ok(status["node"].as_str().context("`status` prints the node")?.to_owned())
    }

    fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join("node.log"))?)
    }
}
