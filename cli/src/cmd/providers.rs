//! `ostrakon providers`: the nodes that offer to store columns, where, and for how much.

use ostrakon::{Provider, ledger::ProviderStatus};
use serde::Serialize;

use super::Home;
use crate::output::{Output, Paint, Table, bytes_text};

#[derive(Debug, Serialize)]
struct Listing {
    providers: Vec<Provider>,
}

/// Runs the command.
///
/// # Errors
/// When no node responds.
pub(crate) async fn run(home: &Home, out: &Output) -> crate::Result<()> {
    let client = home.reader()?;
    let listing = Listing { providers: client.chain().all_providers().await? };
    for (node, claim) in client.chain().contradicted() {
        out.words(&format!("node {node} made a claim that other nodes contradicted: {claim}"));
    }
    out.answer(&listing, |paint| listing.text(paint))?;
    Ok(())
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
        let head = ["node", "domain", "state", "used", "capacity", "bond", "obols per GiB and epoch"];
        let mut table = Table::new(0).head(head);
        for row in &self.providers {
            table.plain([
                row.node.to_string(),
                row.domain.to_string(),
                state_name(row.status).to_owned(),
                bytes_text(row.used),
                bytes_text(row.capacity),
                row.bond.to_string(),
                row.price.to_string(),
            ]);
        }
        table.render(paint)
    }
}
