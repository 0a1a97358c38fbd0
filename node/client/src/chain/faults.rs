//! Who did not prove an epoch, and what else there is against providers of it.
//!
//! Nodes list against whom there is something, and a record proves what it is: so nobody is accused by a node's word.
//! What providers did not prove adds up to what is missing in the record of the epoch, so where it does, nobody who was
//! silent is left out. A reported loss alone may be, if all nodes that are asked leave it out.

use std::collections::BTreeSet;

use ostrakon_proto::{
    id::{Epoch, NodeId},
    json,
    ledger::state::{EpochAudit, Fault, FaultReason, Key, Record},
    wire,
};
use serde::Serialize;

use super::{Chain, ChainError, ask::Reply};

/// What there is against providers of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EpochFaults {
    /// Whether those who did not prove it are excused; known once it is over.
    pub amnesty: bool,
    /// The providers that owed a proof and did not bring it, also where they are excused.
    pub missed: Vec<NodeId>,
    /// All that is recorded, in the order of providers.
    pub faults: Vec<ProviderFault>,
    /// Whether all who did not prove it are among them: what they had to prove is what is missing of the epoch.
    #[serde(rename = "faults_complete")]
    pub is_complete: bool,
}

/// What there is against a provider, by one evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderFault {
    /// The provider.
    pub provider: NodeId,
    /// Why.
    pub reasons: Vec<FaultReason>,
    /// The hash of what shows it ([`Fault::reasons`]).
    #[serde(serialize_with = "json::hex")]
    pub evidence: [u8; 32],
}

impl Chain {
    /// What there is against providers of an epoch, which is in progress or of which all this was to be proven.
    pub(super) async fn faults(
        &self,
        epoch: Epoch,
        ended: Option<&EpochAudit>,
        amnesty: bool,
    ) -> Result<EpochFaults, ChainError> {
        let listings = self.listings(move |after| wire::chain::faults(epoch, after), "faults").await?;
        let listed: BTreeSet<NodeId> = listings.iter().flat_map(|listing| &listing.value).copied().collect();
        let keys: Vec<Key> = listed.iter().map(|node| Key::Fault(epoch, *node)).collect();
        let records = self.many(&keys).await?;
        let fault = |record| if let Some(Record::Fault(fault)) = record { Some(fault) } else { None };
        let proven: Vec<(NodeId, Fault)> =
            listed.into_iter().zip(records).filter_map(|(node, record)| Some((node, fault(record)?))).collect();
        for Reply { node, value } in listings {
            let is_known = |one: &NodeId| proven.binary_search_by_key(one, |(node, _)| *node).is_ok();
            if let Some(other) = value.iter().find(|one| !is_known(one)) {
                let claim = format!("provider {other} has a fault of epoch {epoch}");
                self.inner.nodes.contradict(node, claim);
            }
        }
        let unproven: u128 = proven.iter().map(|(_, fault)| u128::from(fault.unproven)).sum();
        let is_complete = ended.is_some_and(|audit| audit.frozen.saturating_sub(audit.proven) == unproven);
        let is_missed = |fault: &Fault| fault.reasons.keys().any(|reason| reason.is_missed());
        let missed = proven.iter().filter(|(_, fault)| is_missed(fault)).map(|(node, _)| *node).collect();
        let faults = proven.iter().flat_map(|(provider, fault)| {
            let of = |(evidence, reasons)| ProviderFault { provider: *provider, reasons, evidence };
            fault.by_evidence().into_iter().map(of)
        });
        Ok(EpochFaults { amnesty, missed, faults: faults.collect(), is_complete })
    }
}
