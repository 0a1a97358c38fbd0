//! What the network counts: one struct per part, whose clones share their counts, and the registry's names for them.
//!
//! In go events, from the code that sees them happen, with durations that it has measured; out comes a [`Registry`],
//! which the node encodes for its operator. Counting needs no reader. Every label is one of a fixed set of words: never
//! a node, an address, or text of another node, so that strangers cannot make the counts grow. Not here: other parts'
//! counters, which are `ostrakon_node::metrics`, and who reads them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ostrakon_proto::wire::{Frame, Protocol, Refusal, RefusalCode, RequestClass};
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};

pub use prometheus_client::registry::Registry;

/// Upper bounds of the buckets of [`Seconds`]: from a sync of a fast disk to the longest that a request may take.
const BUCKETS: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Those where a tail is compared with another: most are less than twice the one before.
const FINE: [f64; 24] = [
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4,
    0.5, 0.75, 1.0, 2.0, 5.0, 10.0,
];

/// How long something took, as a histogram. Clones share it.
#[derive(Clone, Debug)]
pub struct Seconds(Histogram);

impl Default for Seconds {
    fn default() -> Self {
        Self(Histogram::new(BUCKETS))
    }
}

impl Seconds {
    /// With more and closer buckets, for what is counted a few times in each block.
    pub fn fine() -> Self {
        Self(Histogram::new(FINE))
    }

    /// Counts one that took `duration`.
    pub fn observe(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
    }
}

impl TypedMetric for Seconds {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Seconds {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// The labels of a count: each a key with one of a fixed set of words.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];

/// What admission counts: requests by class, and what is refused before it is one.
#[derive(Clone, Debug, Default)]
pub struct AdmissionMetrics {
    refused: Family<Labels<2>, Counter>,
    queue_wait: Family<Labels<1>, Seconds>,
    queued: Family<Labels<1>, Gauge>,
}

/// What the queue of one class counts.
#[derive(Clone, Debug)]
pub(crate) struct QueueMetrics {
    /// How long a request waited for its turn.
    pub(crate) wait: Seconds,
    /// Requests that wait now.
    pub(crate) queued: Gauge,
}

impl AdmissionMetrics {
    /// Counts something of this class that was refused, with the reason in a word or two.
    pub fn refuse(&self, class: &'static str, reason: &'static str) {
        self.refused.get_or_create(&[("class", class), ("reason", reason)]).inc();
    }

    /// What the queue of this class counts.
    pub(crate) fn queue(&self, class: RequestClass) -> QueueMetrics {
        let labels = [("class", class_word(class))];
        QueueMetrics {
            wait: self.queue_wait.get_or_create_owned(&labels),
            queued: self.queued.get_or_create_owned(&labels),
        }
    }

    fn register(&self, registry: &mut Registry) {
        let part = registry.sub_registry_with_prefix("admission");
        part.register(
            "refused",
            "Requests, handshakes and connections that were refused, by class and reason",
            self.refused.clone(),
        );
        let help = "How long requests waited for their turn, by class";
        part.register_with_unit("queue_wait", help, Unit::Seconds, self.queue_wait.clone());
        part.register("queued", "Requests that wait for their turn now, by class", self.queued.clone());
    }
}

/// What the network counts. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct NetMetrics {
    /// Admission of connections, streams and requests.
    pub admission: AdmissionMetrics,
    /// Requests of other nodes.
    pub requests: RequestMetrics,
    /// Bytes by path.
    pub traffic: TrafficMetrics,
    libp2p: Libp2p,
}

impl NetMetrics {
    /// Registers all counts: those of this node under `ostrakon`, libp2p's own under `libp2p`. Libp2p's begin now.
    pub fn register(&self, registry: &mut Registry) {
        let ours = registry.sub_registry_with_prefix("ostrakon");
        self.admission.register(ours);
        self.requests.register(ours);
        self.traffic.register(ours);
        self.libp2p.0.get_or_init(|| libp2p_metrics::Metrics::new(registry));
    }

    /// Libp2p's own metrics, once they are registered.
    pub(crate) fn libp2p(&self) -> Option<&libp2p_metrics::Metrics> {
        self.libp2p.0.get()
    }
}

/// Libp2p's own metrics; they exist only in a registry.
#[derive(Clone, Default)]
struct Libp2p(Arc<OnceLock<libp2p_metrics::Metrics>>);

impl fmt::Debug for Libp2p {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Libp2p(..)")
    }
}

/// Bytes of requests and answers in both directions, by whether they went directly or through a relay.
#[derive(Clone, Debug, Default)]
pub struct TrafficMetrics(Family<Labels<2>, Counter>);

/// Bytes of one path.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathTraffic {
    sent: Counter,
    received: Counter,
}

impl PathTraffic {
    pub(crate) fn sent(&self, frame: &Frame) {
        self.sent.inc_by(frame_bytes(frame));
    }

    pub(crate) fn received(&self, frame: &Frame) {
        self.received.inc_by(frame_bytes(frame));
    }
}

fn frame_bytes(frame: &Frame) -> u64 {
    u64::try_from(frame.head.len() + frame.body.len()).unwrap_or(u64::MAX)
}

impl TrafficMetrics {
    /// What counts the bytes that go through relays, or directly.
    pub(crate) fn of(&self, is_relayed: bool) -> PathTraffic {
        let path = if is_relayed { "relayed" } else { "direct" };
        let of = |direction| self.0.get_or_create_owned(&[("path", path), ("direction", direction)]);
        PathTraffic { sent: of("sent"), received: of("received") }
    }

    /// Bytes that went directly, and bytes that went through a relay, in both directions.
    pub fn totals(&self) -> [u64; 2] {
        [false, true].map(|is_relayed| {
            let PathTraffic { sent, received } = self.of(is_relayed);
            sent.get().saturating_add(received.get())
        })
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Bytes of requests and answers, by path (direct or relayed) and direction";
        registry.register_with_unit("traffic", help, Unit::Bytes, self.0.clone());
    }
}

/// Requests of other nodes, by protocol.
#[derive(Clone, Debug, Default)]
pub struct RequestMetrics {
    received: Family<Labels<1>, Counter>,
    refused: Family<Labels<2>, Counter>,
    duration: Family<Labels<1>, Seconds>,
}

impl RequestMetrics {
    /// Counts a request that was read.
    pub fn received(&self, protocol: Protocol) {
        self.received.get_or_create(&[("protocol", protocol_word(protocol))]).inc();
    }

    /// Counts the answer to a request, `duration` after the request was read.
    pub fn answered(&self, protocol: Protocol, answer: &Frame, duration: Duration) {
        let protocol = protocol_word(protocol);
        self.duration.get_or_create(&[("protocol", protocol)]).observe(duration);
        if let Some(code) = refusal_code(answer) {
            self.refused.get_or_create(&[("protocol", protocol), ("code", code_word(code))]).inc();
        }
    }

    fn register(&self, registry: &mut Registry) {
        let part = registry.sub_registry_with_prefix("requests");
        part.register("received", "Requests of other nodes", self.received.clone());
        part.register("refused", "Requests of other nodes that were refused, by code", self.refused.clone());
        let help = "How long requests of other nodes took from being read to being answered or refused";
        part.register_with_unit("duration", help, Unit::Seconds, self.duration.clone());
    }
}

/// The code of an answer that is a refusal.
fn refusal_code(answer: &Frame) -> Option<RefusalCode> {
    // A head is a `Result`, which begins with 1 when it is not a refusal: most are not, and need not be decoded.
    if answer.head.first() != Some(&0) {
        return None;
    }
    let refused = answer.decode::<Result<(), Refusal>>().ok()?;
    refused.err().map(|refusal| refusal.code)
}

/// The label of a class.
pub(crate) const fn class_word(class: RequestClass) -> &'static str {
    match class {
        RequestClass::Consensus => "consensus",
        RequestClass::Chain => "chain",
        RequestClass::Bulk => "bulk",
        RequestClass::Background => "background",
    }
}

/// The label of a protocol.
pub const fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Put => "put",
        Protocol::Get => "get",
        Protocol::Manifest => "manifest",
        Protocol::Chain => "chain",
        Protocol::Consensus => "consensus",
    }
}

/// The label of a refusal.
pub const fn code_word(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::BadRequest => "bad_request",
        RefusalCode::NotFound => "not_found",
        RefusalCode::Denied => "denied",
        RefusalCode::Busy => "busy",
        RefusalCode::Full => "full",
        RefusalCode::NoCredit => "no_credit",
        RefusalCode::Corrupt => "corrupt",
        RefusalCode::Internal => "internal",
        RefusalCode::Invalid => "invalid",
        RefusalCode::Pruned => "pruned",
        RefusalCode::Nonce => "nonce",
        RefusalCode::Charged => "charged",
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prometheus_client::encoding::text;

    use super::*;
    use crate::peers;

    fn text_of(metrics: &NetMetrics) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        metrics.register(&mut registry);
        text::encode(&mut text, &registry).expect("a string grows");
        text
    }

    #[test]
    fn clones_share_what_they_count() {
        let metrics = NetMetrics::default();
        let clone = metrics.clone();
        clone.admission.refuse("bulk", "queue_full");
        let queue = clone.admission.queue(RequestClass::Chain);
        queue.wait.observe(Duration::from_millis(3));
        queue.queued.set(2);
        let text = text_of(&metrics);
        for line in [
            "ostrakon_admission_refused_total{class=\"bulk\",reason=\"queue_full\"} 1",
            "ostrakon_admission_queue_wait_seconds_bucket{le=\"0.0025\",class=\"chain\"} 0",
            "ostrakon_admission_queue_wait_seconds_bucket{le=\"0.005\",class=\"chain\"} 1",
            "ostrakon_admission_queued{class=\"chain\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn refusals_are_counted_by_their_code() {
        let metrics = NetMetrics::default();
        let count = |answer: &Frame| metrics.requests.answered(Protocol::Get, answer, Duration::ZERO);
        count(&peers::refusal(RefusalCode::Busy, "later"));
        count(&Frame::new(&Ok::<u8, Refusal>(0), Bytes::new()));
        // What no node of ours sends: an answer that is empty, and one that only begins as a refusal.
        count(&Frame::default());
        count(&Frame { head: Bytes::from_static(&[0, 99]), body: Bytes::new() });
        let text = text_of(&metrics);
        let refused: Vec<&str> =
            text.lines().filter(|line| line.starts_with("ostrakon_requests_refused_total")).collect();
        assert_eq!(refused, ["ostrakon_requests_refused_total{protocol=\"get\",code=\"busy\"} 1"]);
        assert!(text.contains("ostrakon_requests_duration_seconds_count{protocol=\"get\"} 4"), "{text}");
    }
}
