//! `ostrakon providers`: the nodes that offer to store columns, where, and for how much.

use ostrakon_proto::{
    id::NodeId,
    ledger::state::{Provider, ProviderStatus},
};
use serde::Serialize;

use super::Home;
use crate::output::{Output, Paint, Table, bytes_text};

#[derive(Debug, Serialize)]
struct Listing {
    providers: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    provider: NodeId,
    domain: String,
    state: &'static str,
    price: String,
    capacity: u64,
    used: u64,
    addresses: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When no node responds.
pub(crate) async fn run(home: &Home, out: &Output) -> anyhow::Result<()> {
    let client = home.reader()?;
    let all = client.chain().all_providers().await?;
    for (node, claim) in client.chain().contradicted() {
        out.words(&format!("node {node} made a claim that other nodes contradicted: {claim}"));
    }
    let listing = Listing { providers: all.into_iter().map(row).collect() };
    out.answer(&listing, |paint| listing.text(paint))?;
    Ok(())
}

fn row(provider: Provider) -> Row {
    Row {
        provider: provider.node,
        domain: provider.domain.to_string(),
        state: state_name(provider.status),
        price: provider.price.to_string(),
        capacity: provider.capacity,
        used: provider.used,
        addresses: provider.addresses,
    }
}

const fn state_name(status: ProviderStatus) -> &'static str {
    match status {
        ProviderStatus::Active => "active",
        ProviderStatus::Draining => "draining",
        ProviderStatus::Suspended => "suspended",
        ProviderStatus::Exited { .. } => "exited",
    }
}

impl Listing {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0).head(["node", "domain", "state", "used", "capacity", "obols per GiB and epoch"]);
        for row in &self.providers {
            table.plain([
                row.provider.to_string(),
                row.domain.clone(),
                row.state.to_owned(),
                bytes_text(row.used),
                bytes_text(row.capacity),
                row.price.clone(),
            ]);
        }
        table.render(paint)
    }
}
