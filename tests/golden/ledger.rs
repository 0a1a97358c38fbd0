//! What is signed, hashed and drawn: where a difference would split the network.

use bytes::Bytes;
use ostrakon_proto::{
    beacon::{self, BeaconSecret},
    codec,
    id::{AccountId, Amount, BlockId, ChainId, ColumnId, Epoch, Height, NodeId, ObjectId},
    ledger::{
        state::{Candidate, Domain},
        tx::{Action, Commit, Header, Receipt, SlotClaim, Transfer, Tx, TxBody, tx_root},
    },
    params::{Code, Params},
    placement::{self, Draw, DrawSeed},
    sign::{Keypair, Purpose},
    wire::{self, Frame, put},
};

use crate::Vectors;

const CHAIN: ChainId = ChainId::new([2; 32]);
const DRAW: Draw = Draw { epoch: Epoch(3), nonce: 4 };

/// Adds them.
pub(crate) fn add(made: &mut Vectors) {
    transactions(made);
    blocks(made);
    frames(made);
    draws(made);
    made.insert("params.default", hex::encode(codec::encode(&Params::default())));
}

fn transfer() -> Tx {
    let key = Keypair::from_seed(&[1; 32]);
    let action = Action::Transfer(Transfer { to: AccountId::new([5; 32]), amount: Amount(1_500_000) });
    let body = TxBody { account: key.public(), nonce: 7, valid_until: Height(100), fee: Amount(2_000), action };
    Tx::sign(body, &key, &CHAIN)
}

fn transactions(made: &mut Vectors) {
    let tx = transfer();
    made.insert("tx.transfer", hex::encode(codec::encode(&tx)));
    made.insert("tx.transfer.id", tx.id().to_string());
    let receipt = Receipt {
        account: AccountId::new([1; 32]),
        object: ObjectId::new([2; 32]),
        extent: 3,
        index: 4,
        column: ColumnId::new([5; 32]),
        column_len: 6,
        draw: DRAW,
    };
    let signature = Keypair::from_seed(&[8; 32]).sign(Purpose::Receipt, &CHAIN, &receipt);
    made.insert("tx.receipt.signature", hex::encode(signature.0));
    let claim = SlotClaim { provider: NodeId::new([1; 32]), column: ColumnId::new([2; 32]), receipt: Some(signature) };
    let commit = Commit {
        object: ObjectId::new([2; 32]),
        extent: 0,
        extents: 1,
        size: 100,
        code: Code { k: 1, n: 2 },
        column_len: 128,
        draw: DRAW,
        slots: vec![claim, SlotClaim { receipt: None, ..claim }],
        end: Epoch(50),
    };
    made.insert("tx.commit", hex::encode(codec::encode(&Action::Commit(commit))));
}

fn blocks(made: &mut Vectors) {
    let secret = BeaconSecret::from_seed(&[6; 32]);
    let signature = secret.sign(&CHAIN, Height(9));
    made.insert("beacon.key", secret.public().to_string());
    made.insert("beacon.signature", hex::encode(signature.0));
    made.insert("beacon.mix", hex::encode(beacon::mix(&[1; 32], &signature)));
    let header = Header {
        height: Height(9),
        parent: BlockId::new([1; 32]),
        time_ms: 1_700_000_000_000,
        txs: tx_root(&[transfer().id()]),
        digest: [3; 32],
        proposer: Keypair::from_seed(&[8; 32]).public(),
        beacon: signature,
    };
    made.insert("block.header", hex::encode(codec::encode(&header)));
    made.insert("block.id", header.id().to_string());
}

fn frames(made: &mut Vectors) {
    let open = put::Open {
        upload: put::UploadId([1; 16]),
        holder: NodeId::new([2; 32]),
        account: AccountId::new([3; 32]),
        draw: DRAW,
        extent: 5,
        index: 6,
        code: Code { k: 4, n: 12 },
        reserve: 1 << 20,
    };
    let signature = Keypair::from_seed(&[1; 32]).sign(Purpose::Put, &CHAIN, &open);
    let head = |frame: Frame| hex::encode(frame.head);
    made.insert("wire.put.open", head(Frame::new(&put::Request::Open { open: open.clone(), signature }, Bytes::new())));
    let get = wire::get::Request { column: ColumnId::new([1; 32]), token: None, start: 0, length: 1 << 18 };
    made.insert("wire.get", head(Frame::new(&get, Bytes::new())));
    made.insert("wire.chain.blocks", head(Frame::new(&wire::chain::Request::Blocks { from: Height(9) }, Bytes::new())));
    let refusal: Result<(), _> = Err(wire::Refusal::new(wire::Code::Full, "no room"));
    made.insert("wire.refusal", head(Frame::new(&refusal, Bytes::new())));
}

/// Two nodes that draw differently would refuse each other's commits.
fn draws(made: &mut Vectors) {
    let candidate = |index: u8| {
        let domain = Domain {
            operator: format!("o{}", index % 10),
            infrastructure: format!("i{}", index % 7),
            region: format!("r{}", index % 5),
        };
        Candidate { provider: NodeId::new([index; 32]), domain, weight: u64::from(index) << 30, price: Amount(1) }
    };
    let roster: Vec<Candidate> = (1..=30).map(candidate).collect();
    let seed = DrawSeed { beacon: [9; 32], account: AccountId::new([1; 32]), draw: DRAW, extent: 0 };
    let order = placement::draw(&roster, &seed, Code { k: 4, n: 12 }, 3).expect("the roster is large enough");
    let order: Vec<String> = order.iter().map(|candidate| candidate.provider.bytes()[0].to_string()).collect();
    made.insert("placement.draw", order.join(" "));
}
