//! The attacker: fresh identities, its addresses, and the loops that keep an attack in progress.
//!
//! In goes a plan; out come connections as one more stranger. Whatever fails or ends is counted and begun again.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddrV4},
    panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ostrakon_proto::{sign::Keypair, wire::Protocol};
use ostrakon_tests::attack::{AttackPlan, Victim};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::{JoinError, JoinSet},
    time,
};

use crate::{
    mux::{Habits, Lane, Muxed},
    noise,
    tally::TALLY,
};

/// A connection or handshake that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before something that failed is tried again.
pub(crate) const AGAIN: Duration = Duration::from_millis(200);

/// The attacker.
#[derive(Debug)]
pub(crate) struct Outsider {
    pub(crate) plan: AttackPlan,
    identities: AtomicU64,
}

impl Outsider {
    pub(crate) fn new(plan: AttackPlan) -> Self {
        Self { plan, identities: AtomicU64::new(0) }
    }

    /// An identity that nobody has seen yet.
    pub(crate) fn identity(&self) -> Keypair {
        self.plan.identity(self.identities.fetch_add(1, Ordering::Relaxed))
    }

    /// The validators of the plan.
    pub(crate) fn validators(&self) -> Vec<Victim> {
        self.plan.validators().cloned().collect()
    }

    /// A host of a prefix of its own: /24s beside the attacker's.
    pub(crate) fn elsewhere(&self, number: usize) -> Ipv4Addr {
        let [a, b, _, _] = self.plan.source.octets();
        let third = u8::try_from(1 + number % 200).expect("less than 201");
        Ipv4Addr::new(a, b, third, 7)
    }

    /// A socket to `to`, from this address.
    pub(crate) async fn socket_from(&self, source: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddrV4::new(source, 0).into())?;
            socket.set_nodelay(true)?;
            socket.connect(to.into()).await
        };
        let connected = time::timeout(PATIENCE, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match &connected {
            Ok(_) => TALLY.connected(),
            Err(_) => TALLY.failed(),
        }
        connected
    }

    /// A socket to `to` from the attacker's host.
    pub(crate) async fn socket(&self, to: SocketAddrV4) -> io::Result<TcpStream> {
        self.socket_from(self.plan.source, to).await
    }

    /// A whole connection with `victim`, as a new identity, from this address.
    pub(crate) async fn connect_from(&self, source: Ipv4Addr, victim: &Victim, habits: Habits) -> io::Result<Muxed> {
        self.connect_as(&self.identity(), source, victim, habits).await
    }

    /// As [`Outsider::connect_from`], as this identity.
    pub(crate) async fn connect_as(
        &self,
        who: &Keypair,
        source: Ipv4Addr,
        victim: &Victim,
        habits: Habits,
    ) -> io::Result<Muxed> {
        let socket = self.socket_from(source, victim.tcp).await?;
        let handshake = async { Ok(Muxed::start(noise::handshake(socket, who, &self.plan.chain).await?, habits)) };
        let made = time::timeout(PATIENCE, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match &made {
            Ok(_) => TALLY.shook_hands(),
            Err(_) => TALLY.ended(),
        }
        made
    }

    /// A whole connection with `victim`, as a new identity, from the attacker's host.
    pub(crate) async fn connect(&self, victim: &Victim, habits: Habits) -> io::Result<Muxed> {
        self.connect_from(self.plan.source, victim, habits).await
    }

    /// A stream of one of the network's protocols.
    pub(crate) async fn open(&self, on: &Muxed, protocol: Protocol) -> io::Result<Lane> {
        on.open(&protocol.name(&self.plan.chain)).await
    }
}

/// What a task returned. Its panic is this program's: an attack that has ended attacks nobody.
pub(crate) fn returned<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
}

/// So many of these concurrently, forever: each that ends is begun again, soon.
pub(crate) async fn crowd<F>(count: usize, each: impl Fn(usize) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let spawn = |tasks: &mut JoinSet<usize>, number: usize, pause: Duration| {
        let work = each(number);
        tasks.spawn(async move {
            time::sleep(pause).await;
            // An attack that is thrown out comes back.
            let _failed = work.await;
            number
        });
    };
    (0..count).for_each(|number| spawn(&mut tasks, number, Duration::ZERO));
    while let Some(ended) = tasks.join_next().await {
        spawn(&mut tasks, returned(ended), AGAIN);
    }
}

/// Runs `each` on so many streams of one connection, until the first fails or the connection ends.
pub(crate) async fn on_lanes<F>(
    outsider: &Arc<Outsider>,
    connection: &mut Muxed,
    protocol: Protocol,
    count: usize,
    each: impl Fn(Lane) -> F,
) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut lanes = JoinSet::new();
    for _ in 0..count {
        lanes.spawn(each(outsider.open(connection, protocol).await?));
    }
    tokio::select! {
        biased;
        () = connection.ended() => Err(io::ErrorKind::ConnectionReset.into()),
        Some(failed) = lanes.join_next() => returned(failed),
    }
}
