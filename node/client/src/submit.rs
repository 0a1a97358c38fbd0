//! What an account does on the ledger, before it is done: [`Submit`] is awaited to sign, submit and wait for the block.

use std::{fmt, future::IntoFuture};

use futures::future::BoxFuture;

use crate::{Client, Error, Event, Events};

type Start<T> = Box<dyn FnOnce(Client, Events) -> BoxFuture<'static, Result<T, Error>> + Send>;

/// A transaction that has not been submitted: await it to submit it, and to wait until it is in a block.
///
/// The future is `Send`. Dropping it stops waiting; a transaction that was submitted already may still be included.
#[must_use = "nothing is submitted before this is awaited"]
pub struct Submit<T> {
    client: Client,
    events: Events,
    start: Start<T>,
}

impl<T> Submit<T> {
    pub(crate) fn new<F>(client: &Client, start: impl FnOnce(Client, Events) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let start: Start<T> = Box::new(|client, events| Box::pin(start(client, events)));
        Self { client: client.clone(), events: Events::none(), start }
    }

    /// Calls `listener` with what happens while it is awaited. It must return quickly.
    pub fn on_event(self, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { events: Events::to(listener), ..self }
    }
}

impl<T> IntoFuture for Submit<T> {
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        (self.start)(self.client, self.events)
    }
}

impl<T> fmt::Debug for Submit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submit").field("client", &self.client).finish_non_exhaustive()
    }
}
