//! `ostrakon gateway`: serves the account's buckets over S3, until a signal ends it.

use ostrakon_gateway::{Gateway, GatewayOptions};
use serde::Serialize;

use super::Home;
use crate::{
    args::GatewayArgs,
    exit::{Context, Signal, other},
    output::Output,
};

/// Where it listens.
#[derive(Debug, Serialize)]
struct Listening {
    endpoint: String,
}

/// Runs the command.
///
/// # Errors
/// When there is no profile, the address cannot be listened on, or the certificate cannot be used.
pub(crate) async fn run(args: GatewayArgs, home: &Home, out: &Output) -> crate::Result<()> {
    let GatewayArgs { listen, domain, max_stale, tls_cert, tls_key } = args;
    let buckets = home.connect()?.buckets_within(max_stale)?;
    let options = GatewayOptions { listen, domains: domain, tls: tls_cert.zip(tls_key), ..GatewayOptions::default() };
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let signal = Signal::catch().map_err(other).context("cannot catch signals")?;
    let gateway = Gateway::bind(buckets, options).await.map_err(other)?;
    let endpoint = format!("{scheme}://{}", gateway.address());
    out.answer(&Listening { endpoint: endpoint.clone() }, |_| format!("serving S3 on {endpoint}"))?;
    gateway.serve(async move { _ = signal.await }).await.map_err(other)?;
    Ok(())
}
