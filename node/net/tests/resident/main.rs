//! What a node has resident in memory when members and strangers take all that connections may buffer. The node is a
//! process of its own, this executable again, so that what it has is not mixed with what the attackers have. Apart from
//! the other tests of swarms, which time calls and would run beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]
#![allow(dead_code, reason = "shared with the tests of `swarm`, which use more of it")]

#[path = "../swarm/nodes.rs"]
mod nodes;
#[path = "../swarm/raw.rs"]
mod raw;
#[path = "../swarm/wire.rs"]
mod wire;

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use futures::future;
use ostrakon_net::{Peers, swarm::SwarmLimits};
use ostrakon_proto::{sign::Keypair, wire::Protocol};
use tokio::{task, time};

use crate::{
    nodes::{TCP, config, head, start},
    raw::encoded,
    wire::{SYN, WINDOW, Wire, address_of, data, header, hello},
};

const MIB: usize = 1024 * 1024;
/// Tells this executable to be the node.
const NODE: &str = "OSTRAKON_TEST_NODE";
/// Strangers connect from so many networks.
const NETWORKS: u8 = 4;
/// Keys of strangers from one network at most, and connections of one key.
const KEYS: u8 = 32;
const OF_KEY: usize = 4;
/// Members' keys.
const MEMBERS: std::ops::Range<u8> = 240..246;

/// The node, when the other test starts it: it holds all requests, and at the end says what connections held at most.
#[tokio::test]
async fn the_node_of_the_other_test() {
    if env::var_os(NODE).is_none() {
        return;
    }
    let (swarm, requests) = start(config(1, &[TCP]));
    swarm.recognise(MEMBERS.map(|seed| Keypair::from_seed(&[seed; 32]).public()).collect());
    let say = |line: String| io::stderr().write_all(line.as_bytes()).unwrap();
    say(format!("{}\n", address_of(&swarm)));
    let mut end = task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
    let (mut held, mut most) = (Vec::new(), [0; 2]);
    loop {
        let buffered = swarm.buffered();
        most = [most[0].max(buffered.members), most[1].max(buffered.strangers)];
        tokio::select! {
            biased;
            _ = &mut end => break,
            inbound = requests.next_of_any() => held.extend(inbound),
            () = time::sleep(Duration::from_millis(1)) => {}
        }
    }
    say(format!("{} {}\n", most[0], most[1]));
}

/// The process of the node; it ends when this is dropped.
struct Attacked {
    child: Child,
    says: BufReader<ChildStderr>,
}

impl Attacked {
    fn start() -> (Self, SocketAddr) {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_node_of_the_other_test", "--nocapture"])
            .env(NODE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stderr.take().unwrap());
        let mut this = Self { child, says };
        let address = this.line().parse().unwrap();
        (this, address)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim().to_string()
    }

    /// Bytes after this name in what the kernel knows of the process.
    fn resident(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Ends the process: what members and strangers held at most.
    fn end(mut self) -> [usize; 2] {
        drop(self.child.stdin.take());
        let line = self.line();
        let (members, strangers) = line.split_once(' ').unwrap();
        assert!(self.child.wait().unwrap().success());
        [members, strangers].map(|bytes| bytes.parse().unwrap())
    }
}

/// Streams with a request each that is never answered, and on each as much more as a window holds: in frames of `body`
/// bytes, of which a message has `frames`.
async fn flood(mut wire: Wire, streams: u32, body: usize, frames: usize) -> Wire {
    let all = async {
        for stream in (1..).step_by(2).take(usize::try_from(streams).unwrap()) {
            let first = [hello(Protocol::Chain), encoded(&head("hello"))].concat();
            wire.send(&[header(WINDOW, SYN, stream, 0), data(0, stream, &first)].concat()).await?;
            let message = data(0, stream, &vec![7; body]).repeat(frames);
            for _ in 0..(256 * 1024 - first.len()) / (body * frames) {
                wire.send(&message).await?;
            }
        }
        io::Result::Ok(())
    };
    // It is no longer read.
    let _outcome = time::timeout(Duration::from_secs(5), all).await;
    wire
}

/// So many strangers from each network flood so many streams of each connection, and members as many as they need;
/// where there are tiny frames, every other stranger's connection sends nothing else.
async fn check(keys: u8, streams: u32, has_tiny: bool) {
    let (node, address) = Attacked::start();
    let quiet = node.resident("VmRSS:");
    let (mut strangers, mut members) = (Vec::new(), Vec::new());
    for (network, key) in (0..NETWORKS).flat_map(|network| (0..keys).map(move |key| (network, key))) {
        for _ in 0..OF_KEY {
            let from = Ipv4Addr::new(127, 0, 1 + network, 1);
            strangers.push(Wire::connect(10 + network * keys + key, from, address).await);
        }
    }
    for seed in MEMBERS {
        for _ in 0..OF_KEY {
            members.push(Wire::connect(seed, Ipv4Addr::LOCALHOST, address).await);
        }
    }
    let strangers = strangers.into_iter().enumerate().map(|(number, wire)| match number % 2 {
        1 if has_tiny => flood(wire, 1, 1, 1000),
        _ => flood(wire, streams, 60 * 1024, 1),
    });
    let members = members.into_iter().map(|wire| flood(wire, 24, 60 * 1024, 1));
    let _open = future::join(future::join_all(strangers), future::join_all(members)).await;
    let (peak, budget) = (node.resident("VmHWM:"), SwarmLimits::default().buffer_bytes);
    let held = node.end();
    let all = format!("quiet {}, peak {}, held {:?} MiB", quiet / MIB, peak / MIB, held.map(|bytes| bytes / MIB));
    assert!(peak <= quiet + budget, "{all}");
    assert!(held.iter().all(|held| *held <= budget / 2 && *held > budget / 16 * 5), "{all}");
}

#[tokio::test]
async fn a_node_under_attack_by_512_strangers_has_its_budget_resident_and_no_more() {
    assert_eq!(usize::from(NETWORKS) * usize::from(KEYS) * OF_KEY, 512);
    check(KEYS, 2, true).await;
}

#[tokio::test]
async fn a_node_under_attack_by_16_strangers_has_its_budget_resident_and_no_more() {
    check(1, 24, false).await;
}
