//! A process that uses buckets, and dies after so many steps: a step is a request that is sent, or an answer that is
//! received. Whatever a process does between two of them nobody else sees, so that death at any step is death at any
//! await.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::future::{BoxFuture, pending};
use ostrakon_net::{AskError, Peers};
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};
use tokio_util::sync::CancellationToken;

use crate::{Client, bucket::Buckets, fake::World};

/// A process, with the keys alone.
pub(super) struct Process {
    pub(super) buckets: Buckets,
    pub(super) client: Client,
    /// What it is called on the network.
    pub(super) node: NodeId,
    pub(super) dead: CancellationToken,
}

/// How long a process lives.
#[derive(Debug)]
struct Incarnation {
    /// Steps that are left.
    left: AtomicU64,
    dead: CancellationToken,
}

impl Incarnation {
    /// Whether this step is made.
    fn step(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if left.is_err() {
            self.dead.cancel();
        }
        left.is_ok() && !self.dead.is_cancelled()
    }
}

/// The network as a mortal process has it. What it sent before it died arrives; after that nothing happens.
struct Mortal {
    inner: Arc<dyn Peers>,
    life: Arc<Incarnation>,
}

impl fmt::Debug for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mortal").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Peers for Mortal {
    fn local(&self) -> NodeId {
        self.inner.local()
    }

    fn learn(&self, node: NodeId, addresses: &[String]) {
        self.inner.learn(node, addresses);
    }

    fn recognise(&self, members: BTreeSet<NodeId>) {
        self.inner.recognise(members);
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        let (inner, life) = (Arc::clone(&self.inner), Arc::clone(&self.life));
        Box::pin(async move {
            if !life.step() {
                return pending().await;
            }
            let answer = inner.call(to, protocol, request).await;
            if life.step() { answer } else { pending().await }
        })
    }
}

/// What the process of this number is called on the network.
pub(super) fn name(number: u64) -> NodeId {
    let mut name = [240; 32];
    name[..8].copy_from_slice(&number.to_le_bytes());
    NodeId::new(name)
}

impl Process {
    /// The process of this number in the life of a seed, which dies after so many steps.
    pub(super) fn start(world: &World, (seed, number): (u64, u64), steps: u64) -> Self {
        let node = name(number);
        let dead = CancellationToken::new();
        let life = Arc::new(Incarnation { left: AtomicU64::new(steps), dead: dead.clone() });
        let (inner, _) = world.network.join(node);
        let random = [seed.to_le_bytes(), number.to_le_bytes()].concat();
        let client = world.client_of(Arc::new(Mortal { inner, life }), random);
        Self { buckets: client.buckets().expect("it has a key"), client, node, dead }
    }
}
