//! Messages of consensus/1 from a node that is not a validator: votes whose signatures cost the validator that they
//! name a check each, claims, and requests for blocks.

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

use super::questions::height;
use crate::{
    mux::{Habits, Lane, encoded},
    outsider::{AGAIN, Outsider, crowd, on_lanes},
    tally::TALLY,
};

/// Votes of one message: as many as fit a head.
const VOTES: usize = 590;
/// Between two messages to one validator: 34 Mbit/s.
const BETWEEN: Duration = Duration::from_millis(15);
/// Streams that they are sent on.
const LANES: usize = 4;
/// Identities that claim.
const CLAIMING: usize = 4;
/// Messages of one look at the height.
const OF_ONE_HEIGHT: usize = 8;

/// Consensus messages full of votes that name their receiver.
pub(super) async fn votes(outsider: Arc<Outsider>) {
    let victims = outsider.validators();
    crowd(victims.len(), |number| {
        let (outsider, victim) = (Arc::clone(&outsider), victims[number].clone());
        async move { vote_at(outsider, victim).await }
    })
    .await;
}

async fn vote_at(outsider: Arc<Outsider>, victim: Victim) -> io::Result<()> {
    let mut connection = outsider.connect(&victim, Habits::default()).await?;
    let Some(key) = victim.vote_key else { return Err(io::ErrorKind::Unsupported.into()) };
    let mut lanes = Vec::new();
    for _ in 0..LANES {
        lanes.push(outsider.open(&connection, Protocol::Consensus).await?);
    }
    let random = ChaCha8Rng::from_seed(*outsider.identity().seed());
    let heads = outsider.open(&connection, Protocol::Chain).await?;
    tokio::select! {
        biased;
        () = connection.ended() => Err(io::ErrorKind::ConnectionReset.into()),
        failed = send_votes(key, random, heads, lanes) => failed,
    }
}

/// Sends votes of the height that is being decided, until the connection ends.
async fn send_votes(key: VoteKey, mut random: ChaCha8Rng, mut heads: Lane, mut lanes: Vec<Lane>) -> io::Result<()> {
    let mut clock = time::interval(BETWEEN);
    loop {
        let next = Height(height(&mut heads).await?.0 + 1);
        for number in 0..OF_ONE_HEIGHT {
            clock.tick().await;
            let message = votes_that_name(key, next, &mut random);
            let lane = &mut lanes[number % LANES];
            if lane.ask(&message).await?.head.first() != Some(&1) {
                time::sleep(AGAIN / 10).await;
            }
        }
    }
}

/// Votes of this validator that it never cast, each different.
fn votes_that_name(voter: VoteKey, height: Height, random: &mut ChaCha8Rng) -> Frame {
    let mut vote = || {
        let (mut block, mut signature) = ([0; 32], [0; 64]);
        random.fill_bytes(&mut block);
        random.fill_bytes(&mut signature);
        // The upper half of a signature is a number below the order of the group, whose top bits are none.
        signature[63] = 0;
        let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(BlockId::new(block)) };
        SignedVote { voter, vote, signature: Signature(signature) }
    };
    let mut votes = Vec::with_capacity(VOTES);
    let mut length = 0;
    while votes.len() < VOTES {
        let vote = vote();
        length += ostrakon_proto::codec::encode(&vote).len();
        if length + 64 > ostrakon_proto::limits::HEAD {
            break;
        }
        votes.push(vote);
    }
    let proof = RoundProof { height, round: 0, reason: RoundReason::Precommits, votes };
    Frame::new(&ConsensusRequest::Round(proof), Bytes::new())
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

/// Sends both requests again and again, some at a time without reading between.
async fn claim_on(mut lane: Lane, requests: [Frame; 2]) -> io::Result<()> {
    loop {
        for request in &requests {
            lane.write(&encoded(request)).await?;
        }
        TALLY.requested(2);
        for _ in &requests {
            lane.answer().await?;
        }
        // Refused or not, it costs the validator a message.
        tokio::task::yield_now().await;
    }
}
