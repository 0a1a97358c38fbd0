//! Golden vectors of the ledger (SPEC, "Ledger"): bytes and names that another implementation must reach.
//!
//! A change here changes the chain: it is a decision of its own, never a repair.

use std::sync::Arc;

use ostrakon_proto::{
    audit::{self, LeafProof},
    beacon::{BeaconSecret, BeaconSignature},
    codec,
    id::{AccountId, AccountKind, Amount, BlockId, ChainId, ColumnId, Epoch, Height, NodeId, NodeKind, ObjectId, TxId},
    ledger::{
        CheckedTx, FeeFactor, Genesis, GenesisAccount, GenesisProvider, GenesisValidator, MemoryRecords, Pending,
        Proposer, Rules, execute, propose,
        repair::TicketPlace,
        state::{
            Bonded, Charter, CommitmentId, Domain, Fault, FaultReason, Key, Membership, NameRecord, Proposal,
            ProposalOutcome, ProposedChange, Record, Renewal, Upgrade,
        },
        tx::{
            Action, Anchor, Ballot, Bond, ColumnLeaf, Consent, DecidedBlock, Drain, Evidence, Extend, FalseHeader,
            Header, Inconsistent, Join, Leave, MadeColumn, Maintain, Mismatch, Move, Propose, Receipt, Repaired,
            RepairedSlot, ReportLoss, Restore, Roots, Seat, SetName, SetRenewal, Together, Transfer, Tx, TxBody,
            Withdraw, columns_hash, tx_proof, tx_root,
        },
        vote::{QuorumCertificate, SignedVote, Vote, VoteKind},
    },
    limits,
    params::{Code, Params, Timing},
    placement::{Caps, Dimension, Draw, DrawSeed, Offer, Roster, RosterEntry, draw, prove_draw},
    sign::{Keypair, Purpose, Signature},
    sum_tree::Sum,
};

fn key(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

fn domain(number: u8) -> Domain {
    Domain { operator: format!("op-{number}"), infrastructure: "cloud".to_owned(), region: "eu".to_owned() }
}

fn genesis() -> Genesis {
    Genesis {
        name: "golden".to_owned(),
        time_ms: 1_700_000_000_000,
        bootstrap: vec!["/ip4/192.0.2.1/tcp/4001/p2p/unhashed".to_owned()],
        membership: Membership::Permissionless,
        params: Params { time: Timing { beacon_blocks: 1, ..Timing::default() }, ..Params::default() },
        accounts: vec![GenesisAccount { account: key(1).public(), balance: Amount(5_000_000) }],
        validators: vec![GenesisValidator {
            owner: key(1).public(),
            key: key(6).public(),
            node: key(2).public(),
            addresses: vec!["/ip4/192.0.2.2/tcp/4001".to_owned()],
            beacon_key: BeaconSecret::from_seed(&[3; 32]).public(),
            bond: Amount(1_000_000_000),
            domain: domain(0),
        }],
        providers: vec![GenesisProvider {
            owner: key(1).public(),
            node: key(4).public(),
            addresses: vec!["/ip4/192.0.2.1/tcp/4001".to_owned()],
            price: Amount(1_000_000),
            capacity: 1 << 40,
            bond: None,
            proven: None,
            domain: domain(1),
        }],
    }
}

/// A chain id that does not depend on the genesis vectors.
const CHAIN: ChainId = ChainId::new([0xcc; 32]);

fn transfer() -> Tx {
    let body = TxBody {
        account: key(1).public(),
        nonce: 0,
        valid_until: Height(100),
        salt: 0,
        fee: Amount(2_000),
        action: Action::Transfer(Transfer { to: AccountId::new([5; 32]), amount: Amount(1_500_000) }),
    };
    Tx::sign(body, &key(1), &CHAIN)
}

#[test]
fn a_transfer() {
    let tx = transfer();
    assert_eq!(hex::encode(codec::encode(&tx)), TRANSFER);
    assert_eq!(tx.id().to_string(), TRANSFER_ID);
}

/// Of these bytes, what is short enough to compare.
fn digest(value: &impl borsh::BorshSerialize) -> String {
    hex::encode(&blake3::hash(&codec::encode(value)).as_bytes()[..16])
}

#[test]
fn a_join_and_its_seat() {
    let (vote, node, beacon) = (key(6), key(2), BeaconSecret::from_seed(&[3; 32]));
    let seat = Seat { owner: key(1).public(), key: vote.public(), node: node.public(), beacon_key: beacon.public() };
    let (consent, vote_consent) = (node.sign(Purpose::Seat, &CHAIN, &seat), vote.sign(Purpose::Seat, &CHAIN, &seat));
    let beacon_proof = beacon.prove(&seat.statement(&CHAIN));
    assert_eq!(hex::encode(consent.0), SEAT_CONSENT);
    assert_eq!(hex::encode(beacon_proof.0), SEAT_PROOF);
    let (addresses, bond) = (vec!["/ip4/192.0.2.2/tcp/4001".to_owned()], Amount(1_000_000_000));
    let Seat { key, node, beacon_key, .. } = seat;
    let join = Join { key, node, addresses, beacon_key, bond, domain: domain(0), consent, vote_consent, beacon_proof };
    assert_eq!(digest(&Action::Join(join)), JOIN);
}

#[test]
fn actions_of_members() {
    let (voter, node) = (key(6).public(), key(4).public());
    let vote = |block| Vote { kind: VoteKind::Prevote, height: Height(9), round: 1, block };
    let signed = |block| SignedVote::sign(vote(block), &key(6), &CHAIN);
    let evidence = Evidence::Votes(signed(None), signed(Some(BlockId::new([7; 32]))));
    let propose = |change| Action::Propose(Propose { change });
    let set = SetName { name: [8; 32], version: 3, value: Some(b"value".to_vec()) };
    assert_eq!(hex::encode(codec::encode(&Action::Bond(Bond { key: voter, amount: Amount(5) }))), BOND);
    assert_eq!(hex::encode(codec::encode(&Action::Leave(Leave { key: voter }))), LEAVE);
    let moved = Move { key: voter, addresses: vec!["/ip4/192.0.2.2/tcp/4001".to_owned()] };
    assert_eq!(hex::encode(codec::encode(&Action::Move(moved))), MOVE);
    assert_eq!(hex::encode(codec::encode(&Action::Drain(Drain { node }))), DRAIN);
    assert_eq!(hex::encode(codec::encode(&Action::Withdraw(Withdraw { node }))), WITHDRAW);
    let maintain = Maintain { node, from: Epoch(9), epochs: 4 };
    assert_eq!(hex::encode(codec::encode(&Action::Maintain(maintain))), MAINTAIN);
    assert_eq!(digest(&Action::Evidence(evidence)), EVIDENCE);
    assert_eq!(digest(&propose(ProposedChange::Params(Box::default()))), PROPOSE_PARAMS);
    assert_eq!(hex::encode(codec::encode(&propose(ProposedChange::ExpelValidator(voter)))), PROPOSE_EXPEL);
    let upgrade = Upgrade { protocol: 2, epoch: Epoch(500) };
    assert_eq!(hex::encode(codec::encode(&propose(ProposedChange::Upgrade(upgrade)))), PROPOSE_UPGRADE);
    assert_eq!(hex::encode(codec::encode(&Action::Vote(Ballot { proposal: 7, yes: true }))), BALLOT);
    let anchor = Action::Anchor(Anchor { hash: [9; 32] });
    assert_eq!(hex::encode(codec::encode(&Action::SetName(set.clone()))), SET_NAME);
    assert_eq!(hex::encode(codec::encode(&anchor)), ANCHOR);
    let together = Together::new(vec![Action::SetName(set), anchor]).expect("they may be together");
    assert_eq!(hex::encode(codec::encode(&Action::Together(together))), TOGETHER);
}

#[test]
fn faults_of_providers() {
    let (epoch, node) = (Epoch(9), NodeId::new([3; 32]));
    assert_eq!(hex::encode(Key::Fault(epoch, node).to_bytes()), KEY_FAULT);
    let reasons = [(FaultReason::Missed, [1; 32]), (FaultReason::WrittenOff, [2; 32])].into();
    assert_eq!(hex::encode(codec::encode(&Record::Fault(Fault { unproven: 5, reasons }))), FAULT);
    assert_eq!(hex::encode(audit::silence(&[7; 32], &node, 5)), SILENCE);
    let commitment = CommitmentId { object: ObjectId::new([1; 32]), extent: 2, owner: AccountId::new([4; 32]) };
    assert_eq!(hex::encode(Fault::lost_column(&commitment, 6, epoch)), LOST_COLUMN);
    assert_eq!(hex::encode(Key::Sweep.to_bytes()), KEY_SWEEP);
    let place = TicketPlace { spare: 3, commitment };
    assert_eq!(hex::encode(codec::encode(&Record::Sweep(place))), SWEEP);
}

#[test]
fn terms_of_objects() {
    let commitment = CommitmentId { object: ObjectId::new([1; 32]), extent: 2, owner: key(1).public() };
    let extend = Action::Extend(Extend { commitment, end: Epoch(9), most: Amount(7) });
    assert_eq!(hex::encode(codec::encode(&extend)), EXTEND);
    let renewal = Renewal { epochs: 720, most: Amount(7) };
    let set = SetRenewal { object: commitment.object, extent: 2, renewal: Some(renewal) };
    assert_eq!(hex::encode(codec::encode(&Action::SetRenewal(set))), SET_RENEWAL);
    assert_eq!(hex::encode(Key::Renewal(commitment).to_bytes()), KEY_RENEWAL);
    assert_eq!(hex::encode(codec::encode(&Record::Renewal(renewal))), RENEWAL);
}

#[test]
fn actions_of_repair() {
    let commitment = CommitmentId { object: ObjectId::new([1; 32]), extent: 2, owner: key(1).public() };
    let (rebuilder, receipt) = (key(4).public(), Signature([5; 64]));
    let slot = RepairedSlot { index: 3, provider: key(4).public(), receipt };
    let repaired = Repaired { commitment, rebuilder, draw: Epoch(6), slots: vec![slot] };
    assert_eq!(digest(&Action::Repaired(repaired)), REPAIRED);
    let leaf = LeafProof { data: vec![7; 1_024], siblings: vec![[8; 32]] };
    assert_eq!(digest(&Action::Restore(Restore { commitment, index: 3, epoch: Epoch(6), leaf })), RESTORE);
    assert_eq!(hex::encode(codec::encode(&Action::ReportLoss(ReportLoss { commitment, index: 3 }))), REPORT_LOSS);
    let made = MadeColumn { index: 3, column: ColumnId::new([9; 32]) };
    let mismatch = Mismatch { commitment, rebuilder, draw: Epoch(6), columns: vec![made] };
    assert_eq!(digest(&Action::Mismatch(mismatch)), MISMATCH);
    let leaf = LeafProof { data: vec![7; 64], siblings: vec![] };
    let proof = Inconsistent { commitment, leaf: 0, leaves: vec![ColumnLeaf { index: 3, leaf }] };
    assert_eq!(digest(&Action::Inconsistent(proof)), INCONSISTENT);
}

#[test]
fn a_false_header() {
    let header = Header {
        height: Height(9),
        round: 1,
        parent: BlockId::new([1; 32]),
        time_ms: 2,
        roots: Roots { txs: [3; 32], charged: [12; 32], proofs: [11; 32] },
        state: [4; 32],
        history: [5; 32],
        validators: [6; 32],
        next_validators: [7; 32],
        proposer: key(6).public(),
        beacon: BeaconSignature([8; 48]),
    };
    let vote = Vote { kind: VoteKind::Precommit, height: Height(9), round: 1, block: Some(header.id()) };
    let vote = SignedVote::sign(vote, &key(6), &CHAIN);
    let decided = Header { parent: BlockId::new([9; 32]), ..header.clone() };
    let proof = codec::decode(&codec::encode(&vec![[10_u8; 32]; 2]), 100).expect("siblings alone");
    let evidence = Evidence::Header(Box::new(FalseHeader { vote, header, decided, proof }));
    assert_eq!(digest(&Action::Evidence(evidence)), FALSE_HEADER);
}

#[test]
fn keys_and_records_of_members() {
    assert_eq!(hex::encode(Key::Name(AccountId::new([1; 32]), [2; 32]).to_bytes()), KEY_NAME);
    assert_eq!(hex::encode(Key::Infrastructure(Dimension::Infrastructure.tag("cloud")).to_bytes()), KEY_INFRASTRUCTURE);
    assert_eq!(hex::encode(Key::Unbonding(Epoch(5), Bonded::Validator(key(6).public())).to_bytes()), KEY_UNBONDING);
    let council = [AccountId::new([1; 32]), AccountId::new([2; 32])].into();
    let upgrade = Some(Upgrade { protocol: 2, epoch: Epoch(500) });
    let charter = Charter { membership: Membership::Hybrid { council }, protocol: 1, upgrade, proposals: 8 };
    assert_eq!(hex::encode(codec::encode(&Record::Charter(charter))), CHARTER);
    let proposal = Proposal {
        number: 7,
        proposer: AccountId::new([1; 32]),
        change: ProposedChange::AdmitProvider(NodeId::new([3; 32])),
        deposit: Amount(0),
        until: Epoch(168),
        votes: [(AccountId::new([2; 32]), true)].into(),
        outcome: ProposalOutcome::Passed(Height(77)),
    };
    assert_eq!(hex::encode(codec::encode(&Record::Proposal(proposal))), PROPOSAL);
    let name = NameRecord { value: b"value".to_vec(), version: 4, deposit: Amount(1_000_000) };
    assert_eq!(hex::encode(codec::encode(&Record::Name(name))), NAME);
}

#[test]
fn a_tree_of_transactions() {
    let ids: Vec<TxId> = (0..5).map(|byte| TxId::new([byte; 32])).collect();
    assert_eq!(hex::encode(tx_root(&[])), TX_ROOT_EMPTY);
    assert_eq!(hex::encode(tx_root(&ids)), TX_ROOT);
    let proof = tx_proof(&ids, 4).expect("it is there");
    assert_eq!(hex::encode(codec::encode(&proof)), TX_PROOF);
    assert_eq!(proof.verify(&tx_root(&ids), &ids[4]), Ok(()));
}

#[test]
fn signatures_of_a_node() {
    let receipt = Receipt {
        account: key(1).public(),
        object: ObjectId::new([6; 32]),
        extent: 7,
        index: 8,
        draw: Draw { epoch: Epoch(10), number: 11 },
        columns: columns_hash((12..16).map(|byte| ColumnId::new([byte; 32]))),
        code: Code { k: 2, n: 4 },
        column_len: 65_536,
        ask: Amount(17),
        until: Epoch(18),
    };
    assert_eq!(hex::encode(key(4).sign(Purpose::Receipt, &CHAIN, &receipt).0), RECEIPT);
    let consent = Consent { owner: key(1).public(), node: key(4).public() };
    assert_eq!(hex::encode(key(4).sign(Purpose::Consent, &CHAIN, &consent).0), CONSENT);
}

#[test]
fn names_as_text() {
    assert_eq!(key(1).public::<AccountKind>().to_string(), ACCOUNT);
    assert_eq!(key(4).public::<NodeKind>().to_string(), NODE);
}

#[test]
fn a_factor_that_blocks_move() {
    let blocks = [limits::BLOCK, limits::BLOCK, 700_000, limits::FEE_TARGET + 1, 0, 1_000, 458_751];
    let steps = blocks.iter().scan(FeeFactor::ONE, |factor, bytes| {
        *factor = factor.after(*bytes);
        Some(hex::encode(codec::encode(factor)))
    });
    assert_eq!(steps.collect::<Vec<_>>().join(" "), FEE_FACTORS);
    assert_eq!(FeeFactor::ONE.after_full(3).times(Amount(1_161)), Amount(1_654));
}

#[test]
fn a_genesis_and_its_first_block() {
    let genesis = genesis();
    assert_eq!(genesis.validate(), Ok(()));
    assert_eq!(genesis.id().to_string(), GENESIS_ID);
    let changes = genesis.changes();
    assert_eq!(hex::encode(changes.tip.state), GENESIS_STATE);
    assert_eq!(hex::encode(genesis.validator_set().hash()), GENESIS_VALIDATORS);
    let (rules, state) = (Rules::from(&genesis), MemoryRecords::new(&changes));
    let (key, beacon) = (key(6).public(), BeaconSecret::from_seed(&[3; 32]));
    let tx = Tx::sign(transfer().body, &self::key(1), &rules.chain);
    let proposer = Proposer { key, beacon: &beacon, round: 0, now_ms: 1_700_000_001_000 };
    let tx = Arc::new(CheckedTx::check(&rules, tx).expect("signed"));
    let proposal = propose(&rules, &state, Pending::txs(&[tx]), &proposer).expect("a version that is known");
    assert_eq!(proposal.rejected, []);
    let header = &proposal.block.header;
    assert_eq!(hex::encode(header.state), BLOCK_STATE);
    assert_eq!(hex::encode(header.history), BLOCK_HISTORY);
    assert_eq!(hex::encode(header.beacon.0), BLOCK_BEACON);
    assert_eq!(hex::encode(proposal.changes.tip.running.mix), BLOCK_MIX);
    let Some(Some(Record::Epoch(epoch))) = proposal.changes.records.get(&Key::Epoch(Epoch(0))) else {
        panic!("the first block completes the first beacon");
    };
    assert_eq!(epoch.beacon.map(hex::encode).as_deref(), Some(EPOCH_BEACON));
    assert_eq!(header.id().to_string(), BLOCK_ID);
    let vote = Vote { kind: VoteKind::Precommit, height: Height(1), round: 0, block: Some(header.id()) };
    let signature = SignedVote::sign(vote, &self::key(6), &rules.chain).signature;
    assert_eq!(hex::encode(signature.0), BLOCK_PRECOMMIT);
    let certificate =
        QuorumCertificate { height: Height(1), round: 0, block: header.id(), signatures: [(key, signature)].into() };
    assert_eq!(execute(&rules, &state, &DecidedBlock { block: proposal.block, certificate }), Ok(proposal.changes));
}

#[test]
fn a_draw() {
    // Sixteen providers with 1 to 16 bytes free on five infrastructures in three regions; the first n hold the caps
    // of 1, 2 and 2, those after them replace.
    let entry = |number: u8| {
        let domain = Domain {
            operator: format!("op-{number}"),
            infrastructure: format!("cloud-{}", number % 5),
            region: format!("region-{}", number % 3),
        };
        let offer = Offer { weight: u64::from(number) + 1, price: Amount(1), domain: (&domain).into() };
        RosterEntry { provider: NodeId::new([number; 32]), offer }
    };
    let roster: Roster = (0..16).map(entry).collect();
    let (summary, code) = (roster.summary(), "2/6".parse().expect("a code"));
    let Sum { hash, weight } = summary.root;
    assert_eq!((hex::encode(hash).as_str(), weight), (ROSTER_ROOT, 136));
    assert_eq!(hex::encode(blake3::hash(&codec::encode(&summary)).as_bytes()), ROSTER_SUMMARY);
    let caps = Caps::of(&summary, code, 3).expect("possible");
    let seed = DrawSeed {
        randomness: [12; 32],
        account: AccountId::new([13; 32]),
        draw: Draw { epoch: Epoch(14), number: 15 },
        extent: 16,
    };
    let order = draw(roster.tree(), &seed, code, &caps).expect("possible");
    let proof = prove_draw(roster.tree(), &seed, code, &caps);
    assert_eq!(hex::encode(blake3::hash(&codec::encode(&proof)).as_bytes()), DRAW_PROOF);
    let numbers: Vec<u8> = order.iter().map(|candidate| candidate.provider.bytes()[0]).collect();
    assert_eq!(numbers, DRAW);
}

const TRANSFER: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000000000000000064000000000000000000000000000000d00700000000000000050505050505050505050505050505050505050505050505050505050505050560e31600000000001bbe824844046d90c21baf64cdbb5598d07bf751dc103a59b158e8a16b08d7f951ad5756237dd24f329f3079c2526ceb3022fa598fdb6dd635848d96fe2eb80d";
const TRANSFER_ID: &str = "7009a6989666c35853a466321bc7dd361f1d7e0e2fdf78b8737056832de27080";
const RECEIPT: &str = "ea70dfc79c95f05d6b0d4bada8ad5a51cac23449cbadeafe5affaf36e576066babc4f3a3b7d718237b816e2b7a15f3f6038c2b8d66fd4eea18ade658ab8a2c06";
const CONSENT: &str = "3449c80061a8d2ff79fc93dac356b30b2d425636a9d54db33275cdcafdbfa62d09baf1ad6a2eb8a4a3b00fe7c5e91f896289093064f2bdf30ba616b9ffce8b06";
const ACCOUNT: &str = "ost132yw8ht5p8cetl2jmvknewjawt9xwzdlrk2pyxlnwjyqrdq0dawqwyl3ty";
const NODE: &str = "ostnode1e2f6c9c9rpc8r4nms0rl7rh7syyw3mz9xpt46aexs7fn8k76he7qtpvg5g";
const GENESIS_ID: &str = "d76051e04de8393e658ecf768aa00a7c00aae99ea32796448b7a8f1cf8881958";
const GENESIS_VALIDATORS: &str = "865185a6b4227abc10881992e780f64feb941d45e3b4099cfdcc1709234b7cba";
const BLOCK_HISTORY: &str = "44befda5251482e6271d955601b121a647949a61ba2347d72451262e611300d4";
const BLOCK_PRECOMMIT: &str = "ffa999c96368953def77c343af328d78908e2b3473b2b41f93dab81adf9d372f8db416897dda81ee85a0ca0c95e01f51b47074a925e42dd8ffbfaf5b37a85b0d";
const GENESIS_STATE: &str = "6e25f616a06adf0745f24130546331591612244f94a39281475db9f63c9c5183";
const EPOCH_BEACON: &str = "28ce785f0b376ed29ba45cd33917e45aa590faffd168c1c567a97bf3526518f7";
const ROSTER_ROOT: &str = "17883e67879c01b0d148ebf6f4a24244b172b62f08af87ccd35c4fc3fb77dc5b";
const ROSTER_SUMMARY: &str = "5e0cd5e82b7a1bb663ff8db33c46907f8665665844105d7ebe2c35111c2a9a86";
const DRAW_PROOF: &str = "dd8bbc900a55472035b9084da4c8eed13c7e34b65bdd9761e03fdef2f919cd2e";
const BLOCK_ID: &str = "ed1c49b52a8032d565bdf8a2d3ddb68cd242220bf5447b2552c929ca6aae3833";
const FEE_FACTORS: &str = "0000120000000000 0040140000000000 c594150000000000 \
    c694150000000000 2ee2120000000000 3a87100000000000 \
    3a87100000000000";
const BLOCK_STATE: &str = "0ab76e178325c9f5eb65864f9f0822729e0bb1a8a519d42a67c8cf210482e661";
const BLOCK_MIX: &str = "3873f86b0e1d51dfaf6e9dc3691063e36af131cbd0a189d4fd9a3bfc45ebd6cd";
const BLOCK_BEACON: &str =
    "b160647393e1dacbaec08511a27648fe457c79b433f3458a1eb211a065b709d868faaad18b0fb472a925959d9937126e";
const DRAW: [u8; 12] = [4, 2, 7, 8, 9, 15, 13, 10, 12, 14, 11, 6];
const SEAT_CONSENT: &str = "cd498a2bac98491804423812ea67bb1f1467af3576bcbb72577cd16c55611497a41a1e25afd40e269602b568eb6dd6fa21b813da13ad54c4e558fe30a1b84408";
const SEAT_PROOF: &str =
    "87436c4cf8e5f10567549e5fbb8e99fdf84c2135d66349db11fd09a34a529a5d42ecae164c33adf6a3a2a756cd053b8e";
const JOIN: &str = "9ae748508aefeaa87b7b1601ce1c24ad";
const MISMATCH: &str = "d4ab299cc74f33657dff82fc357b5dec";
const INCONSISTENT: &str = "0f022f4e079c5d0a72d32b4999c049ea";
const REPAIRED: &str = "691dbc07b0da2e478b29f009663cb4da";
const RESTORE: &str = "fb5405f1709f4dc0f3857bee6edc16f1";
const REPORT_LOSS: &str = "140101010101010101010101010101010101010101010101010101010101010101020000008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c03";
const BOND: &str = "068a875fff1eb38451577acd5afee405456568dd7c89e090863a0557bc7af49f170500000000000000";
const LEAVE: &str = "078a875fff1eb38451577acd5afee405456568dd7c89e090863a0557bc7af49f17";
const MOVE: &str = "118a875fff1eb38451577acd5afee405456568dd7c89e090863a0557bc7af49f1701000000170000002f6970342f3139322e302e322e322f7463702f34303031";
const DRAIN: &str = "08ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c";
const WITHDRAW: &str = "09ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c";
const EVIDENCE: &str = "0b663c547857e5284a34c7b237da3820";
const FALSE_HEADER: &str = "94fe601b4da91317b16962b52230f56f";
const PROPOSE_PARAMS: &str = "f8ce05fd759415feeba87e1fbdc252c5";
const PROPOSE_EXPEL: &str = "0b048a875fff1eb38451577acd5afee405456568dd7c89e090863a0557bc7af49f17";
const PROPOSE_UPGRADE: &str = "0b0502000000f401000000000000";
const BALLOT: &str = "0c070000000000000001";
const SET_NAME: &str =
    "0d08080808080808080808080808080808080808080808080808080808080808080300000000000000010500000076616c7565";
const TOGETHER: &str = "0f020000000d08080808080808080808080808080808080808080808080808080808080808080300000000000000010500000076616c75650e0909090909090909090909090909090909090909090909090909090909090909";
const ANCHOR: &str = "0e0909090909090909090909090909090909090909090909090909090909090909";
const EXTEND: &str = "030101010101010101010101010101010101010101010101010101010101010101020000008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c09000000000000000700000000000000";
const SET_RENEWAL: &str =
    "1701010101010101010101010101010101010101010101010101010101010101010200000001d0020000000000000700000000000000";
const KEY_RENEWAL: &str = "140101010101010101010101010101010101010101010101010101010101010101000000028a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
const RENEWAL: &str = "11d0020000000000000700000000000000";
const KEY_FAULT: &str = "1500000000000000090303030303030303030303030303030303030303030303030303030303030303";
const FAULT: &str = "12050000000000000002000000000101010101010101010101010101010101010101010101010101010101010101040202020202020202020202020202020202020202020202020202020202020202";
const SILENCE: &str = "63c837131915906858cb2d999f1feedd422b9ab77b782ccab64e63879eb0fb27";
const LOST_COLUMN: &str = "529a3e96e1ec6393ff3600e9e39b6a43a7a4056e545bf4463fb83580ba7d7637";
const KEY_SWEEP: &str = "16";
const SWEEP: &str = "1303010101010101010101010101010101010101010101010101010101010101010102000000\
    0404040404040404040404040404040404040404040404040404040404040404";
const MAINTAIN: &str =
    "18ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c09000000000000000400000000000000";
const KEY_NAME: &str = "0801010101010101010101010101010101010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202";
const KEY_INFRASTRUCTURE: &str = "0b4f7a72ab208d3ce3363c9f94ff3f2f54";
const KEY_UNBONDING: &str = "410000000000000005018a875fff1eb38451577acd5afee405456568dd7c89e090863a0557bc7af49f17";
const CHARTER: &str = "0a030200000001010101010101010101010101010101010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202010000000102000000f4010000000000000800000000000000";
const PROPOSAL: &str = "0b070000000000000001010101010101010101010101010101010101010101010101010101010101010103030303030303030303030303030303030303030303030303030303030303030000000000000000a80000000000000001000000020202020202020202020202020202020202020202020202020202020202020201014d00000000000000";
const NAME: &str = "090500000076616c7565040000000000000040420f0000000000";
const TX_ROOT_EMPTY: &str = "2dc0873681aaa78602a91fd4373ea1b9fd0fcedcf8ca2e305a418d10cdcfcbaf";
const TX_ROOT: &str = "78ce80e7e63df6bdf9d5fbcf2f24770a6bddb371932b04b072c53f41a4bd0e7d";
const TX_PROOF: &str = "040000000500000001000000dbeeb470cd76277dd6f6c4f5629d29cb304ee4a680d0270253245174afa5d0e3";
