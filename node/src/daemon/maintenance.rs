//! `maintenance`: announces that the node will be offline for some hours, which do not count as a fault then.
//!
//! In go durations, out goes a transaction that names epochs: those that cover them, whenever epochs begin.

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use ostrakon_proto::{
    id::Epoch,
    ledger::{
        state::Maintenance,
        tx::{Action, Maintain},
    },
};
use serde_json::json;

use super::{
    member::{Operator, OwnerArgs, block_on},
    say,
};

pub(super) const HELP: &str =
    "The hours that are announced are not paid, and nothing else follows from them: the node \
is not suspended, and its columns do not count as lost. They must begin in a later epoch. By default a network allows \
12 hours, once in 30 days; one that has not begun can only be postponed, by announcing it again.

Examples:
  ostrakon-node maintenance --dir DIR --in 2h --for 4h
  ostrakon-node maintenance --dir DIR --in 3days --for 30min";

#[derive(Debug, Args)]
pub(super) struct MaintenanceArgs {
    #[command(flatten)]
    owner: OwnerArgs,
    /// When it begins, from now, such as 2h or 3days
    #[arg(long = "in", value_name = "DURATION", value_parser = humantime::parse_duration)]
    begins_in: Duration,
    /// How long it lasts, such as 30min or 4h
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    lasts: Duration,
}

pub(super) fn announce(args: MaintenanceArgs) -> anyhow::Result<()> {
    block_on(async {
        let MaintenanceArgs { owner, begins_in, lasts } = args;
        let operator = Operator::open(owner)?;
        let chain = operator.client.chain();
        let head = chain.head().await?;
        let epoch_ms = chain.rules().params.time.epoch_ms.max(1);
        let now = Now { epoch: head.epoch, gone_ms: head.time_ms.saturating_sub(head.epoch_start_ms), epoch_ms };
        let planned = now.cover(begins_in, lasts);
        let (node, Maintenance { from, until }) = (operator.id(), planned);
        let height = operator.perform(Action::Maintain(Maintain { node, from, epochs: until.0 - from.0 })).await?;
        let provider = chain.provider(node).await?.with_context(|| format!("node {node} is not a provider"))?;
        let known = provider.audited.maintenance;
        let shown = known
            .map_or_else(|| "no announcement".to_owned(), |shown| format!("epochs {} to {}", shown.from, shown.until));
        ensure!(
            known == Some(planned),
            "block {height} does not have the announced maintenance of node {node}, but {shown}: run the command again"
        );
        let begins_ms =
            |epoch: Epoch| head.epoch_start_ms.saturating_add((epoch.0 - head.epoch.0).saturating_mul(epoch_ms));
        let done = json!({
            "provider": node,
            "from_epoch": from,
            "until_epoch": until,
            "from_ms": begins_ms(from),
            "until_ms": begins_ms(until),
        });
        say(&format!("{done:#}\n"))
    })
}

/// The epoch in progress, how much of it is gone, and how long one lasts.
struct Now {
    epoch: Epoch,
    gone_ms: u64,
    epoch_ms: u64,
}

impl Now {
    /// The epochs that cover a time that begins in so long and lasts so long; the one in progress is not among them.
    fn cover(&self, begins_in: Duration, lasts: Duration) -> Maintenance {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let begins = self.gone_ms.saturating_add(ms(begins_in));
        let ends = begins.saturating_add(ms(lasts));
        let from = self.epoch.after((begins / self.epoch_ms).max(1));
        Maintenance { from, until: self.epoch.after(ends.div_ceil(self.epoch_ms)).max(from.after(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_epochs_cover_what_is_announced() {
        // Half of epoch 50 is over; one lasts an hour.
        let now = Now { epoch: Epoch(50), gone_ms: 1_800_000, epoch_ms: 3_600_000 };
        let check = |minutes: [u64; 2], expect: (u64, u64)| {
            let [begins_in, lasts] = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            let Maintenance { from, until } = now.cover(begins_in, lasts);
            assert_eq!((from.0, until.0), expect, "in {minutes:?} minutes");
        };
        check([0, 10], (51, 52));
        check([0, 60], (51, 52));
        check([30, 60], (51, 52));
        check([30, 61], (51, 53));
        check([89, 2], (51, 53));
        check([90, 60], (52, 53));
        check([30, 0], (51, 52));
    }
}
