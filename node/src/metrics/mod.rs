//! What the node counts: one struct per part, each with a `Default` whose clones share their counts, and their names.
//!
//! In go events, from the parts themselves; out comes text in the OpenMetrics format, from [`NodeMetrics::registry`]
//! and [`text`], for [`http`] to answer scrapes with. Durations are measured by the caller, with tokio's clock, so that
//! a simulated node counts as a real one does. Every label is one of a fixed set of words. Not here: the network's
//! counts ([`ostrakon_net::metrics`]), which are registered with these.

use ostrakon_net::metrics::{NetMetrics, Registry};
use prometheus_client::encoding::text as openmetrics;

pub mod http;
mod parts;

pub use parts::{
    ChainMetrics, LedgerMetrics, OrderMetrics, PoolMetrics, RepairMetrics, RetentionMetrics, StoreMetrics, SyncMetrics,
    Synced, UploadMetrics,
};

/// All counts of a node. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct NodeMetrics {
    /// The network.
    pub net: NetMetrics,
    /// The stored columns.
    pub store: StoreMetrics,
    /// The ledger's storage and its newest block.
    pub ledger: LedgerMetrics,
    /// The order, on a validator.
    pub order: OrderMetrics,
    /// Blocks that others sent, and transactions that wait for one.
    pub chain: ChainMetrics,
    /// Columns that others upload.
    pub uploads: UploadMetrics,
    /// Columns that the ledger changed.
    pub retention: RetentionMetrics,
    /// Repairs.
    pub repair: RepairMetrics,
}

impl NodeMetrics {
    /// The registry of all counts, those of libp2p included: the one place where their names are put together.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        self.net.register(&mut registry);
        let ours = registry.sub_registry_with_prefix("ostrakon");
        self.store.register(ours.sub_registry_with_prefix("store"));
        self.ledger.register(ours.sub_registry_with_prefix("ledger"));
        self.order.register(ours.sub_registry_with_prefix("order"));
        self.chain.sync.register(ours.sub_registry_with_prefix("sync"));
        self.chain.pool.register(ours.sub_registry_with_prefix("mempool"));
        self.uploads.register(ours.sub_registry_with_prefix("uploads"));
        self.retention.register(ours.sub_registry_with_prefix("retention"));
        self.repair.register(ours.sub_registry_with_prefix("repair"));
        registry
    }
}

/// The counts as OpenMetrics text.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    openmetrics::encode(&mut text, registry).expect("a string takes all that is written to it");
    text
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use ostrakon_net::metrics::code_word;
    use ostrakon_proto::{
        id::{Epoch, Height},
        ledger::vote::VoteKind,
        wire::{Frame, Protocol, Refusal, RefusalCode},
    };

    use super::*;
    use crate::{chain::mempool::PoolError, retention::PlaceChange, store::Usage};

    /// All names, in the order of the alphabet, each with its type: what dashboards and alarms of operators rely on.
    const NAMES: &[&str] = &[
        "ostrakon_admission_queue_wait_seconds histogram",
        "ostrakon_admission_queued gauge",
        "ostrakon_admission_refused counter",
        "ostrakon_ledger_commit_seconds histogram",
        "ostrakon_ledger_epoch gauge",
        "ostrakon_ledger_height gauge",
        "ostrakon_ledger_peers gauge",
        "ostrakon_ledger_synced gauge",
        "ostrakon_mempool_refused counter",
        "ostrakon_mempool_transactions gauge",
        "ostrakon_order_decided counter",
        "ostrakon_order_height_seconds histogram",
        "ostrakon_order_log_sync_seconds histogram",
        "ostrakon_order_received counter",
        "ostrakon_order_refused counter",
        "ostrakon_order_sign_state_sync_seconds histogram",
        "ostrakon_order_vote_delay_seconds histogram",
        "ostrakon_repair_columns counter",
        "ostrakon_repair_failures counter",
        "ostrakon_repair_read_bytes counter",
        "ostrakon_repair_written_bytes counter",
        "ostrakon_requests_duration_seconds histogram",
        "ostrakon_requests_received counter",
        "ostrakon_requests_refused counter",
        "ostrakon_retention_changes counter",
        "ostrakon_store_bytes gauge",
        "ostrakon_store_columns gauge",
        "ostrakon_store_packs gauge",
        "ostrakon_store_read_bytes counter",
        "ostrakon_store_sync_seconds histogram",
        "ostrakon_store_written_bytes counter",
        "ostrakon_sync_backoffs counter",
        "ostrakon_sync_blocks counter",
        "ostrakon_sync_chunks counter",
        "ostrakon_uploads_finished counter",
        "ostrakon_uploads_opened counter",
        "ostrakon_uploads_received_bytes counter",
    ];

    /// One of everything: what never happened has no name yet.
    fn counted() -> NodeMetrics {
        let (metrics, short) = (NodeMetrics::default(), Duration::from_millis(1));
        let refusal = Frame::new(&Err::<(), _>(Refusal::new(RefusalCode::Busy, "later")), bytes::Bytes::new());
        metrics.net.requests.received(Protocol::Get);
        metrics.net.requests.answered(Protocol::Get, &refusal, short);
        metrics.net.admission.refuse("bulk", "queue_full");
        let _queues = ostrakon_net::request_queues(&metrics.net.admission);
        metrics.store.synced(Synced::Data, short);
        metrics.store.set_usage(&Usage::default());
        metrics.ledger.set(Height(7), Epoch(1), true, 3);
        metrics.order.decided(0, short);
        metrics.order.voted(VoteKind::Prevote, short);
        metrics.order.refuse("signature");
        metrics.order.received(&ostrakon_proto::wire::consensus::ConsensusRequest::Block {
            height: Height(7),
            block: ostrakon_proto::id::BlockId::new([0; 32]),
        });
        metrics.chain.pool.refuse(&PoolError::Full);
        metrics.retention.changed(PlaceChange::Commit);
        metrics.repair.columns("rebuilt", 2);
        metrics
    }

    #[test]
    fn names_stay_and_the_readme_has_them() {
        let text = text(&counted().registry());
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let ours: BTreeSet<&str> = types.clone().filter(|name| name.starts_with("ostrakon_")).collect();
        assert_eq!(ours.into_iter().collect::<Vec<_>>(), NAMES, "{text}");
        assert_eq!(types.clone().collect::<BTreeSet<_>>().len(), types.count(), "a name is registered twice");
        assert!(text.contains("# TYPE libp2p_swarm_dial_attempt counter"), "{text}");
        let readme = include_str!("../../../README.md");
        for name in NAMES.iter().filter_map(|line| line.split(' ').next()) {
            assert!(readme.contains(name), "{name} is not in README.md");
        }
    }

    #[test]
    fn values_are_those_that_were_counted() {
        let metrics = counted();
        metrics.clone().chain.sync.blocks.inc_by(3);
        let text = text(&metrics.registry());
        for line in [
            "ostrakon_sync_blocks_total 3",
            "ostrakon_ledger_height 7",
            "ostrakon_ledger_synced 1",
            "ostrakon_order_decided_total{round=\"0\"} 1",
            "ostrakon_mempool_refused_total{reason=\"full\"} 1",
            "ostrakon_repair_columns_total{what=\"rebuilt\"} 2",
            &format!("ostrakon_requests_refused_total{{protocol=\"get\",code=\"{}\"}} 1", code_word(RefusalCode::Busy)),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
