//! The gateway as a whole: it listens, accepts, and ends in order.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use ostrakon::bucket::Buckets;
use s3s::{
    config::{S3Config, StaticConfigProvider},
    service::S3ServiceBuilder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    access::Access,
    auth::Secrets,
    connection::{Unread, Unstuck},
    cors::Origins,
    front::{Front, router},
    gate::{Gate, NoSecrets},
    health::{Asker, Health},
    host::Domains,
    ipfs::Provider,
    limits,
    metrics::Metrics,
    store::Store,
    tls, upkeep,
};

/// How a gateway serves.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Where it listens; port 0 is any that is free.
    pub listen: SocketAddr,
    /// Domains whose subdomains are buckets. Without any, buckets are in paths only.
    pub domains: Vec<String>,
    /// The region that buckets are said to be in. Requests may name any.
    pub region: String,
    /// Files of a certificate and of its key, in PEM. Without them it serves plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Connections that are open at a time; more wait in the system's queue. Each costs up to 100 KiB.
    pub max_connections: usize,
    /// Requests that are answered at a time; more are told to slow down after some seconds. An upload costs what the
    /// SDK holds of it, up to some MiB.
    pub max_requests: usize,
    /// How long requests may take to end when the gateway is to end.
    pub drain: Duration,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9000)),
            domains: Vec::new(),
            region: "us-east-1".to_owned(),
            tls: None,
            max_connections: 1024,
            max_requests: 256,
            drain: Duration::from_secs(30),
        }
    }
}

/// Why a gateway does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// It cannot listen there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// It cannot serve TLS.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// A gateway that listens.
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    health: Health,
    metrics: Metrics,
    buckets: Buckets,
    options: GatewayOptions,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("address", &self.address)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Listens; connections wait until it serves.
    ///
    /// # Errors
    /// When it cannot listen, or cannot read what TLS needs.
    pub async fn bind(buckets: Buckets, options: GatewayOptions) -> Result<Self, GatewayError> {
        let tls = options.tls.as_ref().map(|(certificate, key)| tls::acceptor(certificate, key)).transpose()?;
        let failed = |source| GatewayError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (health, metrics) = (Health::new(buckets.clone()), Metrics::new(buckets.received()));
        let router = router(front(buckets.clone(), &options, health.clone(), metrics.clone()));
        Ok(Self { listener, address, tls, router, health, metrics, buckets, options })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done; then accepts no more, and waits for requests that are being answered.
    ///
    /// # Errors
    /// None so far: what fails is a connection's.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), GatewayError> {
        let (places, ending) = (Arc::new(Semaphore::new(self.options.max_connections)), CancellationToken::new());
        let mut connections = JoinSet::new();
        let mut background = JoinSet::new();
        background.spawn(upkeep::keep(self.buckets, self.health.warning(), self.metrics.clone()));
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&self.listener, &places) => accepted,
            };
            match accepted {
                Ok(Accepted { socket, asker, place }) => {
                    let router = self.router.clone().layer(Extension(asker));
                    let served = serve_one(socket, self.tls.clone(), router, ending.clone());
                    let open = Open::new(&self.metrics);
                    connections.spawn(async move {
                        served.await;
                        drop((place, open));
                    });
                }
                // Such as too many open files: trying again immediately would fail again.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(limits::ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        self.health.drain();
        ending.cancel();
        let drained = timeout(self.options.drain, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests did not end in time; their connections are closed"
            );
            connections.shutdown().await;
        }
        Ok(())
    }
}

/// A connection, with its place among those that may be open.
struct Accepted {
    socket: TcpStream,
    asker: Asker,
    place: OwnedSemaphorePermit,
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, from) = listener.accept().await?;
    // Answers are written whole; waiting to fill packets would only delay their ends.
    socket.set_nodelay(true)?;
    Ok(Accepted { socket, asker: Asker::at(from), place })
}

/// A connection that is open.
struct Open(Metrics);

impl Open {
    fn new(metrics: &Metrics) -> Self {
        metrics.connections.inc();
        Self(metrics.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

async fn serve_one(socket: TcpStream, tls: Option<TlsAcceptor>, router: Router, ending: CancellationToken) {
    let unread = Unread::default();
    let socket = Unstuck::new(socket, unread.clone());
    // Each request says whether its body was read.
    let router = router.layer(Extension(unread));
    let Some(tls) = tls else { return answer(socket, router, ending).await };
    match timeout(limits::HANDSHAKE, tls.accept(socket)).await {
        Ok(Ok(socket)) => answer(socket, router, ending).await,
        Ok(Err(error)) => tracing::debug!(%error, "the TLS handshake with a client failed"),
        Err(_) => tracing::debug!("the TLS handshake took too long; closed"),
    }
}

/// Answers the requests of a connection.
async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: S,
    router: Router,
    ending: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits::HEAD_TIME).max_buf_size(limits::HEAD_BYTES);
    let connection = http.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "the connection of a client ended early");
    }
}

/// Puts together what answers requests: s3s verifies signatures, and the gate gives what is verified to a second s3s.
fn front(buckets: Buckets, options: &GatewayOptions, health: Health, metrics: Metrics) -> Front {
    let (domains, origins) = (Domains::new(&options.domains), Origins::new(buckets.clone()));
    let store = Store { buckets: buckets.clone(), origins: origins.clone(), region: options.region.clone() };
    let config = Arc::new(StaticConfigProvider::new(Arc::new(config())));
    let mut behind = S3ServiceBuilder::new(store.clone());
    behind.set_config(config.clone());
    behind.set_host(domains.clone());
    behind.set_auth(NoSecrets);
    behind.set_access(Access(buckets.clone()));
    let gate = Gate { buckets: buckets.clone(), domains: domains.clone(), behind: behind.build() };
    let mut s3 = S3ServiceBuilder::new(store);
    s3.set_config(config);
    s3.set_host(domains.clone());
    s3.set_auth(Secrets(buckets.clone()));
    s3.set_access(Access(buckets.clone()));
    s3.set_route(gate);
    let provider = Provider::new(&buckets.public_name(), options.tls.is_some());
    Front {
        s3: s3.build(),
        buckets,
        origins,
        health,
        metrics,
        domains,
        region: options.region.clone(),
        provider,
        turns: Arc::new(Semaphore::new(options.max_requests)),
        forms: Arc::new(Semaphore::new(limits::FORMS)),
        next: AtomicU64::new(1),
    }
}

fn config() -> S3Config {
    let mut config = S3Config::default();
    config.xml_max_body_size = limits::XML_BYTES;
    config.post_object_max_file_size = limits::FORM_FILE_BYTES;
    config.form_max_field_size = limits::FORM_FIELDS_BYTES;
    config.form_max_fields_size = limits::FORM_FIELDS_BYTES;
    config.form_max_parts = limits::FORM_FIELDS;
    config.presigned_url_max_skew_time_secs = limits::SKEW_SECONDS;
    config
}
