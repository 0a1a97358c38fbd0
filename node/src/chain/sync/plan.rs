//! Which snapshot to restore, and which node to ask for its next chunk. Pure: in come answers and failures, out come
//! choices.

use std::collections::{BTreeMap, VecDeque};

use ostrakon_proto::{
    id::{BlockId, Height, NodeId},
    light::{CertifiedHeader, Handover, Trust, TrustError},
};

/// Consecutive refusals after which a node is not asked any more: it may be busy for a while.
const STRIKES: u32 = 12;
/// As how many of those a call without a usable answer counts: it takes longer.
const FAILURE: u32 = 4;

/// A snapshot whose block is trusted, and the nodes that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SnapshotChoice {
    pub(super) offer: CertifiedHeader,
    pub(super) sources: Vec<NodeId>,
}

/// The snapshot to fetch: the one that was started already if a node still has it, else the newest; and only if it is
/// more than `lead` blocks ahead of `tip`. `trusted` is what each node offers, in the order of preference.
pub(super) fn choose(
    trusted: impl IntoIterator<Item = (NodeId, CertifiedHeader)>,
    begun: Option<&CertifiedHeader>,
    tip: Height,
    lead: u64,
) -> Option<SnapshotChoice> {
    let mut candidates: BTreeMap<(Height, BlockId), SnapshotChoice> = BTreeMap::new();
    for (node, offer) in trusted {
        let id = (offer.header.height, offer.header.id());
        let candidate = candidates.entry(id).or_insert_with(|| SnapshotChoice { offer, sources: Vec::new() });
        if !candidate.sources.contains(&node) {
            candidate.sources.push(node);
        }
    }
    candidates.retain(|(height, _), _| height.0 > tip.0.saturating_add(lead));
    let begun = begun.and_then(|begun| candidates.remove(&(begun.header.height, begun.header.id())));
    begun.or_else(|| candidates.pop_last().map(|(_, newest)| newest))
}

/// Verifies that the block of the snapshot was decided by trusted validators: those of the newest of `trusts` that is
/// not newer than the block, or those to which they handed over. `handovers` is what each node sent, in order. Returns
/// the handovers that lead to the block.
///
/// # Errors
/// [`TrustError`] when no trusted validators decided it.
pub(super) fn verify(
    trusts: &[Trust],
    handovers: &[Vec<Handover>],
    offer: &CertifiedHeader,
) -> Result<Vec<Handover>, TrustError> {
    let fits = |trust: &&Trust| trust.height() <= offer.header.height;
    let trust = trusts.iter().find(fits).or(trusts.last()).expect("there is always the own trust");
    let straight = trust.check(&offer.header, &offer.certificate);
    if straight.is_ok() {
        return Ok(Vec::new());
    }
    let led = handovers.iter().find_map(|handovers| follow(trust.clone(), handovers, offer));
    led.map_or_else(|| straight.map(|()| Vec::new()), Ok)
}

/// The handovers that lead from `trust` to the block of the snapshot.
fn follow(mut trust: Trust, handovers: &[Handover], offer: &CertifiedHeader) -> Option<Vec<Handover>> {
    let mut led = Vec::new();
    for handover in handovers {
        if trust.height() < handover.header.height && handover.header.height < offer.header.height {
            trust.hand_over(handover).ok()?;
            led.push(handover.clone());
        }
    }
    trust.check(&offer.header, &offer.certificate).ok().map(|()| led)
}

/// The nodes that have a snapshot, asked in turn.
#[derive(Debug)]
pub(super) struct Holders {
    turn: VecDeque<(NodeId, u32)>,
}

impl Holders {
    pub(super) fn new(sources: &[NodeId]) -> Self {
        Self { turn: sources.iter().map(|node| (*node, 0)).collect() }
    }

    /// The node to ask next; `None` when none is left.
    pub(super) fn next(&mut self) -> Option<NodeId> {
        self.turn.rotate_left(self.turn.len().min(1));
        self.turn.back().map(|(node, _)| *node)
    }

    /// It answered.
    pub(super) fn served(&mut self, node: NodeId) {
        self.turn.iter_mut().filter(|(other, _)| *other == node).for_each(|(_, strikes)| *strikes = 0);
    }

    /// It refused.
    pub(super) fn refused(&mut self, node: NodeId) {
        self.strike(node, 1);
    }

    /// It did not answer, or not according to the protocol.
    pub(super) fn failed(&mut self, node: NodeId) {
        self.strike(node, FAILURE);
    }

    fn strike(&mut self, node: NodeId, count: u32) {
        self.turn.iter_mut().filter(|(other, _)| *other == node).for_each(|(_, strikes)| *strikes += count);
        self.turn.retain(|(_, strikes)| *strikes < STRIKES);
    }

    /// It is not asked again.
    pub(super) fn remove(&mut self, node: NodeId) {
        self.turn.retain(|(other, _)| *other != node);
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        beacon::{BeaconSecret, BeaconTurn},
        id::{ChainId, VoteKey},
        ledger::{
            tx::{Header, Roots},
            vote::{QuorumCertificate, SignedVote, ValidatorSet, Vote, VoteKind},
        },
        sign::Keypair,
    };

    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::new([byte; 32])
    }

    fn offer(height: u64, state: u8) -> CertifiedHeader {
        let turn = BeaconTurn { chain: &ChainId::new([1; 32]), height: Height(height), mix: &[0; 32] };
        let beacon = BeaconSecret::from_seed(&[1; 32]).sign(&turn);
        let header = Header {
            height: Height(height),
            round: 0,
            parent: BlockId::new([0; 32]),
            time_ms: 0,
            roots: Roots { txs: [0; 32], charged: [0; 32], proofs: [0; 32] },
            state: [state; 32],
            history: [0; 32],
            validators: [0; 32],
            next_validators: [0; 32],
            proposer: VoteKey::new([0; 32]),
            beacon,
        };
        let block = header.id();
        CertifiedHeader {
            header,
            certificate: QuorumCertificate { height: Height(height), round: 0, block, signatures: [].into() },
        }
    }

    fn set(key: u8) -> ValidatorSet {
        ValidatorSet::new([(Keypair::from_seed(&[key; 32]).public(), 1)])
    }

    /// The block of this height that `key` alone decided, after which `next` does.
    fn decided(height: u64, key: u8, next: u8) -> CertifiedHeader {
        let CertifiedHeader { header, certificate } = offer(height, 0);
        let header = Header { validators: set(key).hash(), next_validators: set(next).hash(), ..header };
        let block = header.id();
        let vote = Vote { kind: VoteKind::Precommit, height: header.height, round: 0, block: Some(block) };
        let signed = SignedVote::sign(vote, &Keypair::from_seed(&[key; 32]), &ChainId::new([1; 32]));
        CertifiedHeader {
            header,
            certificate: QuorumCertificate {
                block,
                signatures: [(signed.voter, signed.signature)].into(),
                ..certificate
            },
        }
    }

    fn handover(height: u64, key: u8, next: u8) -> Handover {
        let CertifiedHeader { header, certificate } = decided(height, key, next);
        Handover { header, certificate, next: set(next) }
    }

    #[test]
    fn a_block_is_trusted_that_handovers_lead_to() {
        let header = decided(3, 1, 1).header;
        let own = Trust::checkpoint(ChainId::new([1; 32]), header.id(), &header, set(1)).expect("its own set");
        let believe = |handovers: &[Vec<Handover>], offer: &CertifiedHeader| {
            let led = verify(std::slice::from_ref(&own), handovers, offer).ok()?;
            Some(led.iter().map(|handover| handover.header.height.0).collect::<Vec<_>>())
        };
        assert_eq!(believe(&[], &decided(9, 1, 1)), Some(vec![]));
        assert_eq!(believe(&[], &decided(9, 3, 3)), None, "decided by strangers");
        let (first, second) = (handover(5, 1, 2), handover(7, 2, 3));
        let all = vec![handover(2, 8, 9), first.clone(), second.clone(), handover(11, 3, 4)];
        assert_eq!(
            believe(std::slice::from_ref(&all), &decided(9, 3, 3)),
            Some(vec![5, 7]),
            "from where it is to where it goes"
        );
        assert_eq!(believe(&[vec![second.clone()]], &decided(9, 3, 3)), None, "none may be left out");
        assert_eq!(believe(std::slice::from_ref(&all), &decided(9, 2, 2)), None, "by those who handed over before");
        let forged = vec![handover(5, 6, 7)];
        assert_eq!(believe(std::slice::from_ref(&forged), &decided(9, 7, 7)), None);
        assert_eq!(believe(&[forged, all], &decided(9, 3, 3)), Some(vec![5, 7]), "one honest answer is enough");
        assert_eq!(believe(&[], &decided(2, 1, 1)), None, "older than what is known");
    }

    #[test]
    fn the_newest_is_taken_that_is_worth_it_and_what_was_begun_is_ended() {
        let trusted =
            || [(node(1), offer(10, 0)), (node(1), offer(20, 0)), (node(2), offer(20, 0)), (node(2), offer(30, 0))];
        let height = |begun: Option<&CertifiedHeader>, tip, lead| {
            choose(trusted(), begun, Height(tip), lead).map(|candidate| candidate.offer.header.height.0)
        };
        assert_eq!(height(None, 0, 5), Some(30));
        assert_eq!(height(None, 24, 5), Some(30));
        assert_eq!(height(None, 25, 5), None, "blocks are as good");
        assert_eq!(height(None, 29, 0), Some(30));
        assert_eq!(height(None, u64::MAX, u64::MAX), None);
        assert_eq!(height(Some(&offer(20, 0)), 0, 5), Some(20), "it was begun");
        assert_eq!(height(Some(&offer(20, 0)), 18, 5), Some(30), "it is not worth it any more");
        assert_eq!(height(Some(&offer(20, 9)), 0, 5), Some(30), "nobody has it any more");
        let twice = choose(trusted(), Some(&offer(20, 0)), Height(0), 5).expect("it is there");
        assert_eq!(twice.sources, [node(1), node(2)]);
    }

    #[test]
    fn holders_are_asked_in_turn_until_they_fail_too_often_or_lie() {
        let mut holders = Holders::new(&[node(1), node(2), node(3)]);
        let turn: Vec<_> = (0..4).map(|_| holders.next()).collect();
        assert_eq!(turn, [1, 2, 3, 1].map(|byte| Some(node(byte))));
        holders.remove(node(2));
        for _ in 0..2 {
            holders.failed(node(3));
        }
        holders.served(node(3));
        (0..STRIKES - 1).for_each(|_| holders.refused(node(3)));
        assert_eq!([holders.next(), holders.next(), holders.next()], [3, 1, 3].map(|byte| Some(node(byte))));
        holders.refused(node(3));
        assert_eq!([holders.next(), holders.next()], [Some(node(1)); 2]);
        holders.remove(node(1));
        assert_eq!(holders.next(), None);
    }
}
