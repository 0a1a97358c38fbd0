//! The streams of one connection: all of them are moved here, by one poll.
//!
//! In go calls and streams; out go requests for streams, and nothing else. The connection counts as used while a
//! request is under way, and for a moment after: whether it is idle is looked at seldom, for each change costs a timer.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
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
use ostrakon_proto::{id::NodeId, wire::Protocol};
use tokio::time::{self, Instant};

use super::{
    activity::Activity,
    deadline::STALL,
    inbound::{Door, Visitor},
    lane::Lane,
    negotiate::{Names, Open, Take},
    outbound::Kept,
};
use crate::{
    peers::CallError,
    swarm::{behaviour::STREAMS_PER_PROTOCOL, calls::Call},
};

/// How often idle streams and abandoned calls are looked for, while there are streams or calls.
const TIDY: Duration = Duration::from_secs(1);

/// What has ended.
enum Done {
    /// One of our streams has carried a call; when that failed, it is gone.
    Carried(Protocol, Option<Kept<Stream>>),
    /// A stream of the other side.
    Served(Protocol),
    /// The time until the next look.
    Pause,
}

/// The streams of one connection.
pub(in crate::swarm) struct Handler {
    names: Arc<Names>,
    /// Whom the other side's requests go to; nothing when they are not taken.
    visitor: Option<(NodeId, Arc<Door>)>,
    lanes: BTreeMap<Protocol, Lane<Kept<Stream>>>,
    /// Streams that must be asked for.
    to_open: VecDeque<Protocol>,
    /// Streams of the other side.
    inbound: BTreeMap<Protocol, usize>,
    tasks: FuturesUnordered<BoxFuture<'static, Done>>,
    activity: Activity,
    /// Requests that had begun at the last look.
    begun: usize,
    /// Whether any had begun between the last look and the one before.
    lingers: bool,
    /// Whether a look is due some time.
    looks: bool,
}

impl Handler {
    /// The streams of a new connection; requests of the other side go through the door, as this node's.
    pub(super) fn new(names: Arc<Names>, visitor: Option<(NodeId, Arc<Door>)>) -> Self {
        Self {
            names,
            visitor,
            lanes: BTreeMap::new(),
            to_open: VecDeque::new(),
            inbound: BTreeMap::new(),
            tasks: FuturesUnordered::new(),
            activity: Activity::default(),
            begun: 0,
            lingers: false,
            looks: false,
        }
    }

    /// Gives calls that wait to streams that are free, and asks for more where there are too few.
    fn advance(&mut self, protocol: Protocol) {
        let lane = self.lanes.entry(protocol).or_default();
        while let Some((stream, call)) = lane.next(Kept::is_open) {
            let under_way = self.activity.begin();
            let carried = async move {
                let stream = stream.carry(call).await;
                drop(under_way);
                Done::Carried(protocol, stream)
            };
            self.tasks.push(carried.boxed());
        }
        while lane.opens() {
            self.to_open.push_back(protocol);
        }
        self.look();
    }

    /// Makes sure that there is a look at what is idle.
    fn look(&mut self) {
        if !std::mem::replace(&mut self.looks, true) {
            self.tasks.push(time::sleep(TIDY).map(|()| Done::Pause).boxed());
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Carried(protocol, stream) => {
                self.lanes.entry(protocol).or_default().back(stream, Instant::now());
                self.advance(protocol);
            }
            Done::Served(protocol) => {
                if let Some(count) = self.inbound.get_mut(&protocol) {
                    *count = count.saturating_sub(1);
                }
            }
            Done::Pause => self.tidy(),
        }
    }

    fn tidy(&mut self) {
        let now = Instant::now();
        self.looks = false;
        self.lanes.values_mut().for_each(|lane| lane.tidy(now));
        self.lanes.retain(|_, lane| !lane.is_empty());
        self.inbound.retain(|_, count| *count > 0);
        self.lingers = self.activity.begun() != self.begun;
        self.begun = self.activity.begun();
        if self.lingers || !self.lanes.is_empty() || !self.inbound.is_empty() {
            self.look();
        }
    }

    /// A stream of the other side; over its bound it is dropped, which the other side sees.
    fn serve(&mut self, protocol: Protocol, stream: Stream) {
        let Some((from, door)) = &self.visitor else { return };
        let count = self.inbound.entry(protocol).or_default();
        if *count >= STREAMS_PER_PROTOCOL {
            tracing::debug!(%from, ?protocol, "a stream over the bound is dropped");
            return;
        }
        *count += 1;
        let visitor = Visitor { from: *from, protocol, door: door.clone(), activity: self.activity.clone() };
        self.tasks.push(visitor.serve(stream).map(move |()| Done::Served(protocol)).boxed());
        self.look();
    }

    fn not_opened(&mut self, protocol: Protocol, error: &StreamUpgradeError<Infallible>) {
        if let Some(Call { to: node, caller, .. }) = self.lanes.entry(protocol).or_default().not_opened() {
            let closed = |reason: &dyn ToString| CallError::Closed { node, reason: reason.to_string() };
            caller.tell(Err(match error {
                StreamUpgradeError::Timeout => CallError::Timeout { node },
                StreamUpgradeError::NegotiationFailed => {
                    CallError::Unsupported { node, protocol: self.names.of(protocol).as_ref().to_string() }
                }
                StreamUpgradeError::Io(error) => closed(error),
                StreamUpgradeError::Apply(never) => match *never {},
            }));
        }
        self.advance(protocol);
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Call;
    type ToBehaviour = Infallible;
    type InboundProtocol = Take;
    type OutboundProtocol = Open;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Protocol;

    fn listen_protocol(&self) -> SubstreamProtocol<Take> {
        SubstreamProtocol::new(Take(self.visitor.is_some().then(|| self.names.clone())), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.lingers || self.activity.is_under_way()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Open, Protocol, Infallible>> {
        while let Poll::Ready(Some(done)) = self.tasks.poll_next_unpin(cx) {
            self.on_done(done);
        }
        let Some(protocol) = self.to_open.pop_front() else { return Poll::Pending };
        let open = Open(self.names.of(protocol).clone());
        let protocol = SubstreamProtocol::new(open, protocol).with_timeout(STALL);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_behaviour_event(&mut self, call: Call) {
        let protocol = call.protocol;
        self.lanes.entry(protocol).or_default().push(call);
        self.advance(protocol);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Take, Open, (), Protocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (protocol, stream), ..
            }) => {
                self.serve(protocol, stream);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info }) => {
                self.lanes.entry(info).or_default().opened(Kept::new(stream), Instant::now());
                self.advance(info);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => self.not_opened(info, &error),
            _ => {}
        }
    }
}
