//! Storing apart from committing: holders have all columns and signed for them, and the ledger knows nothing yet. So
//! several objects, and what refers to them, can be committed together or not at all.

use std::{future::Future, pin::Pin};

use ostrakon_proto::{
    id::{Amount, Epoch, Height, ObjectId},
    ledger::{
        state::Renewal,
        tx::{Action, SetRenewal},
    },
    seal::ObjectKey,
};
use tokio::io::AsyncRead;

use super::{
    AddError,
    builder::AddOptions,
    commit,
    input::Input,
    job::Job,
    plan::{Plan, times},
    source::Source,
    store::{Listing, store_apart},
    upload::Stored,
};
use crate::{Client, Events};

/// An upload that the account can pay for.
#[derive(Debug)]
pub(crate) struct PlannedUpload {
    options: AddOptions,
    plan: Plan,
}

/// An object that its holders have signed for. Unless it is committed they forget it in time.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) object: ObjectId,
    /// Bytes of its plaintext.
    pub(crate) size: u64,
    plan: Plan,
    listing: Listing,
    extents: Vec<Stored>,
}

impl Client {
    /// Decides how to store an object of so many bytes, for so many epochs at a time. If its size is not known, the
    /// account must be able to pay for `estimate` bytes.
    ///
    /// # Errors
    /// As an add before it sends a byte: when the account cannot pay, or is no credit for so many bytes.
    pub(crate) async fn plan_upload(
        &self,
        size: Option<u64>,
        (estimate, epochs): (u64, u64),
    ) -> Result<PlannedUpload, AddError> {
        let options = AddOptions { size, epochs, auto_renew: true, ..AddOptions::default() };
        let plan = self.plan(&options, true, &Events::none()).await?;
        plan.quote(&self.chain, &plan.layout(size.unwrap_or(estimate), &options)?).await?;
        Ok(PlannedUpload { options, plan })
    }

    /// Stores an object under this key, which encrypts nothing else ever, without committing it.
    pub(crate) fn upload<'a>(
        &'a self,
        planned: PlannedUpload,
        body: Pin<Box<dyn AsyncRead + Send + 'a>>,
        key: ObjectKey,
    ) -> Pin<Box<dyn Future<Output = Result<Uploaded, AddError>> + Send + 'a>> {
        Box::pin(self.upload_planned(planned, body, key))
    }

    async fn upload_planned(
        &self,
        PlannedUpload { options, plan }: PlannedUpload,
        body: Pin<Box<dyn AsyncRead + Send + '_>>,
        key: ObjectKey,
    ) -> Result<Uploaded, AddError> {
        let (code, events) = (plan.code, Events::none());
        let opened = Input::Reader(Some(body)).open(&self.workers, &options, None).await?;
        let job = Job::new(self, plan.clone(), Some(key), &events)?;
        let storing = async {
            let mut source = Source::new(opened, code, true).await?;
            store_apart(&job, &mut source, &options).await
        };
        let (listing, extents) = tokio::select! { biased;
            stored = Box::pin(storing) => stored?,
            never = job.keep_alive() => match never {},
        };
        job.release();
        Ok(Uploaded { object: listing.object, size: listing.manifest.size, plan, listing, extents })
    }
}

impl Uploaded {
    /// How many commitments it takes.
    pub(crate) fn extents(&self) -> u32 {
        self.listing.manifest.layout().extents()
    }

    /// The actions that commit it in this epoch, and have the ledger renew it.
    pub(crate) fn commits(&self, now: Epoch) -> Result<Vec<Action>, AddError> {
        let Self { object, plan, listing, extents, .. } = self;
        let until = extents.iter().map(|stored| plan.receipt_end(stored.placing.draw)).min().unwrap_or_default();
        let end = now.after(plan.epochs).min(until);
        let mut actions = Vec::new();
        for stored in extents {
            actions.push(Action::Commit(commit::action(plan, listing, stored, end)?));
            let renewal = Some(Renewal { epochs: plan.epochs, most: stored.placing.cap() });
            actions.push(Action::SetRenewal(SetRenewal { object: *object, extent: stored.placing.extent, renewal }));
        }
        Ok(actions)
    }

    /// How the ledger renews its first extent.
    pub(crate) fn renewal(&self) -> SetRenewal {
        let most = self.extents.first().map(|stored| stored.placing.cap()).unwrap_or_default();
        let renewal = Some(Renewal { epochs: self.plan.epochs, most });
        SetRenewal { object: self.object, extent: 0, renewal }
    }

    /// What is locked for it, without fees.
    pub(crate) fn locked(&self) -> Option<Amount> {
        let each = |stored: &Stored| {
            let missing = stored.receipts.iter().filter(|receipt| receipt.is_none()).count();
            let locked = times(stored.placing.locked(stored.column_len), self.plan.epochs)?;
            locked.plus(self.plan.repair_fund(stored.column_len, missing))
        };
        self.extents.iter().try_fold(Amount::ZERO, |sum, stored| sum.plus(each(stored)?))
    }

    /// Waits until so many of its holders have the block that every k that are left know it.
    pub(crate) async fn spread(&self, client: &Client, height: Height) -> usize {
        let wanted = usize::from(self.plan.code.spare()) + 1;
        let extents: Vec<&Stored> = self.extents.iter().collect();
        commit::spread(client, &extents, (height, wanted)).await
    }
}
