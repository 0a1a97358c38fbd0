//! What must hold in every world, whatever broke: the judges of the simulator.
//!
//! In comes a world that was healed and what its users were promised; out comes nothing, or what is [`Broken`].
//! Durability is judged last and hardest: nodes are taken away until some object has lost all that it may lose.

use std::collections::BTreeSet;

use futures::FutureExt;
use ostrakon::Client;
use ostrakon_node::{chain::store::LedgerStore, store::Columns};
use ostrakon_proto::{
    id::{ColumnId, Height, NodeId},
    layout::Layout,
    ledger::{BlockError, MemoryRecords, Rules, execute, state::Records},
    limits::SEGMENT,
};
use rand_chacha::ChaCha8Rng;

use super::{
    faults::index,
    workload::{Read, Stored, User, read},
    world::{Scale, World},
};

/// How often an object is tried to read before it counts as lost: some worlds never stop losing messages.
const TRIES: usize = 3;

/// What must never happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A part of a node failed or panicked.
    #[error("node {node} stopped by itself: {reason}")]
    Stopped {
        /// Which machine.
        node: usize,
        /// What it said.
        reason: String,
    },
    /// A node does not catch up in a network that is whole again.
    #[error("node {node} is at height {at}, others at {top}, ten minutes after everything was healed")]
    Behind {
        /// Which machine.
        node: usize,
        /// Its height.
        at: Height,
        /// The height of others.
        top: Height,
    },
    /// Two nodes have different blocks, or made different states of them.
    #[error("node {node} has another {what} at height {height} than node 0")]
    Disagree {
        /// Which machine.
        node: usize,
        /// Block or state.
        what: &'static str,
        /// Where.
        height: Height,
    },
    /// A block that was decided is refused by the rules.
    #[error("block {height} does not follow from the blocks before it: {error}")]
    Refused {
        /// Which block.
        height: Height,
        /// Why.
        error: BlockError,
    },
    /// Everything is healed, and there are no new blocks.
    #[error("no block comes after height {0}, though everything is healed")]
    Stuck(Height),
    /// Money came from nowhere, or went there.
    #[error("after block {height} there is {total} of {minted} money")]
    Money {
        /// Which block.
        height: Height,
        /// What there is.
        total: u128,
        /// What there was.
        minted: u64,
    },
    /// A node signed for a column, no fault took it, and it is not there.
    #[error("node {node} forgot column {index} of {link}, for which it gave a receipt")]
    Forgot {
        /// Which machine.
        node: usize,
        /// Which column.
        index: u8,
        /// Of which object.
        link: String,
    },
    /// A read gave bytes that were never stored.
    #[error("a read of {0} gave wrong bytes")]
    WrongBytes(String),
    /// An acknowledged object does not read back, though enough of its columns are there.
    #[error("{link} ({code}) with {lost} columns lost does not read back: {reason}")]
    Lost {
        /// The object.
        link: String,
        /// Its code.
        code: String,
        /// Columns lost.
        lost: usize,
        /// Why it does not read.
        reason: String,
    },
    /// An object was read from fewer columns than its code needs: something else than its holders had it.
    #[error("{0} was read with too few holders left")]
    Impossible(String),
}

/// Every node runs, has the same blocks, and made the same state of them; returns the height.
///
/// # Errors
/// Who differs.
pub fn ledgers_agree(world: &World) -> Result<u64, Broken> {
    let top = world.machines.iter().map(|machine| machine.height()).max().unwrap_or_default();
    let state = world.machines[0].ledger.view().tip().state;
    for (node, machine) in world.machines.iter().enumerate() {
        let (at, height) = (machine.height(), top);
        if at != top {
            return Err(Broken::Behind { node, at, top });
        }
        if machine.ledger.view().tip().state != state {
            return Err(Broken::Disagree { node, what: "state", height });
        }
        for height in (1..=top.0).map(Height) {
            if block(world, 0, height) != block(world, node, height) {
                return Err(Broken::Disagree { node, what: "block", height });
            }
        }
    }
    Ok(top.0)
}

fn block(world: &World, node: usize, height: Height) -> Option<ostrakon_proto::id::BlockId> {
    let decided = world.machines[node].ledger.block(height).expect("memory does not fail");
    decided.map(|decided| decided.block.header.id())
}

/// Where several agree on blocks, they agree on one more, which all get.
///
/// # Errors
/// Where they are stuck.
pub async fn blocks_come(world: &World, scale: Scale) -> Result<(), Broken> {
    if scale.validators == 1 || world.advances().await {
        return Ok(());
    }
    Err(Broken::Stuck(world.machines.iter().map(|machine| machine.height()).max().unwrap_or_default()))
}

/// Follows the whole chain once more, alone, and counts all money after each block.
///
/// # Errors
/// The first block after which it does not add up.
pub fn money_is_conserved(world: &World) -> Result<(), Broken> {
    let (rules, mut records) = (Rules::from(&world.genesis), MemoryRecords::new(&world.genesis.changes()));
    let minted = records.tip().running.minted.0;
    for height in (1..=world.machines[0].height().0).map(Height) {
        let decided = world.machines[0].ledger.block(height).expect("memory does not fail");
        let decided = decided.expect("the ledger has every block up to its tip");
        let changes = execute(&rules, &records, &decided).map_err(|error| Broken::Refused { height, error })?;
        records.commit(&changes);
        let total = records.total();
        if total != u128::from(minted) {
            return Err(Broken::Money { height, total, minted });
        }
    }
    let (tip, height) = (records.tip(), world.machines[0].height());
    if tip.state != world.machines[0].ledger.view().tip().state {
        return Err(Broken::Disagree { node: 0, what: "replayed state", height });
    }
    Ok(())
}

/// No node stopped by itself.
///
/// # Errors
/// The first that did.
pub fn nobody_stopped(world: &mut World) -> Result<(), Broken> {
    for (node, machine) in world.machines.iter_mut().enumerate() {
        let failed = machine.process().and_then(|process| process.failed().now_or_never());
        if let Some(error) = failed {
            return Err(Broken::Stopped { node, reason: error.to_string() });
        }
    }
    Ok(())
}

/// Every column that was signed for is where it should be, unless a fault took it.
///
/// # Errors
/// The first that is not.
pub fn promises_are_kept(world: &World, users: &[User]) -> Result<(), Broken> {
    for stored in all(users) {
        for slot in stored.slots.iter().filter(|slot| slot.stored) {
            let holder = world.machines.iter().position(|machine| machine.id() == slot.provider);
            let node = holder.expect("holders are drawn from the world's machines");
            let machine = &world.machines[node];
            let there = machine.columns.column(&slot.column).is_ok_and(|info| info.is_some());
            if machine.keeps(stored.link.object, slot.column) && !there {
                return Err(Broken::Forgot { node, index: slot.index, link: stored.link.to_string() });
            }
        }
    }
    Ok(())
}

/// No read, in whatever state the network was, gave wrong bytes.
///
/// # Errors
/// The first that did.
pub fn nothing_was_wrong(users: &[User]) -> Result<(), Broken> {
    let wrong = users.iter().flat_map(|user| &user.wrong).next();
    wrong.map_or(Ok(()), |link| Err(Broken::WrongBytes(link.to_string())))
}

/// Everything that was acknowledged reads back.
///
/// # Errors
/// The first object that does not.
pub async fn everything_reads_back(world: &World, users: &[User], reader: &Client) -> Result<(), Broken> {
    for stored in all(users) {
        let lost = lost(world, stored);
        match read_patiently(reader, stored).await {
            Read::Right => {}
            Read::Wrong => return Err(Broken::WrongBytes(stored.link.to_string())),
            Read::Failed(reason) => {
                let (link, code) = (stored.link.to_string(), stored.code.to_string());
                return Err(Broken::Lost { link, code, lost, reason });
            }
        }
    }
    Ok(())
}

/// Reads as a patient user does, who tries again what the network may have prevented.
async fn read_patiently(reader: &Client, stored: &Stored) -> Read {
    let mut last = read(reader, stored).await;
    for _ in 1..TRIES {
        if matches!(last, Read::Failed(_)) {
            last = read(reader, stored).await;
        }
    }
    last
}

/// Takes nodes away permanently until no more can go without an object losing more than it may; then everything still
/// reads back. With one holder less an object is not read, rather than read wrongly.
///
/// # Errors
/// The first object for which that does not hold.
pub async fn enough_is_enough(
    world: &mut World,
    users: &[User],
    reader: &Client,
    chance: &mut ChaCha8Rng,
) -> Result<(), Broken> {
    let mut order: Vec<usize> = (0..world.machines.len()).collect();
    while !order.is_empty() {
        let node = order.swap_remove(index(chance, order.len()));
        if all(users).all(|stored| !holds(world, node, stored) || spare(world, stored) > 0) {
            world.crash(node);
        }
    }
    everything_reads_back(world, users, reader).await?;
    let on_the_edge = |stored: &&Stored| {
        let has_k = there(world, stored).count() == usize::from(stored.code.k);
        has_k && all_differ(stored) && fills_columns(stored)
    };
    let Some(edge) = all(users).find(on_the_edge) else { return Ok(()) };
    let last = there(world, edge).next().expect("k is at least 1");
    world.crash(last);
    match read(reader, edge).await {
        Read::Failed(_) => Ok(()),
        Read::Wrong => Err(Broken::WrongBytes(edge.link.to_string())),
        Read::Right => Err(Broken::Impossible(edge.link.to_string())),
    }
}

/// Whether every data column has some of the content. Of a smaller object a read needs only those that do, and may
/// succeed with fewer than k.
fn fills_columns(stored: &Stored) -> bool {
    let (size, code) = (stored.content.len(), stored.code);
    let len = u64::try_from(size).expect("a length fits 64 bits");
    let layout = Layout::new(len, code, stored.link.key.is_some()).expect("it was stored");
    let column_len = layout.extent(0).expect("an object has an extent").column_len;
    column_len > u64::try_from(SEGMENT).expect("64 KiB") || len > u64::from(code.k - 1) * column_len
}

fn all(users: &[User]) -> impl Iterator<Item = &Stored> {
    users.iter().flat_map(|user| &user.stored)
}

/// Whether no column stands in for another: those of an empty object are all the same zeros.
fn all_differ(stored: &Stored) -> bool {
    let columns: BTreeSet<ColumnId> = stored.slots.iter().map(|slot| slot.column).collect();
    columns.len() == stored.slots.len()
}

/// How many columns of an object nobody has any more, or nobody ever had.
fn lost(world: &World, stored: &Stored) -> usize {
    let has = |provider: NodeId, column| {
        let machine = world.machines.iter().find(|machine| machine.id() == provider);
        machine.is_some_and(|machine| machine.runs() && machine.keeps(stored.link.object, column))
    };
    let there = stored.slots.iter().filter(|slot| slot.stored && has(slot.provider, slot.column));
    usize::from(stored.code.n) - there.count()
}

/// The machines that run and have a column of an object on their disks, whether or not they promised to keep it: a
/// holder that stored a column but whose receipt was lost, or that stored the same column for another object, serves it
/// too.
fn there<'a>(world: &'a World, stored: &'a Stored) -> impl Iterator<Item = usize> + 'a {
    let has = |slot: &&ostrakon::AddedSlot| {
        let node = world.machines.iter().position(|machine| machine.id() == slot.provider)?;
        let machine = &world.machines[node];
        let is_there = machine.runs() && machine.columns.column(&slot.column).is_ok_and(|info| info.is_some());
        is_there.then_some(node)
    };
    stored.slots.iter().filter_map(move |slot| has(&slot))
}

/// Columns of an object that may still be lost.
fn spare(world: &World, stored: &Stored) -> usize {
    usize::from(stored.code.spare()).saturating_sub(lost(world, stored))
}

/// Whether this machine has a good column of the object.
fn holds(world: &World, node: usize, stored: &Stored) -> bool {
    let machine = &world.machines[node];
    let keeps = |column| machine.keeps(stored.link.object, column);
    let good = |slot: &&ostrakon::AddedSlot| slot.stored && slot.provider == machine.id() && keeps(slot.column);
    machine.runs() && stored.slots.iter().any(|slot| good(&slot))
}
