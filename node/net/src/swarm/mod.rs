//! Peers over libp2p: TCP with Noise and Yamux first, QUIC for reach, on a thread of its own or the caller's.
//!
//! In goes a [`SwarmConfig`]; out comes a [`SwarmHandle`], which is a [`crate::Peers`], and the receiver of what others
//! ask. `actor` owns libp2p's swarm and never blocks; its state is `calls` (which wait for a connection), `dials`
//! (connections being made) and `names` (which are resolved for these). `exchange` carries requests and answers, both
//! ways; those of other nodes go to the queues of [`crate::admission`]. `places` says which connections others may
//! have, `table` which addresses Kademlia keeps. `circuit` tells addresses through relays, `relays` chooses those of a
//! node behind NAT, `observed` gathers what opens a direct connection to it, and `attempts` bounds those; `dial_back`
//! has those who ask whether they can be reached. `behaviour` bounds libp2p's parts, `codec` the frames. `transport`
//! makes connections: `secure`, `meter` and `muxer` are the layers of one over TCP, and `memory` is the budget of what
//! all of them buffer. `recorder` counts libp2p's events. Not here: what is asked.

mod actor;
mod attempts;
mod behaviour;
mod calls;
mod circuit;
mod codec;
mod config;
mod dial_back;
mod dials;
mod exchange;
mod foreign;
mod handle;
mod memory;
mod meter;
mod muxer;
mod names;
mod observed;
mod places;
mod rate;
mod recorder;
mod relays;
mod secure;
mod table;
mod transport;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

use futures::StreamExt;
use libp2p::{Multiaddr, core::transport::ListenerId, multiaddr, swarm::SwarmEvent};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen as listen_on, socket_with, sockopt};
use tokio::{runtime, sync::mpsc, time};

use self::{actor::Actor, behaviour::Behaviour, calls::Call, handle::Shared};
use crate::{Intake, Requests, admission::request_queues, identity};

pub use self::{
    config::{StartError, SwarmConfig, SwarmLimits},
    handle::SwarmHandle,
    memory::Buffered,
    transport::tcp_transport,
};

/// Calls on their way to the actor.
const COMMANDS: usize = 256;
/// Listening fails unless it starts within this.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// The libp2p network.
#[derive(Debug)]
pub struct Swarm;

impl Swarm {
    /// Starts a swarm on a thread and runtime of its own, which listens when this returns. Blocks for that long: some
    /// milliseconds.
    ///
    /// # Errors
    /// [`StartError`] when the configuration is wrong, an address is taken, or the system refuses.
    pub fn start(config: SwarmConfig) -> Result<(SwarmHandle, Requests), StartError> {
        let Unstarted { commands, intake, bootstrap, handle, requests } = Unstarted::new(&config)?;
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let shared = handle.shared();
        let thread = thread::Builder::new().name("ostrakon-swarm".to_string()).spawn(move || {
            // Also when the thread panics: `SwarmHandle::stopped` must return.
            let _stopped = shared.stopped.clone().drop_guard();
            let begun = runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::from);
            match begun
                .and_then(|runtime| runtime.block_on(listen(&config, &shared, intake)).map(|swarm| (runtime, swarm)))
            {
                Ok((runtime, swarm)) => {
                    let _gone = ready.send(Ok(()));
                    runtime.block_on(Actor::new(swarm, &config, shared, commands).run(bootstrap));
                }
                Err(error) => {
                    let _gone = ready.send(Err(error));
                }
            }
        })?;
        let gone = || StartError::Transport("the network's thread panicked".to_string());
        started.recv().map_err(|_| gone())??;
        handle.joins(thread);
        Ok((handle, requests))
    }

    /// Starts a swarm as a task of the caller's runtime, which listens when this returns. On a runtime of one thread no
    /// message passes between threads, which would cost more than the message's own work; that thread must never block.
    ///
    /// # Errors
    /// As [`Swarm::start`].
    pub async fn start_here(config: SwarmConfig) -> Result<(SwarmHandle, Requests), StartError> {
        let Unstarted { commands, intake, bootstrap, handle, requests } = Unstarted::new(&config)?;
        let shared = handle.shared();
        let swarm = listen(&config, &shared, intake).await?;
        let actor = Actor::new(swarm, &config, Arc::clone(&shared), commands);
        tokio::spawn(async move {
            let _stopped = shared.stopped.clone().drop_guard();
            actor.run(bootstrap).await;
        });
        Ok((handle, requests))
    }
}

/// A swarm that is not started yet, and the channels to it.
struct Unstarted {
    commands: mpsc::Receiver<Call>,
    intake: Intake,
    bootstrap: Vec<libp2p::PeerId>,
    handle: SwarmHandle,
    requests: Requests,
}

impl Unstarted {
    fn new(config: &SwarmConfig) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(config.keypair.public(), config.limits.buffer_bytes));
        let bootstrap = learn_bootstrap(config, &shared)?;
        let (calls, commands) = mpsc::channel(COMMANDS);
        let (intake, requests) = request_queues(&config.metrics.admission);
        let handle = SwarmHandle::new(shared, calls, intake.downgrade());
        Ok(Self { commands, intake, bootstrap, handle, requests })
    }
}

/// Stores the addresses of the bootstrap nodes; returns their ids, without this node's.
fn learn_bootstrap(config: &SwarmConfig, shared: &Shared) -> Result<Vec<libp2p::PeerId>, StartError> {
    let mut nodes = BTreeMap::<_, Vec<String>>::new();
    for text in &config.bootstrap {
        let (node, address) = identity::parse_address(text)?;
        nodes.entry(node).or_default().push(address);
    }
    nodes.remove(&shared.local);
    for (node, addresses) in &nodes {
        shared.learn(*node, addresses);
    }
    Ok(nodes.keys().map(identity::peer_id).collect())
}

/// A swarm that listens on all its addresses.
async fn listen(config: &SwarmConfig, shared: &Shared, intake: Intake) -> Result<libp2p::Swarm<Behaviour>, StartError> {
    let mut swarm = behaviour::build(config, shared, intake)?;
    for text in &config.listen {
        let address: Multiaddr = text.parse().map_err(|_| StartError::Address { address: text.clone() })?;
        let fail = |reason: String| StartError::Listen { address: text.clone(), reason };
        refuse_taken_port(&address).map_err(|error| fail(error.to_string()))?;
        let listener = swarm.listen_on(address).map_err(|error| fail(error.to_string()))?;
        let listening = time::timeout(LISTEN_TIMEOUT, await_listening(&mut swarm, listener, shared)).await;
        listening.unwrap_or_else(|_| Err("no address within 5 s".to_string())).map_err(fail)?;
    }
    Ok(swarm)
}

/// libp2p shares TCP ports with other processes that do (SO_REUSEPORT), and two nodes would get each other's
/// connections: refuse a port that a plain socket could not bind.
fn refuse_taken_port(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(multiaddr::Protocol::Ip4(ip)) => ip.into(),
        Some(multiaddr::Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(multiaddr::Protocol::Tcp(port)) => bind_alone(SocketAddr::new(ip, port)),
        _ => Ok(()),
    }
}

/// Binds the address for a moment, IPv6 without IPv4 as libp2p does: the unspecified address of both versions can be
/// listened on at one port.
fn bind_alone(address: SocketAddr) -> io::Result<()> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // As with any listener: a port of which old connections linger is free.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    Ok(listen_on(&socket, 1)?)
}

/// Drives the swarm until this listener has an address: no other event matters before.
async fn await_listening(
    swarm: &mut libp2p::Swarm<Behaviour>,
    listener: ListenerId,
    shared: &Shared,
) -> Result<(), String> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                shared.set_listening(address, true);
                if listener_id == listener {
                    return Ok(());
                }
            }
            SwarmEvent::ListenerError { listener_id, error } if listener_id == listener => {
                return Err(error.to_string());
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == listener => {
                return Err(reason.err().map_or_else(|| "closed".to_string(), |error| error.to_string()));
            }
            _ => {}
        }
    }
}
