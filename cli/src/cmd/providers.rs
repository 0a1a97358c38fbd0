//! `ostrakon providers`: the nodes that offer to store columns, where, for how much, and from when on they are drawn.

use ostrakon::{Epoch, Provider, ledger::ProviderStatus};
use serde::Serialize;

use super::Home;
use crate::output::{Output, Paint, Table, bytes_text};

#[derive(Debug, Serialize)]
struct Listing {
    /// The newest epoch that can be drawn in.
    drawable: Option<Epoch>,
    providers: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    provider: Provider,
    /// The first epoch, from the drawable one on, whose draws can choose it; `null` while it has nothing free.
    drawn_from: Option<Epoch>,
}

/// Runs the command.
///
/// # Errors
/// When no node responds.
pub(crate) async fn run(home: &Home, out: &Output) -> crate::Result<()> {
    let client = home.reader()?;
    let (all, head) = (client.chain().all_providers().await?, client.chain().head().await?);
    let first = head.drawable.unwrap_or(head.epoch);
    let row = |provider: Provider| Row { drawn_from: provider.listing.drawn_from(first, head.epoch), provider };
    let listing = Listing { drawable: head.drawable, providers: all.into_iter().map(row).collect() };
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
    fn drawn(&self, from: Option<Epoch>) -> String {
        match from {
            Some(epoch) if self.drawable.is_some_and(|drawable| epoch <= drawable) => "now".to_owned(),
            Some(epoch) => format!("from epoch {epoch}"),
            None => "no: nothing free".to_owned(),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let head = ["node", "domain", "state", "drawn", "used", "capacity", "bond", "obols per GiB and epoch"];
        let mut table = Table::new(0).head(head);
        for Row { provider: row, drawn_from } in &self.providers {
            table.plain([
                row.node.to_string(),
                row.domain.to_string(),
                state_name(row.status).to_owned(),
                self.drawn(*drawn_from),
                bytes_text(row.used),
                bytes_text(row.capacity),
                row.bond.to_string(),
                row.price.to_string(),
            ]);
        }
        table.render(paint)
    }
}
