//! Serves the node's metrics to those whom the operator lets scrape them, on a thread of its own: no scrape waits for
//! the node, and the node waits for none.
//!
//! In comes the address of the configuration; out go answers, until the server is dropped. Not here: the protocol
//! ([`http`]), and what is counted.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::Context;
use ostrakon_node::metrics::{NodeMetrics, http, text};
use tokio::runtime;
use tokio_util::sync::CancellationToken;

/// The thread that answers scrapes. Dropping it ends it.
#[derive(Debug)]
pub(super) struct ScrapeServer {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl ScrapeServer {
    /// Serves `metrics` at `address`; port 0 takes a free one, which is logged.
    pub(super) fn start(address: SocketAddr, metrics: &NodeMetrics) -> anyhow::Result<Self> {
        let failed = || format!("cannot serve metrics on {address}; choose another address, or stop what uses it");
        let listener = TcpListener::bind(address).with_context(failed)?;
        listener.set_nonblocking(true).with_context(failed)?;
        let address = listener.local_addr().with_context(failed)?;
        tracing::info!("serving metrics at http://{address}/metrics");
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics are not on a loopback address: all who can connect to it can read them");
        }
        let (registry, stop) = (metrics.registry(), CancellationToken::new());
        let stopped = stop.clone();
        let runtime = runtime::Builder::new_current_thread().enable_all().build().with_context(failed)?;
        let thread = thread::Builder::new().name("ostrakon-metrics".to_owned()).spawn(move || {
            let serving = async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                stopped.run_until_cancelled(http::serve(listener, Arc::new(move || text(&registry)))).await;
                anyhow::Ok(())
            };
            if let Err(error) = runtime.block_on(serving) {
                tracing::error!("metrics are not served: {error:#}");
            }
        });
        Ok(Self { stop, thread: Some(thread.with_context(failed)?) })
    }
}

impl Drop for ScrapeServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the metrics thread panicked");
        }
    }
}
