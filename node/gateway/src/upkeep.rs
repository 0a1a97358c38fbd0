//! Keeps the buckets while the gateway serves: leases are extended, what is used no more is released, uploads that
//! nobody completes are given up. What fails is tried again the next time; any gateway of the account does the same.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ostrakon::bucket::{Buckets, Compacted, UpkeepReport};
use tokio::time::sleep;

use crate::metrics::Metrics;

/// How often buckets are looked at, and when first.
const EVERY: Duration = Duration::from_secs(30);
const FIRST: Duration = Duration::from_secs(5);

/// What the operator has to do, if anything.
#[derive(Clone, Default)]
pub(crate) struct Warning(Arc<Mutex<Option<String>>>);

impl Warning {
    /// The newest one; `None` when all is well.
    pub(crate) fn newest(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, text: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// Never returns. What is found out first is soon after the start.
pub(crate) async fn keep(buckets: Buckets, warning: Warning, metrics: Metrics) {
    let mut pause = FIRST;
    loop {
        sleep(std::mem::replace(&mut pause, EVERY)).await;
        match buckets.upkeep().await {
            Ok(done) => {
                let problems: Vec<String> = done.iter().filter_map(problem).collect();
                problems.iter().for_each(|problem| tracing::warn!("{problem}"));
                // Strangers may ask whether the gateway is ready: which buckets there are is for the log.
                let words = || format!("buckets with problems: {}; see the gateway's log", problems.len());
                warning.set((!problems.is_empty()).then(words));
                if let Some(end) = done.iter().filter_map(|report| report.lease_end).min() {
                    metrics.lease_end.set(i64::try_from(end.0).unwrap_or(i64::MAX));
                }
                done.iter().for_each(report);
            }
            Err(error) => tracing::warn!(
                %error,
                "cannot extend the leases of the buckets or free what they do not use; retrying: objects are lost when \
                 their leases end"
            ),
        }
    }
}

fn report(UpkeepReport { bucket, compacted, leases, .. }: &UpkeepReport) {
    if let Ok(Some(leases)) = leases
        && leases.extended > 0
    {
        tracing::info!(bucket, extended = leases.extended, "extended leases");
    }
    match compacted {
        Ok(done) if *done != Compacted::default() => tracing::info!(bucket, ?done, "compacted"),
        Ok(_) => {}
        Err(error) => tracing::debug!(bucket, %error, "cannot compact a bucket; retrying"),
    }
}

/// What is to be done about a bucket, for which its leases cannot be extended.
fn problem(UpkeepReport { bucket, leases, .. }: &UpkeepReport) -> Option<String> {
    let name = if bucket.is_empty() { "the catalogue of buckets" } else { bucket };
    match leases {
        Err(error) => Some(format!("cannot extend the leases of {name}: {error}")),
        Ok(Some(leases)) if !leases.lost.is_empty() => {
            let lost = leases.lost.len();
            let hint = if bucket.is_empty() { String::new() } else { format!(": see `ostrakon bucket verify {name}`") };
            Some(format!("{name} uses {lost} objects that the ledger does not have{hint}"))
        }
        Ok(_) => None,
    }
}
