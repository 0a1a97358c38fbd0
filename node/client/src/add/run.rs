//! The one path of every add: opens the source, finds what an earlier run of the same add did, does the rest, and
//! starts over once when the source changed.
//!
//! A journal stays until the [`Added`] that its add returned is dropped: a process that is killed at any moment and
//! repeats its add ends with one object, paid once. A source that changed since starts over under a new key, after what
//! was sent of the old one is given up; if the old one turns out to be stored and paid for, it is returned beside the
//! new one. A journal of which nothing was read yet is deleted with its add.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use ostrakon_proto::{
    ledger::tx::{Action, Release},
    seal::ObjectKey,
};
use tokio::time::{Instant, sleep};

use super::{
    Add, AddError, Added, Journals, Quote, Unfinished,
    builder::AddOptions,
    existing::{Earlier, found, is_whole, own_commitments},
    input::Origin,
    job::Job,
    journal::Journal,
    source::Source,
    store::store,
};
use crate::{Client, Error, Event, Events, ObjectEntry, chain::Overtaken, profile::now_ms};

/// How often the ledger is asked whether it has the commit of an earlier run, before its add is given up.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

impl Client {
    /// The adds of this client's profile that are unfinished, or running; for a journal that cannot be used, why.
    ///
    /// # Errors
    /// When the journals cannot be listed.
    pub fn unfinished(&self) -> Result<Vec<Result<Unfinished, Error>>, Error> {
        let list = self.journals.as_ref().map_or_else(|| Ok(Vec::new()), Journals::list)?;
        Ok(list.into_iter().map(|one| one.map_err(Error::from)).collect())
    }

    /// Gives an unfinished add up and deletes its journal: holders forget what they have of it, and what was paid for a
    /// part of it is paid no longer. `Some` when all of it turns out to be stored and paid for: then it stays.
    ///
    /// # Errors
    /// When the ledger cannot be asked, or the add is running; the journal is then left as it is.
    pub async fn abort(&self, unfinished: &Unfinished) -> Result<Option<Added>, Error> {
        let Some(journals) = &self.journals else { return Ok(None) };
        let given_up = Box::pin(give_up(self, journals.open(unfinished)?, &Events::none())).await?;
        self.settle().await;
        given_up.iter().for_each(|added| remember(self, added));
        Ok(given_up)
    }

    /// Waits until holders were told of adds that were given up or dropped: seconds at most. A program that ends right
    /// after dropping an add calls this first; otherwise holders keep what they have of it for an hour.
    pub async fn settle(&self) {
        self.background.close();
        self.background.wait().await;
        self.background.reopen();
    }
}

impl<'a> IntoFuture for Add<'a> {
    type Output = Result<Added, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            let start = Instant::now();
            let (mut earlier, mut may_start_over) = (None, self.input.is_path());
            let mut added = loop {
                match Box::pin(run_once(&mut self, &mut earlier)).await {
                    // The journal of the old content is gone: from the start, under a new key.
                    Err(AddError::SourceChanged(why)) if may_start_over => {
                        may_start_over = false;
                        self.events.tell(Event::Restarted { why });
                    }
                    result => break result?,
                }
            };
            added.earlier = earlier.unwrap_or_default();
            added.traffic.seconds = start.elapsed().as_secs_f64();
            added.earlier.iter().chain([&added]).for_each(|added| remember(&self.client, added));
            Ok(added)
        })
    }
}

/// Writes the link into the profile's list. The object is stored whether or not that succeeds, so it is not a failure
/// of the add.
fn remember(client: &Client, added: &Added) {
    let Some(objects) = &client.objects else { return };
    let (link, name) = (added.link.clone(), added.name.clone());
    let entry = ObjectEntry { link, name, size: added.size, time_ms: now_ms() };
    if let Err(error) = objects.remember(&entry) {
        tracing::warn!(%error, cid = %added.link.object, "cannot record the link in the profile: save it yourself");
    }
}

/// What an add would cost.
pub(super) async fn quote(mut add: Add<'_>) -> Result<Quote, AddError> {
    let opened = add.input.open(&add.client.workers, &add.options, None).await?;
    let plan = add.client.plan(&add.options, add.wait, &add.events).await?;
    let (size, options) = (opened.size.ok_or(AddError::UnknownSize)?, add.options);
    let layout = plan.layout(size, &AddOptions { content: opened.content, ..options })?;
    let quote = plan.quote(&add.client.chain, &layout).await?;
    Ok(Quote { size, ..quote })
}

async fn run_once(add: &mut Add<'_>, earlier: &mut Option<Vec<Added>>) -> Result<Added, AddError> {
    let Add { client, input, options, journals, name, limit, wait, events } = add;
    let opened = input.open(&client.workers, options, name.as_ref()).await?;
    let options = AddOptions { size: opened.size, content: opened.content, ..options.clone() };
    let kept = journals.as_ref().zip(opened.origin.as_ref());
    let journal = match kept {
        Some((journals, origin)) => {
            if earlier.is_none() {
                *earlier = Some(give_up_outdated(client, (journals, origin), &options).await?);
            }
            journals.find(origin, &options)?
        }
        None => None,
    };
    let options = journal.as_ref().map_or(options, Journal::options);
    let plan = client.plan(&options, *wait, events).await?;
    let (journal, key) = match journal {
        Some(journal) => {
            events.tell(Event::Resumed { rows: journal.past().rows });
            let key = journal.key();
            (Some(journal), key)
        }
        None => {
            if let Some(size) = options.size {
                plan.quote(&client.chain, &plan.layout(size, &options)?).await?;
            }
            let key = (!options.public).then(|| ObjectKey::from_bytes(client.random()));
            let create =
                |(journals, origin): (&Journals, &Origin)| journals.create(origin, &options, (plan.code, key.as_ref()));
            (kept.map(create).transpose()?, key)
        }
    };
    let (name, sealed) = (opened.origin.as_ref().map(|origin| origin.name.clone()), !options.public);
    let mut job = new_job(client, (plan, key), &options, journal, events)?;
    job.way.limit = limit.clone();
    let storing = async {
        let mut source = Source::new(opened, job.plan.code, sealed).await?;
        let added = store(&job, &mut source, &options).await?;
        Ok(Added { source: source.into_outcome(), ..added })
    };
    let result = tokio::select! { biased;
        result = Box::pin(storing) => result,
        never = job.keep_alive() => match never {},
    };
    let journal = match &result {
        Ok(_) | Err(AddError::SourceChanged(_)) => job.take_journal(),
        Err(_) => None,
    };
    match result {
        Ok(added) => {
            let journal = journal.map(|journal| Arc::new(journal.finished()));
            let size = options.size.unwrap_or(added.size);
            Ok(Added { name: name.unwrap_or_default(), size, _journal: journal, ..added })
        }
        Err(error) => {
            // Its key has sealed the old content.
            journal.map_or(Ok(()), Journal::remove)?;
            Err(error)
        }
    }
}

fn new_job<'a>(
    client: &'a Client,
    (plan, key): (super::plan::Plan, Option<ObjectKey>),
    options: &AddOptions,
    journal: Option<Journal>,
    events: &'a Events,
) -> Result<Job<'a>, AddError> {
    let layout = options.size.map(|size| plan.layout(size, options)).transpose()?;
    let job = Job::new(client, plan, key, events)?;
    Ok(match (journal, layout) {
        (Some(journal), Some(layout)) => job.with_journal(journal, &layout),
        _ => job,
    })
}

/// Gives up what earlier runs did of other versions of the source; what is stored and paid for is returned instead.
async fn give_up_outdated(
    client: &Client,
    (journals, origin): (&Journals, &Origin),
    options: &AddOptions,
) -> Result<Vec<Added>, AddError> {
    let mut stored = Vec::new();
    for journal in journals.outdated(origin, options)? {
        stored.extend(give_up(client, journal, &Events::none()).await?);
    }
    Ok(stored)
}

/// Takes back what a journal says was done, and deletes it; or the object, when all of it is done.
async fn give_up(client: &Client, journal: Journal, events: &Events) -> Result<Option<Added>, AddError> {
    let (options, key, name) = (journal.options(), journal.key(), journal.name());
    let (plan, size) = (client.plan(&options, true, events).await?, journal.size());
    let layout = plan.layout(size, &options)?;
    let mut job = Job::new(client, plan, key, events)?.with_journal(journal, &layout);
    if let Some(object) = job.past_object() {
        let mut commitments = own_commitments(&job, object).await?;
        for _ in 1..LOOKS {
            if is_whole(&commitments, &layout) {
                break;
            }
            // Its transactions may be on their way to a block.
            sleep(LOOK_PAUSE).await;
            commitments = own_commitments(&job, object).await?;
        }
        if is_whole(&commitments, &layout) {
            let added = found(&job, (object, &layout), &commitments, Earlier::Run).await?;
            let journal = job.take_journal().map(|journal| Arc::new(journal.finished()));
            return Ok(Some(Added { name, size, _journal: journal, ..added }));
        }
        let release = |extent| Action::Release(Release { object, extent });
        let releases = commitments.iter().map(|commitment| release(commitment.id.extent)).collect();
        client.chain.send(client.key()?, releases, Overtaken::Repeat, events).await?;
    }
    job.take_journal().map_or(Ok(()), Journal::remove)?;
    Ok(None)
}

#[cfg(test)]
mod tests;
