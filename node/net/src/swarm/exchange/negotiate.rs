//! What a new stream is for: each of our protocols is offered and accepted by its name.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    iter::{Flatten, Once, once},
    option,
    sync::Arc,
};

use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
};
use ostrakon_proto::{id::ChainId, wire::Protocol};

/// A protocol's name on one network.
#[derive(Clone, Debug)]
pub(in crate::swarm) struct ProtocolName {
    pub(super) protocol: Protocol,
    text: StreamProtocol,
}

impl ProtocolName {
    fn new(protocol: Protocol, chain: &ChainId) -> Self {
        let text = StreamProtocol::try_from_owned(protocol.name(chain)).expect("the name begins with a slash");
        Self { protocol, text }
    }
}

impl AsRef<str> for ProtocolName {
    fn as_ref(&self) -> &str {
        self.text.as_ref()
    }
}

/// The names of all protocols on one network.
#[derive(Clone, Debug)]
pub(super) struct ProtocolNames([ProtocolName; Protocol::ALL.len()]);

impl ProtocolNames {
    pub(super) fn new(chain: &ChainId) -> Self {
        Self(Protocol::ALL.map(|protocol| ProtocolName::new(protocol, chain)))
    }

    pub(super) fn of(&self, protocol: Protocol) -> &ProtocolName {
        self.0.iter().find(|name| name.protocol == protocol).expect("all protocols have names")
    }
}

/// Accepts streams of all protocols, or of none.
#[derive(Debug)]
pub(in crate::swarm) struct AcceptUpgrade(pub(super) Option<Arc<ProtocolNames>>);

impl UpgradeInfo for AcceptUpgrade {
    type Info = ProtocolName;
    type InfoIter = Flatten<option::IntoIter<[ProtocolName; Protocol::ALL.len()]>>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.as_ref().map(|names| names.0.clone()).into_iter().flatten()
    }
}

impl InboundUpgrade<Stream> for AcceptUpgrade {
    type Output = (Protocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, mut stream: Stream, name: ProtocolName) -> Self::Future {
        stream.ignore_for_keep_alive();
        ready(Ok((name.protocol, stream)))
    }
}

/// Opens a stream of one protocol.
#[derive(Debug)]
pub(in crate::swarm) struct OpenUpgrade(pub(super) ProtocolName);

impl UpgradeInfo for OpenUpgrade {
    type Info = ProtocolName;
    type InfoIter = Once<ProtocolName>;

    fn protocol_info(&self) -> Self::InfoIter {
        once(self.0.clone())
    }
}

impl OutboundUpgrade<Stream> for OpenUpgrade {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, mut stream: Stream, _: ProtocolName) -> Self::Future {
        // An idle stream must not keep the connection open; the handler says whether it is in use.
        stream.ignore_for_keep_alive();
        ready(Ok(stream))
    }
}
