//! How objects come to their first nodes: real columns, on those that a real draw names.

use anyhow::{Context, Result, ensure};
use ostrakon_proto::{
    erasure,
    id::{ColumnId, NodeId, ObjectId},
    ledger::{
        state::{CommitmentId, Records},
        tx::{Action, Commit, Receipt, SlotClaim},
    },
    placement::{Caps, Draw, DrawSeed, RosterEntry, draw},
    sign::Purpose,
};

use super::{
    nodes::Cell,
    setting::COLUMN,
    world::{ColumnPlace, SimulatedNetwork},
};

/// Extents of one object at most: each is drawn by itself, so they are the numbers of our objects.
const EXTENTS: u32 = 1_024;
/// Objects whose commits are made together.
const BATCH: usize = 64;

impl SimulatedNetwork {
    /// Stores all objects of the setting.
    ///
    /// # Errors
    /// When a commit is refused.
    pub fn store_all(&mut self) -> Result<()> {
        let all: Vec<u32> = (0..self.setting.objects).collect();
        for batch in all.chunks(BATCH) {
            let made: Vec<_> = batch.iter().map(|object| self.make(*object)).collect::<Result<_>>()?;
            let requests: Vec<_> =
                made.iter().map(|(commit, _)| (&self.client, Action::Commit(commit.clone()))).collect();
            let now_ms = self.chain.state.tip().running.time_ms;
            let applied = self.chain.submit(now_ms, &requests)?;
            ensure!(applied.iter().all(|is_applied| *is_applied), "a commit is refused: {:?}", self.chain.refused);
            for (object, (commit, cells)) in batch.iter().zip(made) {
                self.begin_object(*object, &commit, cells);
            }
        }
        Ok(())
    }

    /// An object with its columns, and the commit of them.
    fn make(&mut self, object: u32) -> Result<(Commit, Vec<Cell>)> {
        let (code, cells) = (self.setting.code, self.columns());
        let term = self.setting.epochs() + 8;
        let (holders, draw) = self.draw_for(object)?;
        let params = &self.chain.rules.params;
        let claim = |(holder, cell): (&RosterEntry, &Cell)| SlotClaim {
            provider: holder.provider,
            column: blake3::hash(cell).into(),
            cap: holder.offer.price,
            receipt: None,
        };
        let extent = object % EXTENTS;
        let mut commit = Commit {
            object: ObjectId::new(*blake3::hash(&object.to_le_bytes()).as_bytes()),
            extent,
            // It is the last of its object, so that its columns may be short.
            extents: extent + 1,
            size: COLUMN,
            code,
            column_len: COLUMN,
            draw,
            slots: holders.iter().zip(&cells).map(claim).collect(),
            until: params.receipt_end(draw, term),
            end: draw.epoch.after(term),
        };
        for (index, holder) in (0..code.n).zip(&holders) {
            let receipt = Receipt { index, ask: holder.offer.price, ..commit.receipt(self.client.public()) };
            let key = &self.fleet.nodes[&holder.provider].key;
            let signature = key.sign(Purpose::Receipt, &self.chain.rules.chain, &receipt);
            commit.slots[usize::from(index)].receipt = Some(signature);
        }
        Ok((commit, cells))
    }

    /// The bytes of n columns.
    fn columns(&mut self) -> Vec<Cell> {
        let (code, len) = (self.setting.code, usize::try_from(COLUMN).expect("a small constant"));
        let mut data = vec![vec![0; len]; usize::from(code.k)];
        data.iter_mut().for_each(|cell| self.dice.fill(cell));
        let mut parity = vec![vec![0; len]; usize::from(code.spare())];
        let cells: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        erasure::encode(code, &cells, &mut parity);
        data.into_iter().chain(parity).collect()
    }

    /// The holders that the ledger draws for an object.
    fn draw_for(&self, object: u32) -> Result<(Vec<RosterEntry>, Draw)> {
        let (state, code, params) = (&self.chain.state, self.setting.code, &self.chain.rules.params);
        let epoch = state.tip().running.clock.drawable().context("the network has a beacon")?;
        let draw_of = Draw { epoch, number: object / EXTENTS };
        let record = state.epoch(epoch).context("the epoch is kept")?;
        let seed = DrawSeed {
            randomness: record.beacon.context("the beacon is complete")?,
            account: self.client.public(),
            draw: draw_of,
            extent: object % EXTENTS,
        };
        let caps = Caps::of(&record.roster, code, params.min_domains)?;
        let rosters = state.rosters();
        let drawn = draw(rosters.of(epoch).context("the epoch is kept")?, &seed, code, &caps)?;
        Ok((drawn.into_iter().take(usize::from(code.n)).copied().collect(), draw_of))
    }

    fn begin_object(&mut self, object: u32, commit: &Commit, cells: Vec<Cell>) {
        let owner = self.client.public();
        self.objects.insert(object, CommitmentId { object: commit.object, extent: commit.extent, owner });
        for ((index, slot), cell) in (0..commit.code.n).zip(&commit.slots).zip(cells) {
            self.places.insert(slot.column, ColumnPlace { object, index });
            self.accept(slot.provider, slot.column, cell);
        }
    }

    /// A node signed for a column, and keeps its bytes or not.
    pub fn accept(&mut self, node: NodeId, column: ColumnId, cell: Cell) {
        let strategy = self.fleet.crew(&self.fleet.nodes[&node]).strategy;
        let others = if strategy.is_one_operator() { self.kept_together(node, column) } else { 0 };
        let keeps = strategy.keeps(&mut self.dice, others, usize::from(self.setting.code.k));
        let node = self.fleet.nodes.get_mut(&node).expect("a node that just signed");
        node.columns.insert(column, keeps.then_some(cell));
    }

    /// Columns of the same object that the operator of this node keeps.
    fn kept_together(&self, node: NodeId, column: ColumnId) -> usize {
        let operator = self.fleet.seats[self.fleet.nodes[&node].seat].operator;
        let object = self.places[&column].object;
        let Some(commitment) = self.objects.get(&object).and_then(|id| self.chain.state.commitment(id)) else {
            return 0;
        };
        let of_operator = |provider: &NodeId| {
            let node = self.fleet.nodes.get(provider)?;
            (self.fleet.seats[node.seat].operator == operator).then_some(node)
        };
        let kept = commitment
            .slots
            .iter()
            .filter(|slot| of_operator(&slot.provider).is_some_and(|node| node.read(&slot.column).is_some()));
        kept.count()
    }
}
