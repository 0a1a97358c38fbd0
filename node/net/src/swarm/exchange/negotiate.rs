//! What a new stream is for: each of our protocols is offered and taken by its name.

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

/// A protocol as it is called on one network.
#[derive(Clone, Debug)]
pub(in crate::swarm) struct Name {
    pub(super) protocol: Protocol,
    text: StreamProtocol,
}

impl Name {
    fn new(protocol: Protocol, chain: &ChainId) -> Self {
        let text = StreamProtocol::try_from_owned(protocol.name(chain)).expect("the name begins with a slash");
        Self { protocol, text }
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.text.as_ref()
    }
}

/// The protocols of a network.
#[derive(Clone, Debug)]
pub(super) struct Names([Name; Protocol::ALL.len()]);

impl Names {
    pub(super) fn new(chain: &ChainId) -> Self {
        Self(Protocol::ALL.map(|protocol| Name::new(protocol, chain)))
    }

    pub(super) fn of(&self, protocol: Protocol) -> &Name {
        self.0.iter().find(|name| name.protocol == protocol).expect("all protocols have names")
    }
}

/// Takes streams of all protocols, or of none.
#[derive(Debug)]
pub(in crate::swarm) struct Take(pub(super) Option<Arc<Names>>);

impl UpgradeInfo for Take {
    type Info = Name;
    type InfoIter = Flatten<option::IntoIter<[Name; Protocol::ALL.len()]>>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.as_ref().map(|names| names.0.clone()).into_iter().flatten()
    }
}

impl InboundUpgrade<Stream> for Take {
    type Output = (Protocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, mut stream: Stream, name: Name) -> Self::Future {
        stream.ignore_for_keep_alive();
        ready(Ok((name.protocol, stream)))
    }
}

/// Opens a stream of one protocol.
#[derive(Debug)]
pub(in crate::swarm) struct Open(pub(super) Name);

impl UpgradeInfo for Open {
    type Info = Name;
    type InfoIter = Once<Name>;

    fn protocol_info(&self) -> Self::InfoIter {
        once(self.0.clone())
    }
}

impl OutboundUpgrade<Stream> for Open {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, mut stream: Stream, _: Name) -> Self::Future {
        // It is kept for longer than there is use for the connection; the handler says when there is.
        stream.ignore_for_keep_alive();
        ready(Ok(stream))
    }
}
