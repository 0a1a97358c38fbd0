//! Repair: rebuilds what others lost where this node was drawn to, moves its own columns off when it drains, and brings
//! back what counts as lost and is here (ARCHITECTURE 5.9).
//!
//! In come blocks, out go transactions of the provider's owner, whose key the offer has, or who is the node itself:
//! with neither nothing is done. [`plan`] chooses the jobs, pure; [`run`] does one: it reads, rebuilds, sends and
//! reports. [`wrong`] reports what is not as it was named. [`returning`] brings back. [`scrub`] finds damage, and
//! [`losses`] reports what is lost here. What is left undone, by a failure or a restart, is begun again. Not here: who
//! is drawn and what is paid, which are the ledger's rules, and what others may store and read here (`serve`).

use std::{panic, sync::Arc, time::Duration};

use futures::future::join4;
use ostrakon_net::Workers;
use ostrakon_proto::{
    id::{AccountId, NodeId, ObjectId},
    ledger::{
        Rules,
        repair::{Assignment, Hands, assignment},
        state::{Commitment, CommitmentId, Key, ProviderStatus, Records, SlotState},
        tx::Action,
    },
    sign::Keypair,
};
use ostrakon_transfer::{Lines, RateLimit};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::{Chain, submit::SubmitError},
    inventory::Missing,
    metrics::RepairMetrics,
    register::ProviderOffer,
    store::{Columns, PlaceKey},
};

mod losses;
mod own;
mod plan;
mod returning;
mod run;
mod scrub;
mod send;
mod wrong;

use plan::{End, Plan, Ticket};

/// Jobs at a time, of each kind.
const JOBS: usize = 2;
/// The least time between two looks for jobs.
const LOOK: Duration = Duration::from_secs(1);
/// Draws made in one look.
const DRAWS: usize = 64;
/// Tickets read at a time.
const PAGE: usize = 64;
/// Memory for rows of all jobs together, in KiB.
const ROWS_KIB: u32 = 64 * 1024;

/// What repair is made of.
#[derive(Debug)]
pub struct RepairParts {
    /// The ledger.
    pub chain: Chain,
    /// The node's key, which signs its own receipts.
    pub keypair: Keypair,
    /// The stored columns.
    pub columns: Arc<dyn Columns>,
    /// Threads for disk, coding and hashing.
    pub workers: Workers,
    /// What the operator has the node offer, with the owner's key.
    pub offers: watch::Receiver<Option<ProviderOffer>>,
    /// What the ledger counts on and is not here.
    pub missing: watch::Receiver<Option<Missing>>,
    /// How much it may do.
    pub pace: RepairPace,
    /// What it counts.
    pub metrics: RepairMetrics,
}

/// How much work repair may make.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepairPace {
    /// Bytes a second that repairs read and send together, each; 0 for as many as the line carries.
    pub bytes_per_second: u64,
    /// How long it may take until every stored column was read once; `None` for never.
    pub scrub_period: Option<Duration>,
}

/// The task of repair.
#[derive(Clone, Debug)]
pub struct Repair {
    chain: Chain,
    keypair: Keypair,
    columns: Arc<dyn Columns>,
    workers: Workers,
    offers: watch::Receiver<Option<ProviderOffer>>,
    missing: watch::Receiver<Option<Missing>>,
    scrub_period: Option<Duration>,
    /// For what is read, and for what is sent.
    limits: [Option<RateLimit>; 2],
    lines: Arc<Lines>,
    /// What is left of the memory for rows, in KiB.
    memory: Arc<Semaphore>,
    metrics: RepairMetrics,
}

/// A repair that is this node's to do.
#[derive(Debug)]
struct Job {
    commitment: Commitment,
    assignment: Assignment,
    leaving: bool,
    owner: Keypair,
}

impl Job {
    fn ticket(&self) -> Ticket {
        let spare = if self.leaving { 0 } else { spare(&self.commitment) };
        (self.commitment.id, spare)
    }
}

/// Columns more than are needed, as the index of tickets has it.
fn spare(commitment: &Commitment) -> u8 {
    u8::try_from(commitment.live()).unwrap_or(u8::MAX).saturating_sub(commitment.code.k)
}

/// How a job ended, and whether it was to move columns away.
type Ended = (bool, Ticket, End);

impl Repair {
    /// The repair of the node with `parts.keypair`.
    pub fn new(parts: RepairParts) -> Self {
        let RepairParts { chain, keypair, columns, workers, offers, missing, pace, metrics } = parts;
        let RepairPace { bytes_per_second, scrub_period } = pace;
        let limit = || (bytes_per_second > 0).then(|| RateLimit::new(bytes_per_second));
        let memory = Arc::new(Semaphore::new(usize::try_from(ROWS_KIB).expect("64 Ki")));
        let (limits, lines) = ([limit(), limit()], Arc::default());
        Self { chain, keypair, columns, workers, offers, missing, scrub_period, limits, lines, memory, metrics }
    }

    /// Repairs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        // Cancelled or not: who is drawn next begins again.
        let work = join4(self.repair(), self.bring_back(), self.report_losses(), self.scrub());
        let _stopped = Box::pin(stop.run_until_cancelled(work)).await;
    }

    fn node(&self) -> NodeId {
        self.keypair.public()
    }

    /// Whether ledger and store are whole.
    fn is_ready(&self) -> bool {
        self.chain.is_synced() && !self.columns.is_opening()
    }

    /// The key of the owner of this node's provider, if the operator gave it.
    async fn owner(&self) -> Option<Keypair> {
        // A node of the genesis may be its own owner, and needs no offer.
        let owner = self.offers.borrow().as_ref().map_or_else(|| self.keypair.clone(), |offer| offer.owner.clone());
        let (node, account): (NodeId, AccountId) = (self.node(), owner.public());
        let owns = move |records: &dyn Records| records.provider(&node).is_some_and(|own| own.owner == account);
        self.chain.read(owns).await.then_some(owner)
    }

    async fn submit(&self, owner: &Keypair, action: Action) -> Result<(), SubmitError> {
        self.chain.act(owner, action).await
    }

    /// Submits an action, or those of its parts that the ledger takes; how many. `what` they do is for the log.
    async fn submit_parts(&self, owner: &Keypair, action: Action, what: &str) -> usize {
        let (mut parts, mut count) = (vec![action], 0);
        while let Some(action) = parts.pop() {
            match self.submit(owner, action.clone()).await {
                Ok(()) => count += action.parts().len(),
                // All or none: one that came too late must not keep the others.
                Err(_) if action.parts().len() > 1 => parts.extend(action.parts().iter().cloned()),
                Err(error) => tracing::warn!(%error, "cannot {what}: it is tried again in the next epoch"),
            }
        }
        count
    }

    /// Does what this node is drawn for, and moves its columns away while it drains. Never returns.
    async fn repair(&self) {
        let (mut heads, mut jobs) = (self.chain.subscribe(), JoinSet::<Ended>::new());
        let (mut finder, mut looked) = (Finder::default(), None::<Instant>);
        loop {
            tokio::select! { biased;
                Some(done) = jobs.join_next() => match done {
                    Ok(ended) => finder.note(ended),
                    Err(failed) => panic::resume_unwind(failed.into_panic()),
                },
                _ = heads.next() => {}
            }
            if !self.is_ready() || looked.is_some_and(|looked| looked.elapsed() < LOOK) {
                continue;
            }
            looked = Some(Instant::now());
            let Some(owner) = self.owner().await else { continue };
            let (rules, on) = (self.chain.rules(), self.clone());
            let find = move |records: &dyn Records| {
                let found = finder.find(records, &rules, (&*on.columns, on.node()), &owner);
                (finder, found)
            };
            let found;
            (finder, found) = self.chain.read(find).await;
            for job in found {
                let on = self.clone();
                jobs.spawn(async move {
                    let end = on.do_job(&job).await;
                    (job.leaving, job.ticket(), end)
                });
            }
        }
    }
}

/// How many halves of the assignment's turn are over.
fn halves_gone(records: &dyn Records, rules: &Rules, assignment: &Assignment) -> u64 {
    let begun = records.epoch(assignment.draw.epoch).map_or(0, |record| record.start_ms);
    let turn_ms = rules.params.time.epoch_ms.saturating_mul(rules.params.repair.turn_epochs);
    let gone_ms = records.tip().running.time_ms.saturating_sub(begun);
    gone_ms.saturating_mul(2).checked_div(turn_ms).unwrap_or(0)
}

/// What finds jobs.
#[derive(Debug)]
struct Finder {
    rebuilds: Plan,
    moves: Plan,
    /// The place up to which this node's own columns were looked at.
    after: Option<PlaceKey>,
}

impl Default for Finder {
    fn default() -> Self {
        Self { rebuilds: Plan::new(JOBS), moves: Plan::new(JOBS), after: None }
    }
}

impl Finder {
    fn note(&mut self, (leaving, ticket, end): Ended) {
        let plan = if leaving { &mut self.moves } else { &mut self.rebuilds };
        plan.end(ticket, end, Instant::now());
    }

    /// The jobs that begin now.
    fn find(
        &mut self,
        records: &dyn Records,
        rules: &Rules,
        (columns, node): (&dyn Columns, NodeId),
        owner: &Keypair,
    ) -> Vec<Job> {
        let newest = records.tip().running.clock.drawable();
        self.rebuilds.draw_by(newest);
        self.moves.draw_by(newest);
        let mut jobs = self.find_rebuilds(records, rules, node, owner);
        if records.provider(&node).is_some_and(|own| own.status == ProviderStatus::Draining) {
            jobs.extend(self.find_moves(records, rules, (columns, node), owner));
        }
        jobs
    }

    /// Tickets that this node was drawn for, the most endangered first.
    fn find_rebuilds(&mut self, records: &dyn Records, rules: &Rules, node: NodeId, owner: &Keypair) -> Vec<Job> {
        let (mut jobs, mut draws, now) = (Vec::new(), 0, Instant::now());
        self.rebuilds.keep(|id| records.commitment(id).is_some_and(|commitment| commitment.ticket.is_some()));
        let last = Key::Ticket(u8::MAX, CommitmentId::last_of(ObjectId::GREATEST));
        let mut from = Key::Ticket(0, CommitmentId::first_of(ObjectId::LEAST));
        loop {
            let page = records.scan(&from, &last, PAGE);
            let count = page.len();
            for (key, _) in page {
                from = key;
                let Key::Ticket(spare, id) = key else { continue };
                if self.rebuilds.room() == 0 || draws == DRAWS {
                    return jobs;
                }
                if !self.rebuilds.is_open(&(id, spare), now) {
                    continue;
                }
                draws += 1;
                let commitment = records.commitment(&id).expect("the index of tickets names commitments that exist");
                let drawn = assignment(records, &rules.params, &commitment, Hands::Rebuilder).ok();
                let drawn = drawn.and_then(|drawn| Some((self.rebuilds.waits(&id, &drawn, node)?, drawn)));
                match drawn {
                    Some((waits, assignment)) if waits <= halves_gone(records, rules, &assignment) => {
                        self.rebuilds.begin(&(id, spare));
                        jobs.push(Job { commitment, assignment, leaving: false, owner: owner.clone() });
                    }
                    // Its time in this turn is to come.
                    Some(_) => {}
                    None => self.rebuilds.pass((id, spare)),
                }
            }
            if count < PAGE {
                return jobs;
            }
        }
    }

    /// Own columns to move away: some more of the store in each look, and then from its begin again.
    fn find_moves(
        &mut self,
        records: &dyn Records,
        rules: &Rules,
        (columns, node): (&dyn Columns, NodeId),
        owner: &Keypair,
    ) -> Vec<Job> {
        let (mut jobs, now) = (Vec::new(), Instant::now());
        self.moves.keep(|id| records.commitment(id).is_some());
        let page = own::page((columns, node), records, self.after, |slot| slot.state == SlotState::Live);
        let page = page.inspect_err(|error| tracing::error!(%error, "cannot look for columns to move away"));
        let Some((slots, last)) = page.ok().flatten() else {
            self.after = None;
            return jobs;
        };
        for own::OwnSlot { commitment, .. } in slots.into_iter().filter(|own| own.is_whole) {
            let ticket = (commitment.id, 0);
            if self.moves.room() == 0 {
                return jobs;
            }
            if !self.moves.is_open(&ticket, now) {
                continue;
            }
            match assignment(records, &rules.params, &commitment, Hands::Leaving(node)) {
                Ok(assignment) if self.moves.waits(&commitment.id, &assignment, node).is_some() => {
                    self.moves.begin(&ticket);
                    jobs.push(Job { commitment, assignment, leaving: true, owner: owner.clone() });
                }
                _ => self.moves.pass(ticket),
            }
        }
        self.after = Some(last);
        jobs
    }
}

#[cfg(test)]
mod tests;
