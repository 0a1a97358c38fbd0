//! Nodes that lose columns, and others that rebuild them: whole nodes on the simulated network.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use ostrakon_net::{Peers, ask};
use ostrakon_proto::{
    id::{ColumnId, Height, NodeId},
    ledger::{
        repair::{Assignment, Hands, assignment, bounty},
        state::{Commitment, CommitmentId, ProviderStatus, SlotState},
        tx::{Action, Drain, ReportLoss},
    },
    limits,
    params::Repair,
    wire::{
        Frame, Protocol, Refusal, RefusalCode, RequestClass,
        get::{self, GetRequest, GetResponse, ReadAccess, RepairTicket},
        put::{self, OpenRepair, UploadId},
    },
};

use crate::{
    chain::store::LedgerStore,
    node::{Node, Settings},
    register::ProviderOffer,
    repair::RepairPace,
    store::{Columns, PlaceState},
    world::{CODE, NodeDisk, TestObject, World, commit_without, node_id, until},
};

/// A network with an object of three rows, whose columns are on the first nodes.
struct Stored {
    world: World,
    nodes: BTreeMap<usize, (Node, NodeDisk)>,
    object: TestObject,
}

impl Stored {
    /// Nothing is repaired before nodes have an offer.
    async fn new(missing: &[u8]) -> Self {
        Self::of(TestObject::new(1_200_000, CODE), missing).await
    }

    async fn of(object: TestObject, missing: &[u8]) -> Self {
        let mut world = World::new(7);
        let params = &mut world.genesis.params;
        (params.draw_epochs, params.time.trash_epochs) = (6, 6);
        params.repair = Repair { suspect_epochs: 3, turn_epochs: 3, ..Repair::default() };
        let nodes = (0..).zip(world.start_all().await).collect();
        commit_without(&world, &object, (0, 100), missing).await;
        let stored = Self { world, nodes, object };
        until("it is committed", async || stored.find().is_some()).await;
        stored
    }

    fn find(&self) -> Option<Commitment> {
        let id = CommitmentId { object: self.object.id, extent: 0, owner: self.world.payer() };
        self.nodes[&0].1.ledger.view().commitment(&id)
    }

    fn made(&self) -> Commitment {
        self.find().expect("committed")
    }

    fn offer(&self, number: usize) -> ProviderOffer {
        let registered = self.nodes[&0].1.ledger.view().provider(&node_id(number)).expect("of the genesis");
        ProviderOffer {
            owner: self.world.account.clone(),
            addresses: registered.addresses,
            domain: registered.domain,
            price: registered.price,
            capacity: registered.capacity,
            bond: None,
        }
    }

    /// All nodes repair from now on.
    fn repair(&self) {
        self.nodes.iter().for_each(|(number, (node, _))| node.offer(Some(self.offer(*number))));
    }

    fn drawn(&self, hands: Hands) -> Option<Assignment> {
        let view = self.nodes[&0].1.ledger.view();
        assignment(&*view, &self.world.genesis.params, &self.made(), hands).ok()
    }

    /// Who repairs, once that is drawn.
    async fn assignment(&self) -> Assignment {
        until("it is drawn", async || self.drawn(Hands::Rebuilder).is_some()).await;
        self.drawn(Hands::Rebuilder).expect("drawn")
    }

    async fn submit(&self, action: Action) {
        let view = self.nodes[&0].1.ledger.view();
        let nonce = view.account(&self.world.payer()).nonce;
        let tx = self.world.tx(nonce, Height(10_000), action);
        self.world.client(250).submit(0, &tx).await.expect("taken");
    }

    fn number(&self, node: NodeId) -> usize {
        (0..7).find(|number| node_id(*number) == node).expect("one of them")
    }

    fn peers(&self, node: NodeId) -> Arc<dyn Peers> {
        self.nodes[&self.number(node)].0.chain().peers()
    }

    /// All columns are stored, each on another node, with the right bytes, to stay.
    async fn is_whole(&self) {
        until("all columns are stored again", async || self.made().live() == 4).await;
        let made = self.made();
        let mut holders: Vec<NodeId> = made.slots.iter().map(|slot| slot.provider).collect();
        for (slot, bytes) in made.slots.iter().zip(&self.object.columns) {
            let columns = &self.nodes[&self.number(slot.provider)].1.columns;
            let chunk = u32::try_from(limits::CHUNK).expect("256 KiB");
            let starts = (0..made.column_len).step_by(limits::CHUNK);
            let read = starts.flat_map(|start| columns.read(&slot.column, start, chunk).expect("stored").bytes);
            assert!(read.eq(bytes.iter().copied()), "the column's bytes");
            let is_kept = async || {
                let places = columns.places(None, 99).expect("readable");
                places.iter().any(|stored| stored.state == PlaceState::Committed && stored.place.column == slot.column)
            };
            until("it is committed", is_kept).await;
        }
        holders.sort_unstable();
        holders.dedup();
        assert_eq!(holders.len(), 4, "on each at most one");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_on_a_node_that_is_gone_is_stored_again_and_it_may_come_back() {
    let mut stored = Stored::new(&[]).await;
    stored.repair();
    let (node, disk) = stored.nodes.remove(&3).expect("running");
    node.shutdown().await;
    stored.world.net.crash(node_id(3));
    until("another has its column", async || stored.made().slots[3].provider != node_id(3)).await;
    stored.is_whole().await;
    let status = || stored.nodes[&0].1.ledger.view().provider(&node_id(3)).expect("registered").status;
    assert_eq!(status(), ProviderStatus::Suspended);
    let settings = Settings { offer: Some(stored.offer(3)), ..Settings::default() };
    let _back = stored.world.start_with(3, &disk, settings).await;
    until("it takes part again", async || status() == ProviderStatus::Active).await;
}

#[tokio::test(start_paused = true)]
async fn who_was_drawn_reads_and_stores_with_the_ticket_and_nobody_else() {
    let stored = Stored::new(&[3]).await;
    let Assignment { rebuilder, draw, targets, .. } = stored.assignment().await;
    let ticket = RepairTicket { commitment: stored.made().id, draw: draw.epoch };
    let length = u32::try_from(limits::GROUP).expect("small");
    let read = async |from: NodeId, ticket, column: usize, at: usize| {
        let (column, access) = (stored.object.column(column), ReadAccess::Ticket(ticket));
        let request = GetRequest { column, access, start: 0, length };
        let answer = ask(&*stored.peers(from), node_id(at), get::range(&request)).await;
        answer.map_err(|error| error.refusal().expect("refused").code)
    };
    for from in (0..7).map(node_id) {
        let answer = read(from, ticket, 1, 1).await.map(|(_, bytes)| bytes.len());
        let is_drawn = targets.iter().any(|target| target.provider == from);
        let expect = if is_drawn { Ok(limits::GROUP) } else { Err(RefusalCode::Denied) };
        assert_eq!(answer, expect);
    }
    let stranger = stored.world.client(251);
    let request = GetRequest { column: stored.object.column(1), access: ReadAccess::Ticket(ticket), start: 0, length };
    let answer = stranger.ask::<_, GetResponse>(1, Protocol::Get, &request, Bytes::new()).await;
    assert_eq!(answer.expect_err("refused").code, RefusalCode::Denied);
    let later = RepairTicket { draw: draw.epoch.after(9), ..ticket };
    assert_eq!(read(rebuilder, later, 1, 1).await.map(drop), Err(RefusalCode::Busy), "this node may be behind");
    let object = ostrakon_proto::id::ObjectId::new([9; 32]);
    let none = RepairTicket { commitment: CommitmentId { object, ..ticket.commitment }, ..ticket };
    assert_eq!(read(rebuilder, none, 1, 1).await.map(drop), Err(RefusalCode::NotFound));
    // Another column that a holder has is not the commitment's.
    let other = TestObject::new(900, CODE);
    stored.world.client(249).store(&stored.world, 2, &other, 1).await;
    let request = GetRequest { column: other.column(1), access: ReadAccess::Ticket(ticket), start: 0, length };
    let answer = ask(&*stored.peers(rebuilder), node_id(2), get::range(&request)).await;
    assert!(answer.expect_err("refused").is_refused_as(RefusalCode::Denied));

    let target = targets.iter().map(|target| target.provider).find(|target| *target != rebuilder).expect("some");
    let upload = UploadId([5; 16]);
    let good = OpenRepair { upload, ticket, index: 3, leaving: false };
    let open = async |from, to, asked| {
        let answer = ask(&*stored.peers(from), to, put::repair(asked)).await;
        answer.map_err(|error| error.refusal().expect("refused").code)
    };
    let denied = Err(RefusalCode::Denied);
    assert_eq!(open(node_id(1), target, good).await, denied, "not drawn");
    assert_eq!(open(rebuilder, node_id(1), good).await, denied, "a holder");
    assert_eq!(open(rebuilder, target, OpenRepair { index: 2, ..good }).await, denied, "it is stored");
    assert_eq!(open(rebuilder, target, OpenRepair { index: 200, ..good }).await, denied);
    assert_eq!(open(rebuilder, target, OpenRepair { leaving: true, ..good }).await, denied, "it does not drain");
    // Wrong bytes are refused.
    let finish = async |bytes: &Bytes, manifest: &Bytes| {
        assert_eq!(open(rebuilder, target, good).await, Ok(put::Taken::default()));
        for (chunk, offset) in bytes.chunks(limits::CHUNK).zip((0..).step_by(limits::CHUNK)) {
            let call = put::chunk(upload, offset, Bytes::copy_from_slice(chunk));
            ask(&*stored.peers(rebuilder), target, call).await.expect("taken");
        }
        let answer = ask(&*stored.peers(rebuilder), target, put::finish(upload, manifest.clone())).await;
        answer.map(drop).map_err(|error| error.refusal().expect("refused").code)
    };
    let columns = &stored.object.columns;
    assert_eq!(finish(&columns[2], &stored.object.bytes).await, Err(RefusalCode::Corrupt));
    let other = TestObject::new(1_200_001, CODE);
    assert_eq!(finish(&other.columns[3], &other.bytes).await, Err(RefusalCode::BadRequest), "another object");
    assert_eq!(finish(&columns[3], &stored.object.bytes).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_refuses_is_replaced() {
    let stored = Stored::new(&[3]).await;
    stored.submit(Action::ReportLoss(ReportLoss { commitment: stored.made().id, index: 2 })).await;
    stored.nodes[&2].1.columns.lose_everything();
    until("two are lost", async || stored.made().live() == 2).await;
    let Assignment { rebuilder, targets, .. } = stored.assignment().await;
    assert!(targets.len() > 2 && targets[0].provider == rebuilder);
    let full = targets[1].provider;
    stored.nodes[&stored.number(full)].1.columns.set_capacity(0);
    stored.repair();
    stored.is_whole().await;
    let made = stored.made();
    assert!(made.slots[2].provider == rebuilder && made.slots[3].provider != full, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn who_sends_wrong_bytes_spoils_no_repair() {
    let mut stored = Stored::new(&[3]).await;
    let (node, _disk) = stored.nodes.remove(&1).expect("running");
    node.shutdown().await;
    stored.world.net.crash(node_id(1));
    let (_peers, requests) = stored.world.net.join(node_id(1));
    let liar = tokio::spawn(async move {
        while let Some(inbound) = requests.next(RequestClass::Bulk).await {
            let wrong = Frame::new(&Ok::<_, Refusal>(GetResponse { siblings: vec![] }), vec![7; limits::GROUP].into());
            inbound.reply.send(wrong);
        }
    });
    stored.repair();
    until("the column is stored", async || stored.made().slots[3].state == SlotState::Live).await;
    let slot = stored.made().slots[3];
    stored.nodes[&stored.number(slot.provider)].1.columns.scrub_column(&slot.column).expect("as it is named");
    liar.abort();
}

/// Who adds an object may name a column that is not the code's: nobody stores anything, and in the end nobody is asked
/// to.
#[tokio::test(start_paused = true)]
async fn a_column_that_is_not_what_its_name_says_is_stored_by_nobody() {
    let object = TestObject::new(1_200_000, CODE).named(3, ColumnId::new([9; 32]));
    let stored = Stored::of(object, &[3]).await;
    stored.repair();
    until("its slot is struck", async || stored.made().slots[3].state == SlotState::Struck).await;
    let made = stored.made();
    assert_eq!((made.live(), made.ticket), (3, None));
    for number in 3..7 {
        let columns = &stored.nodes[&number].1.columns;
        assert_eq!((columns.usage().columns, columns.usage().upload_bytes), (0, 0), "node {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn columns_that_are_no_codeword_end_the_commitment() {
    let object = TestObject::new(1_200_000, CODE);
    let mut bytes = object.columns[1].to_vec();
    // The last byte of the last row.
    *bytes.last_mut().expect("of three rows") ^= 1;
    let stored = Stored::of(object.changed(1, bytes.into()), &[3]).await;
    let providers = || {
        let view = stored.nodes[&0].1.ledger.view();
        [0, 1, 2].map(|number| view.provider(&node_id(number)).expect("registered"))
    };
    let before = providers();
    assert!(before.iter().all(|provider| provider.used > 0));
    stored.repair();
    until("its commitment ends", async || stored.find().is_none()).await;
    for (before, after) in before.iter().zip(providers()) {
        assert_eq!((after.used, after.bond), (0, before.bond), "no holder pays for it");
    }
}

#[tokio::test(start_paused = true)]
async fn who_drains_moves_its_columns() {
    let stored = Stored::new(&[]).await;
    stored.repair();
    stored.submit(Action::Drain(Drain { node: node_id(2) })).await;
    until("it is moved", async || stored.made().slots[2].provider != node_id(2)).await;
    stored.is_whole().await;
    let used = || stored.nodes[&0].1.ledger.view().provider(&node_id(2)).expect("registered").used;
    assert_eq!(used(), 0);
    let left = async || stored.nodes[&2].1.columns.places(None, 9).expect("readable").is_empty();
    until("it has nothing more", left).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_in_time_brings_its_column_back() {
    let mut stored = Stored::new(&[]).await;
    let (node, disk) = stored.nodes.remove(&3).expect("running");
    node.shutdown().await;
    stored.world.net.crash(node_id(3));
    until("it is written off", async || stored.made().slots[3].state == SlotState::Lost).await;
    let settings = Settings { offer: Some(stored.offer(3)), ..Settings::default() };
    let node = stored.world.start_with(3, &disk, settings).await;
    stored.nodes.insert(3, (node, disk));
    until("it is back", async || stored.made().slots[3].state == SlotState::Live).await;
    assert_eq!((stored.made().slots[3].provider, stored.made().ticket), (node_id(3), None));
    stored.is_whole().await;
}

/// What scrubbing finds is reported, and rebuilt elsewhere: no reader and no audit has to meet it first.
#[tokio::test(start_paused = true)]
async fn a_damaged_column_is_found_and_rebuilt_by_another() {
    let mut stored = Stored::new(&[]).await;
    let (node, disk) = stored.nodes.remove(&2).expect("running");
    node.shutdown().await;
    assert!(disk.columns.corrupt(&stored.object.column(2)));
    let repair = RepairPace { scrub_period: Some(Duration::from_secs(20)), ..RepairPace::default() };
    let settings = Settings { offer: Some(stored.offer(2)), repair, ..Settings::default() };
    let node = stored.world.start_with(2, &disk, settings).await;
    stored.nodes.insert(2, (node, disk));
    let bond = || stored.nodes[&0].1.ledger.view().provider(&node_id(2)).expect("registered").bond;
    let before = bond();
    until("it is reported", async || stored.made().slots[2].state == SlotState::Reported).await;
    stored.repair();
    stored.is_whole().await;
    let made = stored.made();
    let cost = bounty(&stored.world.genesis.params.repair, made.code, made.column_len, 1);
    assert_eq!(bond(), before.minus(cost).expect("less than the bond"), "it pays for the repair alone");
}

/// A disk that was only forgotten may be back in the next epoch.
#[tokio::test(start_paused = true)]
async fn what_is_gone_is_reported_when_it_is_gone_in_the_next_epoch_too() {
    let stored = Stored::new(&[]).await;
    let (node, disk) = &stored.nodes[&2];
    // The node sees with each block what it has.
    let height = node.chain().head().height;
    node.chain().wait(height.next().next()).await;
    disk.columns.lose_everything();
    node.offer(Some(stored.offer(2)));
    let mut heads = node.chain().subscribe();
    let lost = heads.see().epoch;
    until("it is reported", async || stored.made().slots[2].state == SlotState::Reported).await;
    let reported = heads.see().epoch;
    assert!(reported > lost && reported <= lost.after(4), "lost in {lost}, reported in {reported}");
    stored.repair();
    stored.is_whole().await;
}
