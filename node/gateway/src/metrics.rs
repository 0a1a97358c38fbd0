//! What the gateway counts.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicI64, AtomicU64},
};

use ostrakon::Received;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The operation of a request, written once s3s has parsed it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Arc<OnceLock<String>>);

impl Trace {
    /// Writes it.
    pub(crate) fn set(&self, operation: &str) {
        self.0.get_or_init(|| operation.to_owned());
    }

    /// Its name, or that the request came to none.
    pub(crate) fn get(&self) -> &str {
        self.0.get().map_or("none", String::as_str)
    }
}

/// What requests are counted by. Both have few values, which strangers do not choose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    operation: String,
    status: u16,
}

/// What latencies are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: String,
}

/// What the network answered, as the SDK counts it.
#[derive(Debug)]
struct Fetched(Received);

impl Collector for Fetched {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let text = "What other nodes answered, by protocol: columns, manifests, and the ledger";
        let mut counts = encoder.encode_descriptor("fetched", text, Some(&Unit::Bytes), MetricType::Counter)?;
        for (protocol, bytes) in self.0.by_protocol() {
            ConstCounter::new(bytes).encode(counts.encode_family(&[("protocol", protocol)])?)?;
        }
        Ok(())
    }
}

/// The metrics of a gateway.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Answered, Counter>,
    seconds: Family<Operation, Histogram>,
    /// Requests that are being answered.
    pub(crate) in_flight: Gauge<i64, AtomicI64>,
    /// Connections that are open.
    pub(crate) connections: Gauge<i64, AtomicI64>,
    /// Bytes of bodies that came.
    pub(crate) received: Counter<u64, AtomicU64>,
    /// Bytes of bodies that were sent.
    pub(crate) sent: Counter<u64, AtomicU64>,
    /// The epoch in which the first lease of all buckets ends.
    pub(crate) lease_end: Gauge<i64, AtomicI64>,
}

fn latency() -> Histogram {
    // From 5 ms to 82 s.
    Histogram::new(exponential_buckets(0.005, 2.0, 15))
}

impl Metrics {
    /// With nothing counted but what the network has answered so far.
    pub(crate) fn new(fetched: Received) -> Self {
        let mut registry = Registry::with_prefix("ostrakon_gateway");
        let (requests, seconds) = (Family::default(), Family::new_with_constructor(latency as fn() -> Histogram));
        let (in_flight, connections, received, sent) =
            (Gauge::default(), Gauge::default(), Counter::default(), Counter::default());
        registry.register_collector(Box::new(Fetched(fetched)));
        registry.register("requests", "HTTP requests that were answered", requests.clone());
        let text = "Time from a request's headers to its response's headers";
        registry.register_with_unit("request_duration", text, Unit::Seconds, seconds.clone());
        registry.register("requests_in_flight", "HTTP requests that are being answered", in_flight.clone());
        let lease_end: Gauge<i64, AtomicI64> = Gauge::default();
        let text = "Epoch in which the first lease of the buckets ends; 0 before that is known";
        registry.register("lease_end_epoch", text, lease_end.clone());
        registry.register("connections", "Connections that are open", connections.clone());
        registry.register_with_unit("received", "Bytes of request bodies received", Unit::Bytes, received.clone());
        registry.register_with_unit("sent", "Bytes of response bodies sent", Unit::Bytes, sent.clone());
        Self { registry: Arc::new(registry), requests, seconds, in_flight, connections, received, sent, lease_end }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, operation: &str, status: u16, seconds: f64) {
        self.requests.get_or_create(&Answered { operation: operation.to_owned(), status }).inc();
        self.seconds.get_or_create(&Operation { operation: operation.to_owned() }).observe(seconds);
    }

    /// What is answered while all is well: with the epoch in which the first lease ends, once that is known.
    pub(crate) fn ready(&self) -> String {
        match self.lease_end.get() {
            0 => "ready\n".to_owned(),
            end => format!("ready; the first lease ends with epoch {end}\n"),
        }
    }

    /// The text of the metrics.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::warn!(%error, "cannot write the metrics");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_prometheus_wants_them() {
        let metrics = Metrics::new(Received::default());
        metrics.answered("GetObject", 200, 0.1);
        metrics.sent.inc_by(5);
        let text = metrics.text();
        for line in [
            "ostrakon_gateway_requests_total{operation=\"GetObject\",status=\"200\"} 1",
            "ostrakon_gateway_request_duration_seconds_count{operation=\"GetObject\"} 1",
            "ostrakon_gateway_sent_bytes_total 5",
            "ostrakon_gateway_fetched_bytes_total{protocol=\"get\"} 0",
            "ostrakon_gateway_requests_in_flight 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
