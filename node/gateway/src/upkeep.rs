//! Keeps the buckets while the gateway serves: leases are extended, what is used no more is released, uploads that
//! nobody completes are given up. What fails is tried again the next time; any gateway of the account does the same.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ostrakon::{
    TooPoor,
    bucket::{BucketError, Buckets, Compacted, UpkeepReport},
};
use tokio::time::sleep;

use crate::metrics::Metrics;

/// How often buckets are looked at, and when first.
const EVERY: Duration = Duration::from_secs(30);
const FIRST: Duration = Duration::from_secs(5);

/// Buckets of which an answer says what is wrong.
const NAMED: usize = 10;

/// What the operator has to do, if anything.
#[derive(Clone, Default)]
pub(crate) struct Warning(Arc<Mutex<Option<Problems>>>);

impl Warning {
    /// The newest one; `None` when all is well.
    pub(crate) fn newest(&self) -> Option<Problems> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, problems: Option<Problems>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problems;
    }
}

/// What is wrong with buckets.
#[derive(Clone, Debug)]
pub(crate) struct Problems {
    /// A sentence for each bucket that has one.
    sentences: Vec<String>,
    /// What their owner cannot pay, for all of them together.
    unpaid: Option<TooPoor>,
}

impl Problems {
    fn of(done: &[UpkeepReport]) -> Option<Self> {
        let sentences: Vec<String> = done.iter().filter_map(problem).collect();
        let unpaid = done.iter().filter_map(|report| match report.leases {
            Err(BucketError::OwnerTooPoor(poor)) => Some(poor),
            _ => None,
        });
        let unpaid = unpaid.reduce(TooPoor::with);
        (!sentences.is_empty()).then_some(Self { sentences, unpaid })
    }

    /// What anyone may know, who asks whether the gateway is ready: how many there are, and what to do. Which buckets
    /// there are is their owner's business.
    pub(crate) fn summary(&self) -> String {
        let remedy = match &self.unpaid {
            Some(poor) => {
                let (account, lacking) = (poor.account, poor.lacking());
                format!(
                    "their owner, account {account}, has {} obols and lacks at least {lacking}: send it \
                     `ostrakon wallet send {account} {lacking}`",
                    poor.balance
                )
            }
            None => "see the gateway's log".to_owned(),
        };
        format!("buckets with problems: {}; {remedy}", self.sentences.len())
    }

    /// The same, with a line for each bucket.
    pub(crate) fn in_full(&self) -> String {
        let more = self.sentences.len().saturating_sub(NAMED);
        let more = (more > 0).then(|| format!("and {more} buckets more: see the gateway's log"));
        let lines = self.sentences.iter().take(NAMED).cloned().chain(more);
        [self.summary()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
    }
}

/// Never returns. What is found out first is soon after the start.
pub(crate) async fn keep(buckets: Buckets, warning: Warning, metrics: Metrics) {
    let mut pause = FIRST;
    loop {
        sleep(std::mem::replace(&mut pause, EVERY)).await;
        match buckets.upkeep().await {
            Ok(done) => {
                let problems = Problems::of(&done);
                problems.iter().flat_map(|all| &all.sentences).for_each(|problem| tracing::warn!("{problem}"));
                warning.set(problems);
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

#[cfg(test)]
mod tests {
    use ostrakon::{AccountId, Amount, bucket::Leases};

    use super::*;

    fn report(bucket: &str, leases: Result<Option<Leases>, BucketError>) -> UpkeepReport {
        UpkeepReport { bucket: bucket.to_owned(), compacted: Ok(Compacted::default()), leases, lease_end: None }
    }

    fn poor(amount: u64) -> BucketError {
        let account = AccountId::new([7; 32]);
        BucketError::OwnerTooPoor(TooPoor {
            account,
            balance: Amount(2_000),
            amount: Amount(amount),
            fee: Amount(1_000),
        })
    }

    #[test]
    fn all_buckets_are_named_with_what_pays_for_them_together() {
        let done = [
            report("well", Ok(None)),
            report("photos", Err(poor(3_500_000))),
            report("music", Err(poor(2_499_000))),
            report("", Err(BucketError::Unavailable("no node responds".to_owned()))),
        ];
        let problems = Problems::of(&done).expect("three have problems");
        let (summary, in_full) = (problems.summary(), problems.in_full());
        let account = AccountId::new([7; 32]);
        // Six obols for both, less what there is; an obol more is sent than is lacking.
        let command = format!("`ostrakon wallet send {account} 6`");
        assert!(summary.starts_with("buckets with problems: 3;") && summary.contains(&command), "{summary}");
        assert!(summary.contains("has 0.002 obols") && !summary.contains("photos"), "{summary}");
        let lines: Vec<&str> = in_full.lines().collect();
        let [first, photos, music, catalogue] = lines[..] else { panic!("{in_full}") };
        assert_eq!(first, summary);
        assert!(photos.contains("of photos:") && photos.contains(&format!("send {account} 4`")), "{photos}");
        assert!(music.contains("of music:") && music.contains(&format!("send {account} 3`")), "{music}");
        assert!(catalogue.contains("the catalogue of buckets: no node responds"), "{catalogue}");
        assert!(Problems::of(&done[..1]).is_none());
    }

    #[test]
    fn an_answer_names_ten_buckets_and_how_many_more_there_are() {
        let lost = || Ok(Some(Leases { lost: vec![ostrakon::ObjectId::new([1; 32])], ..Leases::default() }));
        let done: Vec<UpkeepReport> = (0..12).map(|number| report(&format!("bucket-{number}"), lost())).collect();
        let in_full = Problems::of(&done).expect("all have problems").in_full();
        let lines: Vec<&str> = in_full.lines().collect();
        assert_eq!(lines.len(), 1 + NAMED + 1, "{in_full}");
        assert!(lines[0].ends_with("see the gateway's log") && lines[10].starts_with("bucket-9 uses 1 objects"));
        assert_eq!(lines[11], "and 2 buckets more: see the gateway's log");
    }
}
