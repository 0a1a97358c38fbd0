//! The second part of the demo: fresh nodes join, the network rebuilds what was lost, and as many nodes die again.
//!
//! Nothing here repairs: it watches the ledger until every column is stored again, and says who was paid meanwhile.

use std::{collections::BTreeMap, time::Duration};

use ostrakon::{Amount, Client, Error, ErrorKind, Fetched, Link, NodeId, Provider, Status, StatusOptions, StatusState};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Kept, Stage, choose, connect, story};
use crate::{
    cmd::devnet::{files::Devnet, plan::NodeEntry, up},
    output::count_text,
    progress::Progress,
};

/// How often the ledger is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long no more columns may become live.
const PATIENCE: Duration = Duration::from_secs(180);

/// What `demo --json` says of the second part.
#[derive(Debug, Serialize)]
pub(super) struct Repaired {
    /// The nodes that joined.
    fresh: Vec<u16>,
    /// Columns that were stored at the end.
    live: usize,
    /// Proofs and pay of each node since the first ones were killed.
    paid: Vec<Paid>,
    /// The nodes that were killed then.
    killed: Vec<u16>,
    pub(super) identical: bool,
    get: Fetched,
    seconds: f64,
}

/// What a node proved, and what it was paid for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Paid {
    /// The node.
    pub(super) index: u16,
    /// Epochs that it proved.
    pub(super) proven_epochs: u64,
    /// What it was paid.
    pub(super) earned: Amount,
    /// Whether it was killed.
    pub(super) killed: bool,
}

/// Who holds the columns of the first extent, where all are stored and none of them at one that is gone.
fn whole(status: &Status, gone: &[NodeId]) -> Option<Vec<NodeId>> {
    let all = status.slots.iter().all(|slot| slot.state == StatusState::Live && !gone.contains(&slot.provider));
    let first = status.slots.iter().filter(|slot| slot.extent == 0).map(|slot| slot.provider);
    all.then(|| first.collect())
}

/// What each of these was paid since `before`.
fn paid(nodes: &[NodeEntry], (before, after): (&[Provider], &[Provider]), killed: &[u16]) -> Vec<Paid> {
    let pay = |providers: &[Provider]| -> BTreeMap<NodeId, (u64, u64)> {
        let pay = |provider: &Provider| (provider.audited.pay.proofs.count, provider.audited.pay.earned.0);
        providers.iter().map(|provider| (provider.node, pay(provider))).collect()
    };
    let (before, after) = (pay(before), pay(after));
    let row = |node: &NodeEntry| {
        let (epochs, earned) = after.get(&node.provider).copied().unwrap_or_default();
        let (epochs_before, earned_before) = before.get(&node.provider).copied().unwrap_or_default();
        Paid {
            index: node.index,
            proven_epochs: epochs.saturating_sub(epochs_before),
            earned: Amount(earned.saturating_sub(earned_before)),
            killed: killed.contains(&node.index),
        }
    };
    nodes.iter().map(row).collect()
}

impl Stage<'_> {
    /// Plays it. `before` are the providers as they were when the first `victims` died.
    pub(super) async fn repair(
        self,
        devnet: &Devnet,
        kept: Kept<'_>,
        (victims, before): (&[u16], &[Provider]),
    ) -> crate::Result<Repaired> {
        let began = Instant::now();
        let client = connect(devnet)?;
        let fresh = devnet.spares();
        self.join(devnet, &fresh, &client).await?;
        let gone: Vec<NodeId> = devnet.pick(victims)?.into_iter().map(|node| node.provider).collect();
        let holders = self.wait_repaired(&client, kept.link, &gone).await?;
        let after = client.chain().all_providers().await?;
        let paid = paid(&devnet.nodes, (before, &after), victims);
        let alive: Vec<NodeEntry> =
            devnet.nodes.iter().filter(|node| !victims.contains(&node.index)).cloned().collect();
        self.out.story(|paint| {
            let all = format!("all {} columns are stored again, none by a node that was killed", holders.len());
            let map = story::map(paint, &story::places(&alive, &holders, &[]));
            format!("{}\n{map}\n\n{}", story::line(&all), story::pay(paint, &paid))
        })?;
        let seconds = began.elapsed().as_secs_f64();
        let again = choose::victims_again(&alive, &holders, self.spare_columns);
        let title = format!("Kill -9 and wipe {} of those that hold it now", again.len());
        self.destroy(devnet, (8, &title), (&again, &alive), &holders).await?;
        let (get, comparison) = self.get_and_compare(devnet, kept, (9, alive.len() - again.len())).await?;
        let fresh = fresh.iter().map(|node| node.index).collect();
        let (live, identical) = (holders.len(), comparison.identical);
        Ok(Repaired { fresh, live, paid, killed: again, identical, get, seconds })
    }

    /// Starts the spare nodes, which register with the ledger by themselves.
    async fn join(self, devnet: &Devnet, fresh: &[NodeEntry], client: &Client) -> crate::Result<()> {
        let (began, waiting) = (Instant::now(), Progress::waiting("starting fresh nodes", self.out));
        up::start(devnet, fresh, client).await?;
        drop(waiting);
        self.out.story(|paint| {
            let nodes = count_text(u128::try_from(fresh.len()).unwrap_or(0), "fresh node", "fresh nodes");
            let figures = story::seconds(began.elapsed().as_secs_f64());
            let head = story::step(paint, 6, &format!("{nodes} of other operators join"), &figures);
            format!("{head}\n{}", story::line("the dead ones stay dead: what they held is gone"))
        })?;
        Ok(())
    }

    /// Waits until every column is stored, and none by those that are gone; returns the holders.
    async fn wait_repaired(self, client: &Client, link: &Link, gone: &[NodeId]) -> crate::Result<Vec<NodeId>> {
        self.out.story(|paint| story::step(paint, 7, "The network repairs it by itself", ""))?;
        let waiting = Progress::waiting("waiting for the repair", self.out);
        let (began, mut deadline, mut before) = (Instant::now(), Instant::now() + PATIENCE, None);
        loop {
            // A node may just be behind.
            let status = client.status(link, StatusOptions { probe: false }).await;
            if let Ok(status) = &status {
                if before != Some(status.live) {
                    deadline = Instant::now() + PATIENCE;
                    before = Some(status.live);
                    let (live, n) = (status.live, status.code.n);
                    let what = if live < usize::from(n) { "" } else { " by the ledger" };
                    let time = story::seconds(began.elapsed().as_secs_f64());
                    let text = story::line(&format!("{live:>2} of {n} columns live{what} after {time}"));
                    waiting.suspend(|| self.out.story(|_| text))?;
                }
                if let Some(holders) = whole(status, gone) {
                    return Ok(holders);
                }
            }
            if Instant::now() > deadline {
                let live = before.map_or_else(|| "no".to_owned(), |live| live.to_string());
                let text = format!(
                    "the repair made no progress for {} s, with {live} columns live: see node.log of the nodes",
                    PATIENCE.as_secs()
                );
                return Err(Error::new(ErrorKind::Network, text));
            }
            sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use ostrakon::{AccountId, Code, Epoch, ObjectId, StatusLease, StatusSlot, Survives};

    use super::*;

    fn status(slots: &[(u8, StatusState)]) -> Status {
        let slot = |(index, (node, state)): (u8, &(u8, StatusState))| StatusSlot {
            extent: 0,
            index,
            provider: NodeId::new([*node; 32]),
            domain: None,
            state: state.clone(),
        };
        Status {
            object: ObjectId::new([1; 32]),
            size: 1,
            code: Code { k: 1, n: 3 },
            live: 3,
            repair_threshold: 2,
            repair: None,
            tolerates: 2,
            survives: Survives { nodes: 2, domains: 2 },
            lease: StatusLease {
                expires_epoch: Epoch(9),
                expires_ms: 1,
                owner: AccountId::new([2; 32]),
                renewal: None,
            },
            slots: (0..).zip(slots).map(slot).collect(),
        }
    }

    #[test]
    fn it_is_whole_when_none_of_the_dead_is_said_to_hold_anything() {
        use StatusState::{Live, Lost};
        let nodes = |numbers: &[u8]| numbers.iter().map(|number| NodeId::new([*number; 32])).collect::<Vec<_>>();
        let gone = nodes(&[2]);
        assert_eq!(whole(&status(&[(1, Live), (2, Live), (3, Live)]), &gone), None, "the ledger does not know yet");
        assert_eq!(whole(&status(&[(1, Live), (2, Lost), (3, Live)]), &gone), None);
        assert_eq!(whole(&status(&[(1, Live), (4, Live), (3, Live)]), &gone), Some(nodes(&[1, 4, 3])));
    }
}
