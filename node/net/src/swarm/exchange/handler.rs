//! The streams of one connection: all of them are moved here, by one poll.
//!
//! In go calls and streams; out go requests for streams, and nothing else. The connection counts as used while a
//! request is in progress and until the next check: it is checked once a second, for each change costs a timer.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    Stream,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use ostrakon_proto::wire::Protocol;
use tokio::time::{self, Instant};

use super::{
    inbound::{InboundStream, Remote, Service},
    negotiate::{AcceptUpgrade, OpenUpgrade, ProtocolNames},
    outbound::OutboundStream,
    pool::StreamPool,
};
use crate::{
    AskError, Failure,
    ask::STALL,
    awake,
    metrics::PathTraffic,
    swarm::{behaviour::STREAMS_PER_PROTOCOL, calls::Call},
};

/// How often idle streams and abandoned calls are dropped, while there are streams or calls.
const CHECK: Duration = Duration::from_secs(1);

/// What has ended.
enum Done {
    /// One of our streams has carried a call; when that failed, it is gone.
    Carried(Protocol, Option<OutboundStream<Stream>>),
    /// A stream of the other side.
    Served(Protocol),
    /// The time until the next check.
    CheckDue,
}

/// The streams of one connection.
pub(in crate::swarm) struct Handler {
    names: Arc<ProtocolNames>,
    /// The other side, and where its requests are admitted; `None` when they are not.
    service: Option<(Remote, Arc<Service>)>,
    pools: BTreeMap<Protocol, StreamPool<OutboundStream<Stream>>>,
    /// Streams to be opened.
    to_open: VecDeque<Protocol>,
    /// How many streams of the other side there are.
    inbound: BTreeMap<Protocol, usize>,
    tasks: FuturesUnordered<BoxFuture<'static, Done>>,
    activity: Activity,
    /// Requests that had started by the last check.
    started_before: usize,
    /// Whether any had started between the last check and the one before.
    recently_used: bool,
    /// Whether a check is scheduled.
    check_scheduled: bool,
    traffic: PathTraffic,
}

impl Handler {
    /// The streams of a new connection; requests of the other side are admitted as this node's.
    pub(super) fn new(
        names: Arc<ProtocolNames>,
        service: Option<(Remote, Arc<Service>)>,
        traffic: PathTraffic,
    ) -> Self {
        Self {
            names,
            service,
            pools: BTreeMap::new(),
            to_open: VecDeque::new(),
            inbound: BTreeMap::new(),
            tasks: FuturesUnordered::new(),
            activity: Activity::default(),
            started_before: 0,
            recently_used: false,
            check_scheduled: false,
            traffic,
        }
    }

    /// Assigns waiting calls to idle streams, and opens more where there are too few.
    fn advance(&mut self, protocol: Protocol) {
        let pool = self.pools.entry(protocol).or_default();
        while let Some((stream, call)) = pool.next(OutboundStream::is_open) {
            let (active, traffic) = (self.activity.start(), self.traffic.clone());
            let carried = async move {
                let stream = stream.carry(call, &traffic).await;
                drop(active);
                Done::Carried(protocol, stream)
            };
            self.tasks.push(carried.boxed());
        }
        while pool.reserve() {
            self.to_open.push_back(protocol);
        }
        self.schedule_check();
    }

    /// Makes sure that a check is scheduled.
    fn schedule_check(&mut self) {
        if !std::mem::replace(&mut self.check_scheduled, true) {
            self.tasks.push(time::sleep(CHECK).map(|()| Done::CheckDue).boxed());
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Carried(protocol, stream) => {
                self.pools.entry(protocol).or_default().release(stream, Instant::now());
                self.advance(protocol);
            }
            Done::Served(protocol) => {
                if let Some(count) = self.inbound.get_mut(&protocol) {
                    *count = count.saturating_sub(1);
                }
            }
            Done::CheckDue => self.prune(),
        }
    }

    fn prune(&mut self) {
        let now = Instant::now();
        self.check_scheduled = false;
        self.pools.values_mut().for_each(|pool| pool.prune(now));
        self.pools.retain(|_, pool| !pool.is_empty());
        self.inbound.retain(|_, count| *count > 0);
        self.recently_used = self.activity.started() != self.started_before;
        self.started_before = self.activity.started();
        if self.recently_used || !self.pools.is_empty() || !self.inbound.is_empty() {
            self.schedule_check();
        }
    }

    /// Serves a stream of the other side; over the limit it is dropped, which the other side sees.
    fn serve(&mut self, protocol: Protocol, stream: Stream) {
        let Some((from, service)) = &self.service else { return };
        let count = self.inbound.entry(protocol).or_default();
        if *count >= STREAMS_PER_PROTOCOL {
            tracing::debug!(node = %from.node, ?protocol, "too many streams on one connection: dropping one");
            return;
        }
        *count += 1;
        let (service, activity, traffic) = (Arc::clone(service), self.activity.clone(), self.traffic.clone());
        let inbound = InboundStream { from: *from, protocol, service, activity, traffic };
        self.tasks.push(inbound.serve(stream).map(move |()| Done::Served(protocol)).boxed());
        self.schedule_check();
    }

    fn open_failed(&mut self, protocol: Protocol, error: &StreamUpgradeError<Infallible>) {
        if let Some(Call { to: node, caller, .. }) = self.pools.entry(protocol).or_default().open_failed() {
            let failure = match error {
                // Whether the node was slow or this process stopped: the call may be repeated.
                StreamUpgradeError::Timeout if awake::slept_within(STALL) => {
                    Failure::Closed("this process was stopped".to_string())
                }
                StreamUpgradeError::Timeout => Failure::Timeout(STALL),
                StreamUpgradeError::NegotiationFailed => {
                    Failure::Unsupported(self.names.of(protocol).as_ref().to_string())
                }
                StreamUpgradeError::Io(error) => Failure::Closed(error.to_string()),
                StreamUpgradeError::Apply(never) => match *never {},
            };
            caller.tell(Err(AskError::new(node, failure)));
        }
        self.advance(protocol);
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Call;
    type ToBehaviour = Infallible;
    type InboundProtocol = AcceptUpgrade;
    type OutboundProtocol = OpenUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Protocol;

    fn listen_protocol(&self) -> SubstreamProtocol<AcceptUpgrade> {
        SubstreamProtocol::new(AcceptUpgrade(self.service.is_some().then(|| self.names.clone())), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.recently_used || self.activity.is_active()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<OpenUpgrade, Protocol, Infallible>> {
        while let Poll::Ready(Some(done)) = self.tasks.poll_next_unpin(cx) {
            self.on_done(done);
        }
        let Some(protocol) = self.to_open.pop_front() else { return Poll::Pending };
        let open = OpenUpgrade(self.names.of(protocol).clone());
        let protocol = SubstreamProtocol::new(open, protocol).with_timeout(STALL);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_behaviour_event(&mut self, call: Call) {
        let protocol = call.protocol;
        self.pools.entry(protocol).or_default().push(call);
        self.advance(protocol);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, AcceptUpgrade, OpenUpgrade, (), Protocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (protocol, stream), ..
            }) => {
                self.serve(protocol, stream);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info }) => {
                let mut stream = OutboundStream::new(stream, self.names.of(info).clone());
                // Sends the protocol's name, also where no call follows yet. Over QUIC the other side knows of a stream
                // as soon as a later one is used, and drops it when it has not said for ten seconds what it is for:
                // perhaps just when a call takes it.
                stream.is_open();
                self.pools.entry(info).or_default().opened(stream, Instant::now());
                self.advance(info);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => self.open_failed(info, &error),
            _ => {}
        }
    }
}

/// The requests in progress on one connection, in either direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    active: AtomicUsize,
    started: AtomicUsize,
}

impl Activity {
    /// A request starts; it is in progress until what is returned is dropped.
    pub(super) fn start(&self) -> ActiveRequest {
        self.0.active.fetch_add(1, Relaxed);
        self.0.started.fetch_add(1, Relaxed);
        ActiveRequest(self.clone())
    }

    /// Whether a request is in progress.
    pub(super) fn is_active(&self) -> bool {
        self.0.active.load(Relaxed) > 0
    }

    /// How many requests have ever started, for comparison with a later time.
    pub(super) fn started(&self) -> usize {
        self.0.started.load(Relaxed)
    }
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct ActiveRequest(Activity);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.0.active.fetch_sub(1, Relaxed);
    }
}
