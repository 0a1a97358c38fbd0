//! A batch on its way: submitted, and not final yet. The next one is built on it meanwhile.
//!
//! A batch names the version of the cell that the one before it makes. Versions are nonces, and another machine may use
//! the account's next nonce for something else: so it also renews the lease of the object that the one before commits,
//! which fails where that is not on the ledger. A batch is therefore applied right after the one that it was built on,
//! or never; and where one fails, all that follow fail, and their changes are judged again.

use std::sync::Arc;

use ostrakon_proto::{bucket::Blob, ledger::tx::SetRenewal};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    BucketError,
    change::Done,
    depot::{CommitError, InBlock, Launched},
    engine::{Job, Writer, refuse, reply},
    index::View,
};

/// What each change of a batch is answered, once the batch is final.
pub(super) type Outcomes = Vec<Result<Done, BucketError>>;

/// A batch that was submitted.
pub(super) struct Flight {
    launched: Launched,
    blob: Blob,
    /// The state that it makes.
    view: Arc<View>,
    /// The batch that it was built on, where that was on its way.
    before: Option<Landing>,
    tell: watch::Sender<Stage>,
}

/// How far a batch has come.
#[derive(Clone, Debug)]
enum Stage {
    /// It is submitted.
    Open,
    /// It is in a block.
    Included,
    /// It is where it cannot be lost.
    Final,
    /// It is in a block, and maybe not where it cannot be lost.
    Unsettled(BucketError),
    /// It never was applied, and never will be.
    Lost,
    /// It may be applied or not.
    Unknown(BucketError),
}

/// Tells the outcome of a batch.
#[derive(Clone)]
pub(super) struct Landing {
    stage: watch::Receiver<Stage>,
    /// What fails unless it is committed.
    order: SetRenewal,
}

impl Flight {
    pub(super) fn new(launched: Launched, (blob, view): (Blob, Arc<View>), before: Option<Landing>) -> (Self, Landing) {
        let (tell, stage) = watch::channel(Stage::Open);
        let landing = Landing { stage, order: launched.order() };
        (Self { launched, blob, view, before, tell }, landing)
    }
}

impl Landing {
    /// Whether another may be built on it: later its state is known.
    pub(super) fn is_on_its_way(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Open | Stage::Included)
    }

    /// What the next batch does so that it fails where this one is not committed.
    pub(super) fn order(&self) -> SetRenewal {
        self.order
    }

    /// Waits for such a stage.
    async fn reach(mut self, is_reached: impl Fn(&Stage) -> bool) -> Stage {
        let reached = self.stage.wait_for(|stage| is_reached(stage)).await.map(|stage| stage.clone());
        // Who was to say it is gone.
        reached.unwrap_or_else(|_| Stage::Unknown(BucketError::Unavailable("the bucket's writer has ended".to_owned())))
    }

    /// Whether it is in a block, or why the outcome is none.
    async fn included(self) -> Stage {
        match self.reach(|stage| !matches!(stage, Stage::Open)).await {
            Stage::Final | Stage::Unsettled(_) => Stage::Included,
            other => other,
        }
    }

    /// Returns whether it is in a block, once that is known: what is committed with it is on the ledger then.
    pub(super) async fn on_ledger(self) -> bool {
        matches!(self.included().await, Stage::Included)
    }

    /// Whether it is final, or why not.
    async fn landed(self) -> Stage {
        self.reach(|stage| !matches!(stage, Stage::Open | Stage::Included)).await
    }

    /// Returns once it is sure that it is in no block, or cannot be found out.
    async fn failed(self) -> Stage {
        match self.included().await {
            Stage::Included => std::future::pending().await,
            failed => failed,
        }
    }
}

impl Writer {
    /// Waits for a batch, and tells who waits for its changes.
    pub(super) async fn land(
        self: Arc<Self>,
        flight: Flight,
        (jobs, outcomes): (Vec<Job>, Outcomes),
        place: Option<OwnedSemaphorePermit>,
    ) {
        let included = self.included(&flight).await;
        let depot = &self.index.depot;
        let stage = match included {
            Ok(InBlock { height, is_own }) => {
                flight.tell.send_replace(Stage::Included);
                match depot.settle(flight.launched.stored(), height).await {
                    Ok(()) => {
                        if is_own {
                            depot.note_spread(flight.view.version);
                            self.index.learn(Arc::clone(&flight.view));
                        } else if let Err(error) = self.index.view_to_judge().await {
                            tracing::debug!(
                                %error,
                                "cannot read the bucket's newest state: the next batch may conflict, and be retried"
                            );
                        }
                        self.contest.note_moved();
                        self.merge();
                        reply(jobs, outcomes);
                        Stage::Final
                    }
                    Err(error) => {
                        refuse(jobs, &error);
                        Stage::Unsettled(error)
                    }
                }
            }
            Err(Stage::Lost) => {
                // Nonces after it may never be used.
                depot.forget_nonces().await;
                self.again(jobs).await;
                Stage::Lost
            }
            Err(Stage::Unknown(error)) => {
                depot.forget_nonces().await;
                self.contest.note_other();
                refuse(jobs, &error);
                Stage::Unknown(error)
            }
            Err(stage) => stage,
        };
        self.index.let_go(&flight.blob.object);
        flight.tell.send_replace(stage);
        drop(place);
    }

    /// Waits until it is in a block; or else says how it ended.
    async fn included(&self, flight: &Flight) -> Result<InBlock, Stage> {
        let (depot, launched) = (&self.index.depot, &flight.launched);
        let failed = async {
            match flight.before.clone() {
                Some(before) => before.failed().await,
                None => std::future::pending().await,
            }
        };
        let error = tokio::select! { biased;
            included = depot.finish(launched) => match included {
                Ok(included) => return Ok(included),
                Err(error) => error,
            },
            stage = failed => return Err(stage),
        };
        // The cell tells the outcome only where that of the one before is known.
        if let Some(before) = flight.before.clone()
            && let stage @ (Stage::Lost | Stage::Unknown(_)) = before.included().await
        {
            return Err(stage);
        }
        match depot.outcome(error, launched).await {
            Ok(height) => Ok(InBlock { height, is_own: false }),
            Err(CommitError::Moved(height)) => match self.was_committed(&flight.blob, launched.version()).await {
                Ok(true) => Ok(InBlock { height, is_own: false }),
                Ok(false) => Err(Stage::Lost),
                Err(error) => Err(Stage::Unknown(error)),
            },
            Err(CommitError::Failed(error)) => Err(Stage::Unknown(error)),
        }
    }

    /// Whether a batch was committed since the cell had this version. The records do not tell: those that followed may
    /// have released it.
    async fn was_committed(&self, blob: &Blob, version: u64) -> Result<bool, BucketError> {
        let view = self.index.view_to_judge().await?;
        let is_newest = view.batch.is_some_and(|(newest, _)| newest == *blob);
        Ok(is_newest || self.index.depot.has_committed(blob.object, version).await?)
    }

    /// Tells who waits for changes that change nothing, once the batch is final by which they were judged.
    pub(super) async fn tell(
        &self,
        before: Option<Landing>,
        (jobs, outcomes): (Vec<Job>, Outcomes),
        place: Option<OwnedSemaphorePermit>,
    ) {
        let stage = match before {
            Some(before) => before.landed().await,
            None => Stage::Final,
        };
        match stage {
            Stage::Lost => self.again(jobs).await,
            Stage::Unsettled(error) | Stage::Unknown(error) => refuse(jobs, &error),
            Stage::Final | Stage::Open | Stage::Included => reply(jobs, outcomes),
        }
        drop(place);
    }
}
