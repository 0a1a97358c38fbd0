//! What goes over the wire, pinned: names of protocols and heads of messages, from fixed inputs.
//!
//! A difference means that two versions of this program no longer understand each other: a decision, made in a change
//! of its own, with a new version in the protocol's name. The formats of bytes and ledger are pinned in `proto`, beside
//! its `SPEC.md`. [`draws`] are compared with those of a program that is not ours.

mod draws;

use bytes::Bytes;
use ostrakon_proto::{
    id::{AccountId, Amount, BlockId, ChainId, ColumnId, Epoch, Height, NodeId, ObjectId, TxId, VoteKey},
    ledger::{
        history,
        repair::TicketPlace,
        state::CommitmentId,
        tx::{TxList, TxPlace},
        vote::{BlockProposal, SignedProposal, SignedVote, Vote, VoteKind},
    },
    params::Code,
    placement::Draw,
    sign::{Keypair, Purpose},
    wire::{self, Frame, Protocol, chain, consensus, get, manifest, put},
};

const CHAIN: ChainId = ChainId::new([2; 32]);

fn head<T: borsh::BorshSerialize>(message: &T) -> String {
    hex::encode(Frame::new(message, Bytes::new()).head)
}

/// `byte` in hexadecimal, `count` times: most of what these messages have is ids.
fn ids(byte: &str, count: usize) -> String {
    byte.repeat(count)
}

#[test]
fn protocols_are_named_by_chain_and_version() {
    let names = Protocol::ALL.map(|protocol| protocol.name(&CHAIN));
    let expect = ["put/1", "get/1", "manifest/1", "chain/1", "consensus/1"]
        .map(|name| format!("/ostrakon/0202020202020202/{name}"));
    assert_eq!(names, expect);
}

fn ticket() -> get::RepairTicket {
    let commitment = CommitmentId { object: ObjectId::new([5; 32]), extent: 4, owner: AccountId::new([3; 32]) };
    get::RepairTicket { commitment, draw: Epoch(9) }
}

fn ticket_bytes() -> String {
    [&ids("05", 32), "04000000", &ids("03", 32), "0900000000000000"].concat()
}

#[test]
fn put_is_spoken_like_this() {
    let upload = put::UploadId([1; 16]);
    let open = put::Open {
        upload,
        holder: NodeId::new([2; 32]),
        account: AccountId::new([3; 32]),
        draw: Draw { epoch: Epoch(3), number: 4 },
        extent: 5,
        index: 6,
        code: Code { k: 4, n: 12 },
        reserve: 1 << 20,
        ask: Amount(7),
        until: Epoch(8),
    };
    let signature = Keypair::from_seed(&[1; 32]).sign(Purpose::Put, &CHAIN, &open);
    let fields = "03000000000000000400000005000000".to_owned()
        + "06"
        + "040c"
        + "000010000000000007000000000000000800000000000000";
    let opened =
        ["00", &ids("01", 16), &ids("02", 32), &ids("03", 32), &fields, &hex::encode(signature.0), "09000000"].concat();
    assert_eq!(head(&put::PutRequest::Open { open, signature, manifest: 9 }), opened);
    assert_eq!(head(&put::PutRequest::Chunk { upload, offset: 1 << 18 }), ids("01", 17) + "0000040000000000");
    assert_eq!(head(&put::PutRequest::Finish { upload }), "02".to_owned() + &ids("01", 16));
    assert_eq!(head(&put::PutRequest::Abort { upload }), "03".to_owned() + &ids("01", 16));
    let repair = put::OpenRepair { upload, ticket: ticket(), index: 6, leaving: true };
    assert_eq!(head(&put::PutRequest::Repair(repair)), ["04", &ids("01", 16), &ticket_bytes(), "0601"].concat());
    let ready: Result<_, wire::Refusal> = Ok(put::PutResponse::Ready { next: 1 << 18 });
    assert_eq!(head(&ready), "01000000040000000000");
    let opened: Result<_, wire::Refusal> = Ok(put::PutResponse::Opened(put::Taken { next: 1 << 18, early: 6 }));
    assert_eq!(head(&opened), "0103000004000000000006");
}

#[test]
fn get_and_manifest_are_spoken_like_this() {
    let request = get::GetRequest {
        column: ColumnId::new([1; 32]),
        access: get::ReadAccess::Public,
        start: 1 << 18,
        length: 1 << 14,
    };
    assert_eq!(head(&request), ids("01", 32) + "00" + "0000040000000000" + "00400000");
    let shown = get::GetRequest { access: get::ReadAccess::Token(get::ReadToken([9; 32])), ..request };
    assert_eq!(head(&shown), ids("01", 32) + "01" + &ids("09", 32) + "0000040000000000" + "00400000");
    let repairs = get::GetRequest { access: get::ReadAccess::Ticket(ticket()), ..shown };
    assert_eq!(head(&repairs), ids("01", 32) + "02" + &ticket_bytes() + "0000040000000000" + "00400000");
    let answer: Result<_, wire::Refusal> = Ok(get::GetResponse { siblings: vec![[7; 32], [8; 32]] });
    assert_eq!(head(&answer), "0102000000".to_owned() + &ids("07", 32) + &ids("08", 32));
    assert_eq!(head(&manifest::ManifestRequest { object: ObjectId::new([5; 32]) }), ids("05", 32));
}

#[test]
fn chain_is_spoken_like_this() {
    let (nine, key) = ("0900000000000000", vec![7, 8]);
    let (from, height, id) = (Height(9), Height(9), TxId::new([5; 32]));
    assert_eq!(head(&chain::ChainRequest::Head), "00");
    assert_eq!(head(&chain::ChainRequest::Submit { relayed: chain::Relayed::Yes }), "0101");
    assert_eq!(head(&chain::ChainRequest::Blocks { from }), "02".to_owned() + nine);
    assert_eq!(head(&chain::ChainRequest::Tip { from }), "03".to_owned() + nine);
    let records = "04".to_owned() + nine + "01000000" + "02000000" + "0708";
    assert_eq!(head(&chain::ChainRequest::Records { from, keys: vec![key] }), records);
    assert_eq!(head(&chain::ChainRequest::Transaction { from, id }), "05".to_owned() + nine + &ids("05", 32));
    assert_eq!(head(&chain::ChainRequest::Block { from, height }), "06".to_owned() + nine + nine);
    assert_eq!(head(&chain::ChainRequest::Handovers { from }), "07".to_owned() + nine);
    assert_eq!(head(&chain::ChainRequest::Providers { after: None }), "0800");
    let tickets = chain::ChainRequest::Tickets { from: TicketPlace::FIRST, limit: 64 };
    assert_eq!(head(&tickets), "1100".to_owned() + &ids("00", 32) + "00000000" + &ids("00", 32) + "40000000");
    let faults = |after| head(&chain::ChainRequest::Faults { epoch: Epoch(9), after });
    assert_eq!(faults(None), "12".to_owned() + nine + "00");
    assert_eq!(faults(Some(NodeId::new([5; 32]))), "12".to_owned() + nine + "01" + &ids("05", 32));
    let dial_back = chain::ChainRequest::DialBack { address: "/ip4/192.0.2.1/tcp/1".to_owned() };
    assert_eq!(head(&dial_back), "13".to_owned() + "14000000" + &hex::encode("/ip4/192.0.2.1/tcp/1"));
    assert_eq!(head(&Ok::<_, wire::Refusal>(chain::ChainResponse::DialedBack)), "0107");
    let answers = [
        chain::ChainResponse::Verdicts,
        chain::ChainResponse::Blocks,
        chain::ChainResponse::Answer,
        chain::ChainResponse::Hints,
    ];
    assert_eq!(answers.map(|answer| head(&Ok::<_, wire::Refusal>(answer))), ["0101", "0102", "0103", "0104"]);
    let peaks: Vec<_> = (0..3_u64)
        .scan(history::Peaks::default(), |peaks, block| {
            peaks.append(&BlockId::new([u8::try_from(block).expect("small"); 32]));
            Some(peaks.clone())
        })
        .collect();
    let row = history::HistoryRange::of(&peaks[2]).last().expect("three leaves are two trees");
    assert_eq!(head(&chain::ChainRequest::Past(row)), "0b000000000000000002000000000000000200000000000000");
    assert_eq!(head(&chain::ChainRequest::Snapshots), "09");
    let after = |after| head(&chain::ChainRequest::Chunk { height: Height(9), after });
    assert_eq!(after(None), "0a090000000000000000");
    let activity = |before| {
        let account = AccountId::new([5; 32]);
        head(&chain::ChainRequest::Activity { from: Height(9), account, before, limit: 32 })
    };
    let asked = "0c0900000000000000".to_owned() + &ids("05", 32);
    assert_eq!(activity(None), asked.clone() + "00" + "20000000");
    let before = TxPlace { height: Height(9), list: TxList::Charged, index: 3 };
    assert_eq!(activity(Some(before)), asked + "01" + nine + "01" + "03000000" + "20000000");
    assert_eq!(after(Some([7; 32])), "0a090000000000000001".to_owned() + &ids("07", 32));
}

#[test]
fn consensus_is_spoken_like_this() {
    let (key, height, block) = (Keypair::from_seed(&[1; 32]), Height(9), BlockId::new([5; 32]));
    let (voter, nine) = (hex::encode(key.public::<()>().bytes()), "0900000000000000");
    let vote = Vote { kind: VoteKind::Precommit, height, round: 2, block: Some(block) };
    let signed = SignedVote::sign(vote, &key, &CHAIN);
    let fields = "01".to_owned() + nine + "02000000" + "01" + &ids("05", 32) + &hex::encode(signed.signature.0);
    assert_eq!(head(&consensus::ConsensusRequest::Vote(signed)), "01".to_owned() + &voter + &fields);
    let proposal = BlockProposal { height, round: 2, valid_round: None, block };
    let signed = SignedProposal::sign(proposal, &key, &CHAIN);
    let fields = nine.to_owned() + "02000000" + "00" + &ids("05", 32) + &hex::encode(signed.signature.0);
    assert_eq!(head(&consensus::ConsensusRequest::Proposal(signed)), "00".to_owned() + &voter + &fields);
    let (incarnation, earlier) = (consensus::Incarnation([6; 16]), vec![consensus::Incarnation([4; 16])]);
    let claim = consensus::Claim { key: key.public(), asked: VoteKey::new([7; 32]), incarnation, earlier };
    let signed = consensus::SignedClaim::sign(claim, &key, &CHAIN);
    let fields = ids("07", 32) + &ids("06", 16) + "01000000" + &ids("04", 16) + &hex::encode(signed.signature.0);
    assert_eq!(head(&consensus::ConsensusRequest::LastSeen(signed)), "05".to_owned() + &voter + &fields);
}

#[test]
fn a_refusal_has_a_code_and_words() {
    let refusal: Result<(), _> = Err(wire::Refusal::new(wire::RefusalCode::Full, "is full"));
    assert_eq!(head(&refusal), "00".to_owned() + "05" + "07000000" + &hex::encode("is full"));
}
