//! Adds that can go on: the same source with the same options finds the journal of an earlier run, and does the rest.
//!
//! Whoever adds keeps the [`Journal`] until the link is safe, and deletes it then: a run that is killed at any moment
//! and repeated ends with one object, paid once. A source that has changed meanwhile starts anew under a new key, after
//! what was sent of the old one is given up.

use std::time::Duration;

use ostrakon_proto::{
    layout::Layout,
    ledger::tx::{Action, Release},
    seal::ObjectKey,
};
use tokio::{io::AsyncRead, time::sleep};

use super::{
    AddError, AddOptions, Added, Journal, Journals, Origin, add,
    existing::{Earlier, found, is_whole, own_commitments},
    job::Job,
    source::{FileSource, Source, SourceError, StreamSource},
};
use crate::{Client, Event, Events, chain::Overtaken};

/// How often it is looked whether the commit of an earlier run was included, before its add is given up.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// What was added, and the journal that it left.
#[derive(Debug)]
pub struct Kept {
    /// What was added.
    pub added: Added,
    /// To be deleted as soon as the link is where it cannot be lost, and not before.
    pub journal: Journal,
    /// Whether the source has changed since an earlier run had added all of it: this is what it was then. Add it again.
    pub outdated: bool,
}

/// What is read.
enum Plain<R> {
    File,
    Stream(R),
}

impl<R: AsyncRead + Unpin + Send> Plain<R> {
    async fn source(self, origin: &Origin, (layout, sealed): (Layout, bool)) -> Result<Source<R>, SourceError> {
        let (size, code) = (layout.size(), layout.code());
        Ok(match self {
            Self::File => Source::File(FileSource::open(origin, code, sealed)?),
            Self::Stream(reader) => Source::Stream(StreamSource::new(reader, Some(size), code, sealed).await?),
        })
    }
}

impl Client {
    /// Stores the file that `origin` is, and commits it; goes on where an earlier run stopped.
    ///
    /// # Errors
    /// As [`Client::add`]. The same call then goes on from there, unless the source changed meanwhile.
    pub async fn add_file(
        &self,
        origin: &Origin,
        options: &AddOptions,
        journals: &Journals,
        events: &Events,
    ) -> Result<Kept, AddError> {
        let file = Plain::<tokio::io::Empty>::File;
        match Box::pin(self.add_kept((origin, file), options, journals, events)).await {
            // The journal of the old content is gone: from the start, under a new key.
            Err((AddError::SourceChanged(why), Run::Later)) => {
                events.tell(Event::Restarted { why });
                let again = (origin, Plain::<tokio::io::Empty>::File);
                Box::pin(self.add_kept(again, options, journals, events)).await.map_err(|(error, _)| error)
            }
            result => result.map_err(|(error, _)| error),
        }
    }

    /// As [`Client::add_file`], of something else that can be read again: `reader` gives all bytes of `origin`, from
    /// its start.
    ///
    /// # Errors
    /// As [`Client::add_file`]. After [`AddError::SourceChanged`] a new reader starts anew.
    pub async fn add_again(
        &self,
        (origin, reader): (&Origin, impl AsyncRead + Unpin + Send),
        options: &AddOptions,
        journals: &Journals,
        events: &Events,
    ) -> Result<Kept, AddError> {
        let adding = self.add_kept((origin, Plain::Stream(reader)), options, journals, events);
        Box::pin(adding).await.map_err(|(error, _)| error)
    }

    /// Gives an unfinished add up, and deletes its journal: holders forget what they have of it, and what was paid for
    /// a part of it is paid no longer. `Some` when all of it turns out to be stored and paid for: then nothing is given
    /// up, and the journal is the caller's to delete.
    ///
    /// # Errors
    /// [`AddError`]; the journal is then left as it is.
    pub async fn abandon(&self, journal: Journal, events: &Events) -> Result<Option<Kept>, AddError> {
        let journal = journal.reopened()?;
        match self.give_up(&journal, events).await? {
            Some(added) => Ok(Some(Kept { added, journal, outdated: false })),
            None => {
                journal.remove()?;
                Ok(None)
            }
        }
    }

    async fn add_kept<R: AsyncRead + Unpin + Send>(
        &self,
        (origin, plain): (&Origin, Plain<R>),
        options: &AddOptions,
        journals: &Journals,
        events: &Events,
    ) -> Result<Kept, (AddError, Run)> {
        let first = |error: AddError| (error, Run::First);
        let mut journal = journals.find(origin, options).map_err(|error| first(error.into()))?;
        if let Some(old) = journal.take_if(|journal| journal.fingerprint() != origin.fingerprint) {
            if let Some(added) = self.give_up(&old, events).await.map_err(first)? {
                return Ok(Kept { added, journal: old, outdated: true });
            }
            old.remove().map_err(|error| first(error.into()))?;
            events.tell(Event::Restarted { why: "the source has changed since the add began".to_owned() });
        }
        let run = if journal.is_some() { Run::Later } else { Run::First };
        let options = journal
            .as_ref()
            .map_or_else(|| AddOptions { size: Some(origin.size()), ..options.clone() }, Journal::options);
        let result = match journal {
            Some(journal) => self.go_on((origin, plain), &options, journal, events).await,
            None => self.begin((origin, plain), &options, journals, events).await,
        };
        result.map_err(|error| (error, run))
    }

    /// Adds from the start.
    async fn begin<R: AsyncRead + Unpin + Send>(
        &self,
        plain: (&Origin, Plain<R>),
        options: &AddOptions,
        journals: &Journals,
        events: &Events,
    ) -> Result<Kept, AddError> {
        let plan = self.plan(options).await?;
        plan.quote(&plan.layout(plain.0.size(), options)?)?;
        let key = (!options.public).then(|| ObjectKey::from_bytes(self.random()));
        let journal = journals.create(plain.0, options, (plan.code, key.as_ref()))?;
        let job = Job::new(self, self.key()?, plan, key, events);
        run(job, plain, options, journal).await
    }

    /// Adds what an earlier run did not.
    async fn go_on<R: AsyncRead + Unpin + Send>(
        &self,
        plain: (&Origin, Plain<R>),
        options: &AddOptions,
        journal: Journal,
        events: &Events,
    ) -> Result<Kept, AddError> {
        let plan = self.plan(options).await?;
        events.tell(Event::Resumed { rows: journal.past().rows });
        let job = Job::new(self, self.key()?, plan, journal.key(), events);
        run(job, plain, options, journal).await
    }

    /// Takes back what a journal says was done; or the object, when all of it is done.
    async fn give_up(&self, journal: &Journal, events: &Events) -> Result<Option<Added>, AddError> {
        let options = journal.options();
        let plan = self.plan(&options).await?;
        let layout = plan.layout(journal.fingerprint().size(), &options)?;
        let job = Job::new(self, self.key()?, plan, journal.key(), events).with_journal(journal, &layout);
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
                return found(&job, (object, &layout), &commitments, Earlier::Run).await.map(Some);
            }
            let release = |extent| Action::Release(Release { object, extent });
            let releases = commitments.iter().map(|commitment| release(commitment.id.extent)).collect();
            self.chain.send(self.key()?, releases, Overtaken::Repeat, job.events).await?;
        }
        job.abort().await;
        Ok(None)
    }
}

/// Which run of an add it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    First,
    Later,
}

async fn run<R: AsyncRead + Unpin + Send>(
    job: Job<'_>,
    (origin, plain): (&Origin, Plain<R>),
    options: &AddOptions,
    journal: Journal,
) -> Result<Kept, AddError> {
    let layout = job.plan.layout(origin.size(), options)?;
    let result = {
        let job = job.with_journal(&journal, &layout);
        let adding = async {
            let source = plain.source(origin, (layout, !options.public)).await?;
            add(&job, source, options).await
        };
        let result = tokio::select! { biased;
            added = Box::pin(adding) => added,
            never = job.keep_alive() => match never {},
        };
        if let Err(AddError::SourceChanged(_)) = &result {
            job.abort().await;
        }
        result
    };
    match result {
        Ok(added) => Ok(Kept { added, journal, outdated: false }),
        Err(error @ AddError::SourceChanged(_)) => {
            // Its key has sealed the old content.
            journal.remove()?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
