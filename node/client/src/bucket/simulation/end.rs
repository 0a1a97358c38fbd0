//! The end of a seed: all is well again, and a new process that has the keys alone looks at what there is.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use ostrakon_proto::{
    id::{AccountId, Amount, NodeId, ObjectId},
    ledger::state::{Record, Records},
};
use tokio::time::{sleep, timeout};

use super::{
    model::{Object, Op, Said},
    perform::{Answer, look, perform, read},
    process::Process,
    stage::{BUCKET, Plan, Stage},
    trouble,
    writer::KEYS,
};
use crate::{
    bucket::{Bucket, BucketError, Checked, Condition, ETag, ListQuery, UploadsQuery},
    fake::Fault,
};

/// Within this a transaction that is still in flight is in a block, or will be in none.
const SETTLED: Duration = Duration::from_secs(130);
/// How often it is verified again what others change meanwhile.
const VERIFIED: usize = 5;
/// How long a change may take when all is well.
const SOON: Duration = Duration::from_secs(30);

/// What ends one seed.
struct End<'a> {
    stage: &'a Stage,
    process: Rc<Process>,
    bucket: Bucket,
}

/// Looks at everything. Fails with the first that is wrong.
pub(super) async fn look_at_all(stage: &Stage) -> Result<(), String> {
    trouble::end(stage);
    sleep(SETTLED).await;
    stage.world.make_blocks();
    stage.set_clock();
    stage.history.borrow_mut().settle();
    let process = stage.process(u64::MAX);
    let bucket = process.buckets.open(BUCKET).await.map_err(|error| format!("at the end: {error}"))?;
    let end = End { stage, process, bucket };
    end.ask().await?;
    end.change().await?;
    end.verify().await?;
    end.lose_nodes().await?;
    end.abort_uploads().await?;
    stage.history.borrow().explain()?;
    end.delete_all().await
}

impl End<'_> {
    async fn ask_one(&self, op: Op) -> Result<Said, String> {
        let at = self.stage.history.borrow_mut().start(op.clone());
        match perform(self.stage, &self.bucket, &op).await {
            Answer::Said(said) => {
                self.stage.history.borrow_mut().answered(at, said.clone());
                Ok(said)
            }
            none => Err(format!("at the end, when all is well: {op:?} -> {none:?}")),
        }
    }

    /// Asks for all there is, so that the history ends with it.
    async fn ask(&self) -> Result<(), String> {
        let all = ListQuery { limit: 1_000, ..ListQuery::default() };
        let Said::Listed { objects, .. } = self.ask_one(Op::List(all)).await? else { return Ok(()) };
        let found: Vec<&str> = objects.iter().map(|(key, _)| key.as_str()).collect();
        for key in KEYS {
            let (answer, info) = look(self.stage, &self.bucket, key).await;
            let expect = objects.iter().find(|(found, _)| found == key).map(|(_, object)| object.clone());
            if !matches!(&answer, Answer::Said(Said::Is(is)) if *is == expect) {
                return Err(format!("{key} is listed as {expect:?}, and read as {answer:?}"));
            }
            if let Some(info) = info
                && !read(self.stage, &self.bucket, &info, 0..info.size()).await
            {
                return Err(format!("{key} cannot be read at the end; listed: {found:?}"));
            }
        }
        Ok(())
    }

    /// A change is made soon, when all is well.
    async fn change(&self) -> Result<(), String> {
        let object = Object { etag: ETag::Whole(crate::bucket::Computed::of(b"end", &[]).md5).to_string(), tag: None };
        self.stage.bodies.borrow_mut().insert(object.etag.clone(), bytes::Bytes::from_static(b"end"));
        let put = Op::Put { key: "end".to_owned(), object, condition: Condition::None };
        match timeout(SOON, perform(self.stage, &self.bucket, &put)).await {
            Ok(Answer::Said(Said::Done)) => Ok(()),
            other => Err(format!("nothing can be put when all is well: {other:?}")),
        }
    }

    /// Nothing is stored, paid or counted that nothing refers to.
    async fn verify(&self) -> Result<(), String> {
        let failed = |error: BucketError| format!("upkeep at the end: {error}");
        self.bucket.compact().await.map_err(failed)?;
        let version = async || Ok::<_, String>(self.bucket.engine().index.view().await.map_err(failed)?.version);
        for _ in 0..VERIFIED {
            let before = version().await?;
            let checked = self.bucket.check().await.map_err(failed)?;
            if !checked.problems.is_empty() {
                return Err(format!("verify: {:?}", checked.problems));
            }
            let found = self.verify_ledger(&checked).await;
            // Runs are merged in the background, for a while after the last change.
            if found.is_ok() || before == version().await? {
                return found;
            }
        }
        Err("runs are merged without end".to_owned())
    }

    /// The ledger itself has the same, by what it has of the bucket's account.
    async fn verify_ledger(&self, checked: &Checked) -> Result<(), String> {
        let used = self.bucket.used().await.map_err(|error| error.to_string())?;
        let used: BTreeSet<ObjectId> = used.into_iter().map(|(blob, _)| blob.object).collect();
        let (paid, escrow) = self.paid();
        if paid != used {
            let (lost, kept) = (used.difference(&paid).count(), paid.difference(&used).count());
            return Err(format!("{lost} objects in use are not on the ledger, {kept} on it are not in use"));
        }
        if escrow != checked.escrow {
            return Err(format!("verify finds an escrow of {}, and the ledger has {escrow}", checked.escrow));
        }
        Ok(())
    }

    /// Objects that the bucket's account pays for beyond the epoch in progress, and what is locked for them.
    fn paid(&self) -> (BTreeSet<ObjectId>, Amount) {
        let account: AccountId = self.process.buckets.secret(BUCKET).keypair().public();
        self.stage.world.inspect(|ledger| {
            let released = ledger.tip().running.clock.epoch.after(1);
            let own = ledger.records().filter_map(|(_, record)| match record {
                Record::Commitment(one) if one.id.owner == account && one.end > released => Some(one),
                _ => None,
            });
            let own: Vec<_> = own.collect();
            let escrow = own.iter().map(|one| one.escrow.0).sum();
            (own.into_iter().map(|one| one.id.object).collect(), Amount(escrow))
        })
    }

    /// As many nodes are lost as a code bears: every object is read all the same.
    async fn lose_nodes(&self) -> Result<(), String> {
        // Of what was put while messages or nodes were lost one column may be missing; what the liar had is gone.
        let Plan { losses, liar, halts, .. } = self.stage.plan;
        let count = 2_usize.saturating_sub([losses, liar, halts].into_iter().map(usize::from).sum());
        let lost: Vec<NodeId> = self.stage.world.nodes[5 - count..].to_vec();
        lost.iter().for_each(|node| self.stage.world.fault(*node, Fault::Silent));
        for key in KEYS.into_iter().chain(["end"]) {
            match self.bucket.head(key).await {
                _ if self.bucket.is_stale() => return Err("the validators that are left are enough".to_owned()),
                Ok(info) if read(self.stage, &self.bucket, &info, 0..info.size()).await => {}
                Ok(_) => return Err(format!("{key} cannot be read without {} nodes", lost.len())),
                Err(BucketError::NoSuchKey { .. }) => {}
                Err(error) => return Err(format!("{key} without {} nodes: {error}", lost.len())),
            }
        }
        self.stage.world.heal();
        Ok(())
    }

    /// Uploads that are open were begun by someone, and no others are.
    async fn abort_uploads(&self) -> Result<(), String> {
        let listed = self.bucket.uploads(UploadsQuery { limit: 1_000, ..UploadsQuery::default() }).await;
        for (key, upload, _) in listed.map_err(|error| format!("uploads at the end: {error}"))?.uploads {
            if !self.stage.history.borrow_mut().names(&key, upload) {
                return Err(format!("nobody began the upload {upload:?} to {key}"));
            }
            self.ask_one(Op::Abort { key, upload }).await?;
        }
        self.ask_one(Op::Uploads).await.map(|_| ())
    }

    /// With everything deleted nothing is paid any more, and the bucket's money returns.
    async fn delete_all(&self) -> Result<(), String> {
        let failed = |error: BucketError| format!("deleting everything: {error}");
        for key in KEYS.into_iter().chain(["end"]) {
            self.bucket.delete(key, Condition::None).await.map_err(failed)?;
        }
        self.verify().await?;
        self.process.buckets.delete(BUCKET).await.map_err(failed)?;
        let (paid, _) = self.paid();
        if !paid.is_empty() {
            return Err(format!("{} objects of a deleted bucket are paid for", paid.len()));
        }
        let account: AccountId = self.process.buckets.secret(BUCKET).keypair().public();
        let left = self.process.client.chain.account(account).await.map_err(|error| error.to_string())?.balance;
        if left > Amount::ZERO {
            return Err(format!("{left} of a deleted bucket's money did not return"));
        }
        Ok(())
    }
}
