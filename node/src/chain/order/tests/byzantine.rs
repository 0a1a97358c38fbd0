//! One of four breaks the rules in every way it can: the others agree all the same, and say who it was.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use ostrakon_net::{AskError, Failure, Peers, sim::SimConfig};
use ostrakon_proto::{
    codec,
    id::{ChainId, NodeId},
    ledger::vote::{BlockProposal, SignedProposal, SignedVote, Vote},
    limits,
    sign::Keypair,
    wire::{
        Frame, Protocol,
        consensus::{ConsensusRequest, Polka, RoundProof, RoundReason},
    },
};

use super::{
    fake::FakeBlock,
    world::{World, Wrap, node_id, seeds, vote_key},
};
use crate::chain::order::Equivocation;

const LIAR: usize = 1;

/// What a liar does to a message before it leaves: what it sends, in which order.
pub(super) type Lie = fn(&Liar, NodeId, &ConsensusRequest, &Bytes) -> Vec<(ConsensusRequest, Bytes)>;

/// All lies.
pub(super) const LIES: [Lie; 8] = [two_votes, two_faces, two_blocks, no_block, one_block, garbage, forgery, anything];

/// The network as a liar has it.
pub(super) struct Liar {
    inner: Arc<dyn Peers>,
    key: Keypair,
    chain: ChainId,
    lie: Lie,
}

impl fmt::Debug for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Liar")
    }
}

impl Peers for Liar {
    fn local(&self) -> NodeId {
        self.inner.local()
    }

    fn learn(&self, node: NodeId, addresses: &[String]) {
        self.inner.learn(node, addresses);
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        let Some(message) = request.decode::<ConsensusRequest>().ok().filter(|_| protocol == Protocol::Consensus)
        else {
            return self.inner.call(to, protocol, request);
        };
        if matches!(message, ConsensusRequest::LastSeen(_) | ConsensusRequest::Block { .. }) {
            return self.inner.call(to, protocol, request);
        }
        let frames = (self.lie)(self, to, &message, &request.body);
        let calls: Vec<_> =
            frames.into_iter().map(|(head, body)| self.inner.call(to, protocol, Frame::new(&head, body))).collect();
        async move {
            let mut last = Err(AskError::new(to, Failure::ShutDown));
            for call in calls {
                last = call.await;
            }
            last
        }
        .boxed()
    }
}

impl Liar {
    /// The vote for the opposite.
    fn opposite(&self, signed: &SignedVote) -> SignedVote {
        let block = match signed.vote.block {
            Some(_) => None,
            None => Some(blake3::hash(b"no such block").into()),
        };
        SignedVote::sign(Vote { block, ..signed.vote }, &self.key, &self.chain)
    }

    /// Another block for the same turn.
    fn other(&self, signed: &SignedProposal, body: &Bytes) -> Option<(SignedProposal, Bytes)> {
        let block: FakeBlock = codec::decode(body, limits::CONSENSUS_BODY).ok()?;
        let other = FakeBlock { salt: block.salt + 1_000_000, ..block }.candidate();
        let proposal = BlockProposal { block: other.id, ..signed.proposal };
        Some((SignedProposal::sign(proposal, &self.key, &self.chain), other.bytes))
    }
}

fn is_odd(node: NodeId) -> bool {
    node.bytes()[0] % 2 == 1
}

/// Votes for both; half of the others hear one first, half the other.
fn two_votes(liar: &Liar, to: NodeId, message: &ConsensusRequest, body: &Bytes) -> Vec<(ConsensusRequest, Bytes)> {
    let mut frames = vec![(message.clone(), body.clone())];
    if let ConsensusRequest::Vote(signed) = message {
        frames.push((ConsensusRequest::Vote(liar.opposite(signed)), Bytes::new()));
        if is_odd(to) {
            frames.reverse();
        }
    }
    frames
}

/// Tells one half of the others one thing, and the other half another.
fn two_faces(liar: &Liar, to: NodeId, message: &ConsensusRequest, body: &Bytes) -> Vec<(ConsensusRequest, Bytes)> {
    match message {
        ConsensusRequest::Vote(signed) if is_odd(to) => {
            vec![(ConsensusRequest::Vote(liar.opposite(signed)), Bytes::new())]
        }
        ConsensusRequest::Proposal(signed) if is_odd(to) => {
            let other = liar.other(signed, body);
            other.into_iter().map(|(signed, body)| (ConsensusRequest::Proposal(signed), body)).collect()
        }
        _ => vec![(message.clone(), body.clone())],
    }
}

/// Proposes two blocks to everyone.
fn two_blocks(liar: &Liar, to: NodeId, message: &ConsensusRequest, body: &Bytes) -> Vec<(ConsensusRequest, Bytes)> {
    let mut frames = vec![(message.clone(), body.clone())];
    if let ConsensusRequest::Proposal(signed) = message
        && let Some((signed, body)) = liar.other(signed, body)
    {
        frames.push((ConsensusRequest::Proposal(signed), body));
        if is_odd(to) {
            frames.reverse();
        }
    }
    frames
}

/// Proposes without the block.
fn no_block(_: &Liar, _: NodeId, message: &ConsensusRequest, body: &Bytes) -> Vec<(ConsensusRequest, Bytes)> {
    let body = if matches!(message, ConsensusRequest::Proposal(_)) { Bytes::new() } else { body.clone() };
    vec![(message.clone(), body)]
}

/// Gives the block to one other only.
fn one_block(_: &Liar, to: NodeId, message: &ConsensusRequest, body: &Bytes) -> Vec<(ConsensusRequest, Bytes)> {
    let hides = matches!(message, ConsensusRequest::Proposal(_)) && to != node_id(0);
    if hides { Vec::new() } else { vec![(message.clone(), body.clone())] }
}

/// Sends invalid messages besides: of far heights and rounds, of strangers, with wrong signatures and bodies.
fn garbage(liar: &Liar, _: NodeId, message: &ConsensusRequest, body: &Bytes) -> Vec<(ConsensusRequest, Bytes)> {
    let mut frames = vec![(message.clone(), body.clone())];
    let junk = Bytes::from_static(&[7; 1000]);
    match message {
        ConsensusRequest::Vote(signed) => {
            for (height, round) in [(u64::MAX, 0), (signed.vote.height.0 + 1, 9), (signed.vote.height.0, u32::MAX)] {
                let vote = Vote { height: ostrakon_proto::id::Height(height), round, ..signed.vote };
                frames.push((ConsensusRequest::Vote(SignedVote::sign(vote, &liar.key, &liar.chain)), junk.clone()));
            }
            let stranger = Keypair::from_seed(&[77; 32]);
            frames.push((ConsensusRequest::Vote(SignedVote::sign(signed.vote, &stranger, &liar.chain)), Bytes::new()));
            let forged = SignedVote { voter: vote_key(0).public(), ..*signed };
            frames.push((ConsensusRequest::Vote(forged), Bytes::new()));
        }
        ConsensusRequest::Proposal(signed) => {
            frames.insert(0, (message.clone(), junk.clone()));
            let proposal = BlockProposal { round: signed.proposal.round + 5, ..signed.proposal };
            let early = SignedProposal::sign(proposal, &liar.key, &liar.chain);
            frames.push((ConsensusRequest::Proposal(early), body.clone()));
            let valid_round = Some(signed.proposal.round + 7);
            let wrong = BlockProposal { valid_round, ..signed.proposal };
            frames.push((ConsensusRequest::Proposal(SignedProposal::sign(wrong, &liar.key, &liar.chain)), junk));
        }
        _ => {}
    }
    frames
}

/// Sends besides hundreds of votes in the name of another, which it did not cast.
fn forgery(_: &Liar, to: NodeId, message: &ConsensusRequest, body: &Bytes) -> Vec<(ConsensusRequest, Bytes)> {
    let mut frames = vec![(message.clone(), body.clone())];
    let ConsensusRequest::Vote(signed) = message else { return frames };
    let victim = (0..4).map(|number| (node_id(number), vote_key(number).public())).find(|(node, _)| *node == to);
    let Some((_, victim)) = victim else { return frames };
    let of_round = |round| SignedVote { voter: victim, vote: Vote { round, ..signed.vote }, ..*signed };
    let (height, votes) = (signed.vote.height, (0..590).map(of_round).collect());
    let proof = RoundProof { height, round: signed.vote.round + 1, reason: RoundReason::Skip, votes };
    frames.push((ConsensusRequest::Round(proof), Bytes::new()));
    let block = blake3::hash(b"no such block").into();
    let signatures = (0..4).map(|number| (vote_key(number).public(), signed.signature)).collect();
    frames.push((ConsensusRequest::Polka(Polka { height, round: 0, block, signatures }), Bytes::new()));
    frames.extend((0..20).map(|round| (ConsensusRequest::Vote(of_round(round)), Bytes::new())));
    frames
}

/// Any of the other lies, or nothing at all, to each as chance has it.
fn anything(liar: &Liar, to: NodeId, message: &ConsensusRequest, body: &Bytes) -> Vec<(ConsensusRequest, Bytes)> {
    let chance = blake3::hash(&[to.bytes().as_slice(), &codec::encode(message)].concat());
    let lies = [two_votes, two_faces, two_blocks, no_block, garbage];
    let lie = lies.get(usize::from(chance.as_bytes()[0]) % (lies.len() + 1));
    lie.map_or_else(Vec::new, |lie| lie(liar, to, message, body))
}

/// Makes a liar of this machine.
pub(super) fn corrupt(world: &mut World, number: usize, lie: Lie) {
    let (key, chain) = (vote_key(number), world.network.chain);
    let wrap: Wrap = Arc::new(move |inner| Arc::new(Liar { inner, key: key.clone(), chain, lie }) as Arc<dyn Peers>);
    world.machines[number].wrap = Some(wrap);
}

fn lying(seed: u64, lie: Lie) -> World {
    let mut world = World::new(seed, &[1; 4], SimConfig::default());
    corrupt(&mut world, LIAR, lie);
    world
}

async fn honest_agree(world: &World, height: u64) {
    let honest = [0, 2, 3];
    world.reach(honest, height).await;
    world.check(honest);
}

fn evidence(world: &World) -> Vec<Equivocation> {
    [0, 2, 3].into_iter().flat_map(|number| world.machines[number].ledger.evidence()).collect()
}

#[test]
fn who_votes_twice_is_convicted() {
    seeds(0..4, async |seed| {
        let mut world = lying(seed, two_votes);
        world.start_all();
        honest_agree(&world, 25).await;
        let (found, liar) = (evidence(&world), vote_key(LIAR).public());
        assert!(!found.is_empty());
        for evidence in found {
            let Equivocation::Votes(a, b) = evidence else { panic!("no proposal was wrong: {evidence:?}") };
            assert_eq!((a.voter, b.voter), (liar, liar), "nobody else is accused");
            assert_eq!((a.vote.height, a.vote.round, a.vote.kind), (b.vote.height, b.vote.round, b.vote.kind));
            assert_ne!(a.vote.block, b.vote.block);
            assert!(a.verify(&world.network.chain).is_ok() && b.verify(&world.network.chain).is_ok());
        }
    });
}

#[test]
fn who_proposes_twice_is_convicted() {
    seeds(0..4, async |seed| {
        let mut world = lying(seed, two_blocks);
        world.start_all();
        honest_agree(&world, 25).await;
        let (found, liar) = (evidence(&world), vote_key(LIAR).public());
        let proposals = found.iter().filter_map(|evidence| match evidence {
            Equivocation::Proposals(a, b) => Some((a, b)),
            Equivocation::Votes(..) => None,
        });
        let proposals: Vec<_> = proposals.collect();
        assert!(!proposals.is_empty());
        for (a, b) in proposals {
            assert_eq!((a.proposer, b.proposer), (liar, liar));
            assert_ne!(a.proposal, b.proposal);
            assert!(a.verify(&world.network.chain).is_ok() && b.verify(&world.network.chain).is_ok());
        }
    });
}

#[test]
fn two_faces_do_not_divide() {
    seeds(0..8, async |seed| {
        let mut world = lying(seed, two_faces);
        world.start_all();
        honest_agree(&world, 25).await;
    });
}

#[test]
fn who_keeps_its_block_back_loses_its_turn() {
    seeds(0..4, async |seed| {
        let mut world = lying(seed, no_block);
        world.machines[LIAR].withholds = true;
        world.start_all();
        honest_agree(&world, 25).await;
        let liar = vote_key(LIAR).public();
        let proposers = world.machines[0].ledger.proposers();
        assert!(!proposers.contains(&liar), "{proposers:?}");
    });
}

#[test]
fn a_block_that_few_have_is_handed_on() {
    seeds(0..4, async |seed| {
        let mut world = lying(seed, one_block);
        world.start_all();
        honest_agree(&world, 25).await;
        // The votes of the proposer and of the one other name the block, and who voted has it.
        let (ledger, liar) = (&world.machines[0].ledger, vote_key(LIAR).public());
        let turns = ledger.certificates().into_iter().zip(ledger.proposers()).filter(|(_, proposer)| *proposer == liar);
        let rounds: Vec<u32> = turns.map(|(certificate, _)| certificate.round).collect();
        assert!(rounds.len() > 4 && rounds.iter().all(|round| *round == 0), "{rounds:?}");
    });
}

#[test]
fn blocks_that_are_not_valid_are_not_decided() {
    seeds(0..4, async |seed| {
        let mut world = World::new(seed, &[1; 4], SimConfig::default());
        world.machines[LIAR].ledger.builds_invalid.store(true, Ordering::Relaxed);
        world.start_all();
        honest_agree(&world, 25).await;
        assert!(!world.machines[0].ledger.proposers().contains(&vote_key(LIAR).public()));
    });
}

#[test]
fn garbage_stops_nobody() {
    seeds(0..4, async |seed| {
        let mut world = lying(seed, garbage);
        world.start_all();
        honest_agree(&world, 25).await;
        let liar = vote_key(LIAR).public();
        let accused = evidence(&world).into_iter().all(|evidence| match evidence {
            Equivocation::Votes(a, b) => (a.voter, b.voter) == (liar, liar),
            Equivocation::Proposals(a, b) => (a.proposer, b.proposer) == (liar, liar),
        });
        assert!(accused);
    });
}

#[test]
fn forged_votes_cost_only_the_forger() {
    seeds(0..4, async |seed| {
        let mut world = lying(seed, forgery);
        world.start_all();
        honest_agree(&world, 25).await;
        assert_eq!(evidence(&world), [], "nobody is accused of what another forged");
        let waits = world.machines[0].ledger.waits();
        let slowest = waits.into_iter().max().expect("blocks");
        assert!(slowest < std::time::Duration::from_millis(1500), "{slowest:?}");
        for number in [0, 2, 3] {
            let key = world.machines[number].voter();
            assert!(world.judge.said_from(&key, 20) > 0, "{number} still votes: it is not taken for a copy of itself");
        }
    });
}
