//! Messages of consensus/1 from a node that is not a validator: floods of votes that are too long for a stranger,
//! forged votes and claims that cost the validator a check each, and requests for blocks.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use ostrakon_proto::{
    id::{BlockId, Height, VoteKey},
    ledger::vote::{SignedVote, Vote, VoteKind},
    sign::Signature,
    wire::{
        Frame, Protocol,
        consensus::{Claim, ConsensusRequest, Incarnation, RoundProof, RoundReason, SignedClaim},
    },
};
use ostrakon_tests::attack::Victim;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::time;

use super::questions::head;
use crate::{
    mux::{Habits, Lane, encoded},
    outsider::{Outsider, crowd, on_lanes},
    tally::TALLY,
};

/// Votes for a block in one message: as many as fit a head.
const VOTES: usize = 461;
/// Between two such messages to one validator: 34 Mbit/s.
const BETWEEN: Duration = Duration::from_millis(15);
/// Such messages of one look at the height.
const OF_ONE_HEIGHT: usize = 8;
/// Identities at a time that forge votes at each validator.
const FORGING: usize = 4;
/// Identities that claim, and the streams of each.
const CLAIMING: usize = 4;
const LANES: usize = 4;

/// Consensus messages full of votes: longer than a stranger's may be, so that they are refused by their length alone.
pub(super) async fn votes(outsider: Arc<Outsider>) {
    let victims = outsider.validators();
    crowd(victims.len(), |number| {
        let (outsider, victim) = (Arc::clone(&outsider), victims[number].clone());
        async move { vote_at(outsider, victim).await }
    })
    .await;
}

async fn vote_at(outsider: Arc<Outsider>, victim: Victim) -> io::Result<()> {
    let Some(key) = victim.vote_key else { return Err(io::ErrorKind::Unsupported.into()) };
    let mut connection = outsider.connect(&victim, Habits::default()).await?;
    let lane = outsider.open(&connection, Protocol::Consensus).await?;
    let heads = outsider.open(&connection, Protocol::Chain).await?;
    let random = ChaCha8Rng::from_seed(*outsider.identity().seed());
    tokio::select! {
        biased;
        () = connection.ended() => Err(io::ErrorKind::ConnectionReset.into()),
        failed = send_votes(key, random, heads, lane) => failed,
    }
}

/// Sends votes of the height that is being decided, until the connection ends.
async fn send_votes(key: VoteKey, mut random: ChaCha8Rng, mut heads: Lane, mut lane: Lane) -> io::Result<()> {
    let mut clock = time::interval(BETWEEN);
    loop {
        let next = head(&mut heads).await?.height.next();
        for _ in 0..OF_ONE_HEIGHT {
            clock.tick().await;
            lane.ask(&votes_that_name(key, next, &mut random)).await?;
        }
    }
}

/// Votes of this validator that it never cast, each different.
fn votes_that_name(voter: VoteKey, height: Height, random: &mut ChaCha8Rng) -> Frame {
    let vote = |_| {
        let (mut block, mut signature) = ([0; 32], [0; 64]);
        random.fill_bytes(&mut block);
        random.fill_bytes(&mut signature);
        let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(BlockId::new(block)) };
        SignedVote { voter, vote, signature: Signature(signature) }
    };
    let votes = (0..VOTES).map(vote).collect();
    let proof = RoundProof { height, round: 0, reason: RoundReason::Precommits, votes };
    Frame::new(&ConsensusRequest::Round(proof), Bytes::new())
}

/// Forged votes, few in a message, so that their length does not give them away: each identity sends more than a
/// validator verifies of one node, and then the next one comes.
pub(super) async fn forged_votes(outsider: Arc<Outsider>) {
    let victims = outsider.validators();
    crowd(FORGING * victims.len(), |number| {
        let (outsider, victims) = (Arc::clone(&outsider), victims.clone());
        async move {
            loop {
                forge(&outsider, &victims, number).await?;
            }
        }
    })
    .await;
}

/// One identity's forgeries at one of the validators.
async fn forge(outsider: &Outsider, victims: &[Victim], number: usize) -> io::Result<()> {
    let who = outsider.identity();
    let (source, victim) = (outsider.elsewhere(number), &victims[number % victims.len()]);
    let connection = outsider.connect_as(&who, source, victim, Habits::default()).await?;
    let next = head(&mut outsider.open(&connection, Protocol::Chain).await?).await?.height.next();
    // What another key signed has the form of a signature, so that nothing but the check shows that it is none.
    let forged = |voter: &VoteKey, kind, round| {
        let vote = Vote { kind, height: next, round, block: Some(BlockId::new([9; 32])) };
        SignedVote { voter: *voter, ..SignedVote::sign(vote, &who, &outsider.plan.chain) }
    };
    let voters: Vec<VoteKey> = victims.iter().filter_map(|victim| victim.vote_key).collect();
    let votes = voters.iter().map(|voter| forged(voter, VoteKind::Prevote, 1)).collect();
    let proof = RoundProof { height: next, round: 1, reason: RoundReason::Skip, votes };
    let kinds = [VoteKind::Prevote, VoteKind::Precommit].into_iter();
    let single = kinds.flat_map(|kind| voters.iter().map(move |voter| (kind, voter)));
    let single = single.map(|(kind, voter)| ConsensusRequest::Vote(forged(voter, kind, 0)));
    let requests = [ConsensusRequest::Round(proof)].into_iter().chain(single);
    let requests: Vec<Frame> = requests.map(|request| Frame::new(&request, Bytes::new())).collect();
    let mut lane = outsider.open(&connection, Protocol::Consensus).await?;
    ask_together(&mut lane, &requests).await
}

/// Sends all of these before it reads an answer.
async fn ask_together(lane: &mut Lane, requests: &[Frame]) -> io::Result<()> {
    for request in requests {
        lane.write(&encoded(request)).await?;
        TALLY.requested(1);
    }
    for _ in requests {
        lane.answer().await?;
    }
    Ok(())
}

/// Claims of others' keys, and requests for blocks that were never proposed, as many as are answered.
pub(super) async fn claims(outsider: Arc<Outsider>) {
    let victims = outsider.validators();
    crowd(CLAIMING * victims.len(), |number| {
        let (outsider, victims) = (Arc::clone(&outsider), victims.clone());
        async move {
            let victim = &victims[number % victims.len()];
            let other = &victims[(number + 1) % victims.len()];
            let (Some(asked), Some(key)) = (victim.vote_key, other.vote_key) else { return Ok(()) };
            let incarnation = Incarnation([u8::try_from(number % 256).expect("a byte"); 16]);
            let claim = Claim { key, asked, incarnation, earlier: Vec::new() };
            let signed = SignedClaim::sign(claim, &outsider.identity(), &outsider.plan.chain);
            let claim = Frame::new(&ConsensusRequest::LastSeen(signed), Bytes::new());
            let block = ConsensusRequest::Block { height: Height(1), block: BlockId::new([3; 32]) };
            let block = Frame::new(&block, Bytes::new());
            let mut connection = outsider.connect(victim, Habits::default()).await?;
            let each = |lane| claim_on(lane, [claim.clone(), block.clone()]);
            on_lanes(&outsider, &mut connection, Protocol::Consensus, LANES, each).await
        }
    })
    .await;
}

/// Sends both requests again and again.
async fn claim_on(mut lane: Lane, requests: [Frame; 2]) -> io::Result<()> {
    loop {
        ask_together(&mut lane, &requests).await?;
        // Refused or not, it costs the validator a message.
        tokio::task::yield_now().await;
    }
}
