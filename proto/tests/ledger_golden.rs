//! Golden vectors of the ledger (SPEC, "Ledger"): bytes and names that another implementation must reach.
//!
//! A change here changes the chain: it is a decision of its own, never a repair.

use std::sync::Arc;

use ostrakon_proto::{
    beacon::BeaconSecret,
    codec,
    id::{Account, AccountId, Amount, ChainId, ColumnId, Epoch, Height, Node, NodeId, ObjectId},
    ledger::{
        CheckedTx, Genesis, GenesisAccount, GenesisProvider, GenesisValidator, Memory, Proposer, Rules, execute,
        propose,
        state::{Candidate, Domain, Records},
        tx::{Action, Consent, Decided, Receipt, Transfer, Tx, TxBody},
        vote::{Certificate, SignedVote, Vote, VoteKind},
    },
    params::Params,
    placement::{Draw, DrawSeed, draw},
    sign::{Keypair, Purpose},
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

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
        params: Params::default(),
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
        fee: Amount(2_000),
        action: Action::Transfer(Transfer { to: AccountId::new([5; 32]), amount: Amount(1_500_000) }),
    };
    Tx::sign(body, &key(1), &CHAIN)
}

#[test]
fn a_transfer() {
    let tx = transfer();
    assert_eq!(hex(&codec::encode(&tx)), TRANSFER);
    assert_eq!(tx.id().to_string(), TRANSFER_ID);
}

#[test]
fn signatures_of_a_node() {
    let receipt = Receipt {
        account: key(1).public(),
        object: ObjectId::new([6; 32]),
        extent: 7,
        index: 8,
        column: ColumnId::new([9; 32]),
        column_len: 65_536,
        draw: Draw { epoch: Epoch(10), nonce: 11 },
    };
    assert_eq!(hex(&key(4).sign(Purpose::Receipt, &CHAIN, &receipt).0), RECEIPT);
    let consent = Consent { owner: key(1).public(), node: key(4).public() };
    assert_eq!(hex(&key(4).sign(Purpose::Consent, &CHAIN, &consent).0), CONSENT);
}

#[test]
fn names_as_text() {
    assert_eq!(key(1).public::<Account>().to_string(), ACCOUNT);
    assert_eq!(key(4).public::<Node>().to_string(), NODE);
}

#[test]
fn a_genesis_and_its_first_block() {
    let genesis = genesis();
    assert_eq!(genesis.validate(), Ok(()));
    assert_eq!(genesis.id().to_string(), GENESIS_ID);
    let changes = genesis.changes();
    assert_eq!(hex(&changes.tip.state), GENESIS_STATE);
    assert_eq!(hex(&genesis.validator_set().hash()), GENESIS_VALIDATORS);
    let (rules, state) = (Rules::from(&genesis), Memory::new(&changes));
    assert_eq!(hex(&state.epoch(Epoch(0)).expect("founded with epoch 0").beacon), GENESIS_BEACON);
    let (key, beacon) = (key(6).public(), BeaconSecret::from_seed(&[3; 32]));
    let tx = Tx::sign(transfer().body, &self::key(1), &rules.chain);
    let proposer = Proposer { key, beacon: &beacon, round: 0, now_ms: 1_700_000_001_000 };
    let proposal = propose(&rules, &state, &[Arc::new(CheckedTx::check(&rules, tx).expect("signed"))], &proposer);
    assert_eq!(proposal.rejected, []);
    let header = &proposal.block.header;
    assert_eq!(hex(&header.state), BLOCK_STATE);
    assert_eq!(hex(&header.history), BLOCK_HISTORY);
    assert_eq!(hex(&header.beacon.0), BLOCK_BEACON);
    assert_eq!(header.id().to_string(), BLOCK_ID);
    let vote = Vote { kind: VoteKind::Precommit, height: Height(1), round: 0, block: Some(header.id()) };
    let signature = SignedVote::sign(vote, &self::key(6), &rules.chain).signature;
    assert_eq!(hex(&signature.0), BLOCK_PRECOMMIT);
    let certificate =
        Certificate { height: Height(1), round: 0, block: header.id(), signatures: [(key, signature)].into() };
    assert_eq!(execute(&rules, &state, &Decided { block: proposal.block, certificate }), Ok(proposal.changes));
}

#[test]
fn a_draw() {
    // Sixteen providers with 1 to 16 bytes free on five infrastructures in three regions; the first n hold the caps
    // of 1, 2 and 2, those after them replace.
    let roster: Vec<Candidate> = (0..16)
        .map(|number: u8| Candidate {
            provider: NodeId::new([number; 32]),
            domain: Domain {
                operator: format!("op-{number}"),
                infrastructure: format!("cloud-{}", number % 5),
                region: format!("region-{}", number % 3),
            },
            weight: u64::from(number) + 1,
            price: Amount(1),
        })
        .collect();
    let seed = DrawSeed {
        beacon: [12; 32],
        account: AccountId::new([13; 32]),
        draw: Draw { epoch: Epoch(14), nonce: 15 },
        extent: 16,
    };
    let order = draw(&roster, &seed, "2/6".parse().expect("a code"), 3).expect("possible");
    let numbers: Vec<u8> = order.iter().map(|candidate| candidate.provider.bytes()[0]).collect();
    assert_eq!(numbers, DRAW);
}

const TRANSFER: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c00000000000000006400000000000000d00700000000000000050505050505050505050505050505050505050505050505050505050505050560e31600000000003adbfdd3ea6275aad7f0e4ada82cbf255353d221118f76a8deb6b8fe42cf607f4824e116c4809119423900a388f9e9ee9cea9bfe587f010e46b075eff29b0e06";
const TRANSFER_ID: &str = "79d9d9170b438177a6ce6115132ee57a2f02d193d6924ba1e6317ab3a4aae4bc";
const RECEIPT: &str = "cbf40ce79592865d6f39b24b29f5bce969d2fc6b7fbcef2d3c122854676bc8368f784fb00f29cc846f71da5abb2cd1347775edb6b8f2b1b9c057b8ec67408c04";
const CONSENT: &str = "3449c80061a8d2ff79fc93dac356b30b2d425636a9d54db33275cdcafdbfa62d09baf1ad6a2eb8a4a3b00fe7c5e91f896289093064f2bdf30ba616b9ffce8b06";
const ACCOUNT: &str = "ost132yw8ht5p8cetl2jmvknewjawt9xwzdlrk2pyxlnwjyqrdq0dawqwyl3ty";
const NODE: &str = "ostnode1e2f6c9c9rpc8r4nms0rl7rh7syyw3mz9xpt46aexs7fn8k76he7qtpvg5g";
const GENESIS_ID: &str = "5a943bcf095196361669a59b897cf3e5253537bc15143b13fa5df36ae6329876";
const GENESIS_VALIDATORS: &str = "865185a6b4227abc10881992e780f64feb941d45e3b4099cfdcc1709234b7cba";
const BLOCK_HISTORY: &str = "0b805c1ea1c70d75450dba16b4f33a2745de07ef80f52af6ba476d41e266034b";
const BLOCK_PRECOMMIT: &str = "2cfbe0750c7d776ad959de0ada1c48a5629079da856b55b0c3467b492bfc09ef5b8b7483e6cc6d8950e229f101ee895e3d9bb1631902e0010af26dc390b70a07";
const GENESIS_STATE: &str = "5a71d4a08a8050bca39ddccad396164adf4a39afa5bca40887ae372826e0b0e7";
const GENESIS_BEACON: &str = "4d0ebd8015963394da8279f27637e76c7fe6338f8e01f30ea5c23f3d40e5ec9e";
const BLOCK_ID: &str = "ed3ceb855a960933f8f0a82ad80f020d22069a358583fb54d8570a394b33f301";
const BLOCK_STATE: &str = "7261d55ced256cc0baf8b5bd7d9ed67ccd24967819d5a84fc12096818aa337f4";
const BLOCK_BEACON: &str =
    "b179a54357795ab184529571bcfda11d165dc9298a20d5ea36401a37408b04dcfe4967c6bb89fa3f98480974537c19f9";
const DRAW: [u8; 12] = [9, 15, 14, 5, 13, 7, 6, 12, 10, 11, 8, 4];
