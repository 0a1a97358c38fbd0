//! Of six holders of a file, any three of which are enough, three are cut off without a sign: also right after a
//! partition, and while two of the others have moved to addresses that the ledger does not have. It is read in time.

use std::{path::PathBuf, process::Stdio, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use blake3::Hash;
use ostrakon_proto::sign::Keypair;
use ostrakon_tests::{
    cluster::{Added, Binaries, Outcome, Running},
    content,
    distant::{Network, Places, key},
    router::{Link, Site},
    scenarios::size,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

const NODES: usize = 6;
/// How many are cut off: with the rest, the file can just be read.
const CUT: usize = 3;
const MOVED: usize = 2;
const BYTES: u64 = 3_000_000;
const LINK: Link = Link {
    delay: Duration::from_millis(10),
    jitter: Duration::ZERO,
    loss_ppm: 0,
    rate_bits: 100_000_000,
    queue_bytes: 4 << 20,
    is_up: true,
};
const DOWN: Link = Link { is_up: false, ..LINK };
/// How long a partition lasts: connections notice it, and wait longer and longer.
const PARTITION: Duration = Duration::from_secs(4);
/// How long any command or the network's recovery may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How much longer than twice the undisturbed time a get may take.
const MORE: Duration = Duration::from_secs(5);

/// What is done to the network before a get.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Cut,
    Partition,
    Move,
    PartitionAndMove,
}

const TROUBLES: [Trouble; 4] = [Trouble::Cut, Trouble::Move, Trouble::Partition, Trouble::PartitionAndMove];

/// The network, and a client with a place of its own.
struct Stage {
    network: Network,
    /// Where nodes move to.
    spare: Vec<Site>,
    client: Site,
    binaries: Binaries,
    files: tempfile::TempDir,
    profile: PathBuf,
}

pub(crate) fn run(seed: u64) -> Result<String> {
    let gets = size(50, 5);
    let mut stage = Stage::start()?;
    let hash = content::write_file(&stage.files.path().join("file"), seed, BYTES)?;
    let added: Added = stage.command(&["add", "file", "--code", "3/6", "--all"])?.json()?;
    let undisturbed = stage.get(&added.link, hash)?;
    let limit = 2 * undisturbed + MORE;
    let (mut random, mut longest) = (ChaCha8Rng::seed_from_u64(seed), Duration::ZERO);
    for trouble in TROUBLES.into_iter().cycle().take(gets) {
        let mut nodes: Vec<usize> = (0..NODES).collect();
        for last in (1..NODES).rev() {
            nodes.swap(last, usize::try_from(random.next_u64())? % (last + 1));
        }
        let what = || format!("{trouble:?}, and {:?} cut off", &nodes[..CUT]);
        let took = stage.disturbed(trouble, nodes.split_at(CUT), (&added.link, hash)).with_context(what)?;
        ensure!(took <= limit, "a get took {took:?}, and {undisturbed:?} undisturbed: {}", what());
        longest = longest.max(took);
    }
    let [longest, undisturbed] = [longest, undisturbed].map(|time| time.as_secs_f64());
    Ok(format!(
        "{gets} gets from 3 of 6 holders, with two of them moved or a partition just over: {longest:.1} s at most, \
         {undisturbed:.1} s undisturbed"
    ))
}

impl Stage {
    fn start() -> Result<Self> {
        let binaries = Binaries::find()?;
        let mut places = Places::new(81, u8::try_from(NODES)?)?;
        let client = places.router.place("home")?;
        let spare = (0..MOVED).map(|number| places.router.place(&format!("s{number}"))).collect::<Result<_>>()?;
        let account: Keypair = key("home", 0);
        let run = (binaries.node.as_path(), binaries.directory()?);
        let network = Network::start(run, (places, 4), std::slice::from_ref(&account), LINK)?;
        network.router.set(&client, LINK);
        let (profile, files) = (network.profile("home", &account)?, binaries.directory()?);
        Ok(Self { network, spare, client, binaries, files, profile })
    }

    /// How long a get takes while `cut` are cut off and the others are in trouble. Afterwards all is as before.
    fn disturbed(
        &mut self,
        trouble: Trouble,
        (cut, rest): (&[usize], &[usize]),
        (link, hash): (&str, Hash),
    ) -> Result<Duration> {
        if let Trouble::Partition | Trouble::PartitionAndMove = trouble {
            self.set(rest, DOWN);
            // What is tried is time without a line.
            thread::sleep(PARTITION);
            self.set(rest, LINK);
        }
        self.set(cut, DOWN);
        let moved = if let Trouble::Move | Trouble::PartitionAndMove = trouble { &rest[..MOVED] } else { &[] };
        let old: Vec<Site> = moved.iter().map(|node| self.network.places[*node].clone()).collect();
        for (node, spare) in moved.iter().zip(self.spare.clone()) {
            self.network.move_to(*node, &spare, LINK)?;
        }
        let took = self.get(link, hash);
        self.set(cut, LINK);
        for (node, old) in moved.iter().zip(&old) {
            self.network.move_to(*node, old, LINK)?;
        }
        let took = took?;
        // What the watching place sent meanwhile waits to be sent again.
        cut.iter().for_each(|node| self.network.peers.reconnect(self.network.nodes[*node]));
        self.network.reach(self.network.top() + 2, LIMIT)?;
        Ok(took)
    }

    fn set(&self, nodes: &[usize], link: Link) {
        nodes.iter().for_each(|node| self.network.router.set(&self.network.places[*node], link));
    }

    /// How long it takes to get the file, which is right.
    fn get(&self, link: &str, hash: Hash) -> Result<Duration> {
        let got = self.command(&["get", link, "-o", "copy", "--overwrite"])?;
        got.expect_code(0)?;
        ensure!(content::hash_file(&self.files.path().join("copy"))? == hash, "WRONG BYTES");
        Ok(got.took)
    }

    /// Runs the client's command, in the directory of its files.
    fn command(&self, args: &[&str]) -> Result<Outcome> {
        let mut command = self.client.command(&self.binaries.client);
        command.current_dir(self.files.path());
        command.arg("--profile").arg(&self.profile).arg("--json").args(args);
        Running::spawn(command, Stdio::null())?.wait(LIMIT)
    }
}
