//! `ostrakon ledger head`: the newest block, which the validators certified.

use ostrakon::Head;
use ostrakon_proto::id::ChainId;
use serde::Serialize;

use super::Home;
use crate::{
    args::Ledger,
    output::{Output, Paint, Table},
};

#[derive(Debug, Serialize)]
struct HeadObject {
    chain: String,
    height: u64,
    block: String,
    epoch: u64,
    time_ms: u64,
    minted: String,
    burnt: String,
}

/// Runs the command.
///
/// # Errors
/// When no node answers.
pub(crate) async fn run(command: Ledger, home: &Home, out: &Output) -> anyhow::Result<()> {
    match command {
        Ledger::Head => {
            let client = home.connect()?;
            let object = HeadObject::new(&client.chain().rules().chain, &client.chain().head().await?);
            out.answer(&object, |paint| object.text(paint))?;
        }
    }
    Ok(())
}

impl HeadObject {
    fn new(chain: &ChainId, head: &Head) -> Self {
        Self {
            chain: chain.to_string(),
            height: head.height.0,
            block: head.block.to_string(),
            epoch: head.epoch.0,
            time_ms: head.time_ms,
            minted: head.minted.to_string(),
            burnt: head.burnt.to_string(),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0);
        table.plain(["height".to_owned(), self.height.to_string()]);
        table.plain(["block".to_owned(), self.block.clone()]);
        table.plain(["epoch".to_owned(), self.epoch.to_string()]);
        table.plain(["chain".to_owned(), self.chain.clone()]);
        table.plain(["minted".to_owned(), format!("{} obols", self.minted)]);
        table.plain(["burnt".to_owned(), format!("{} obols", self.burnt)]);
        table.render(paint)
    }
}
