//! A long chain, made on disk within minutes: what a network would take days for.
//!
//! In goes how long and how full, out comes a validator's data directory with genesis, keys and ledger, which
//! `ostrakon-node` runs as its own. Every block is proposed by the rules and decided by all validators there are; no
//! network, no waiting. The same numbers give the same commitments.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon::{key_file, now_ms};
use ostrakon_node::{
    chain::{rocks::Rocks, store::LedgerStore},
    config::{CONFIG_FILE, Config, GENESIS_FILE, NODE_KEY_FILE, Overrides, VALIDATOR_KEY_FILE, read_genesis},
};
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, ColumnId, Height, NodeId, ObjectId, VoteKey},
    ledger::{
        CheckedTx, Genesis, GenesisAccount, GenesisProvider, GenesisValidator, Pending, ProposedBlock, Proposer, Rules,
        propose, rotation,
        state::{CommitmentId, Domain, Key, Membership},
        tree,
        tx::{Action, Block, Commit, DecidedBlock, Receipt, SetName, SlotClaim, Together, Tx, TxBody},
        vote::{QuorumCertificate, SignedVote, ValidatorKeys, Vote, VoteKind},
    },
    light::{Answer, CertifiedHeader, ProvenRecord, proof_file::Certificate},
    limits,
    params::{Code, Governance, Params, Timing},
    placement::{Caps, Draw, DrawSeed, RosterEntry, draw},
    seed::Seed,
    sign::{Keypair, Purpose, Signature},
};

/// Providers; all columns are said to be with them, and only the first is a node.
const PROVIDERS: u8 = 12;
const CODE: Code = Code { k: 4, n: 12 };
const COLUMN_LEN: u64 = 65_536;
/// Commits in one block: as many as there is room for.
const BATCH: u32 = 450;
/// Transactions of a full block, of sixteen names each.
const NAMING: u64 = 182;
/// Commits are made after so many blocks, when there is a draw.
const FIRST: u64 = 2;
const BLOCK_MS: u64 = 1_000;

/// How large a chain to make, and where its node listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Length {
    /// Blocks.
    pub blocks: u64,
    /// Commitments, of twelve slots each.
    pub commitments: u32,
    /// Every so many blocks there is a snapshot.
    pub snapshot_blocks: u64,
    /// Bytes that the ledger may use; 0 keeps all blocks.
    pub budget_bytes: u64,
    /// The TCP port of the validator, on this machine.
    pub port: u16,
    /// When it began, in milliseconds of Unix time; `None` for a chain whose last block is of about now.
    pub began_ms: Option<u64>,
    /// Validators beside the first, which has four times the power of one of them.
    pub more_validators: u8,
    /// Every other block is as large as a block may be, though nothing stays of it in the state.
    pub full_blocks: bool,
}

fn owner() -> Keypair {
    Keypair::from_seed(&[1; 32])
}

/// The seed of the key of a node.
pub fn node_seed(index: u8) -> Seed {
    Seed::new([100 + index; 32])
}

/// The seed of the keys of a validator.
pub fn validator_seed(index: u8) -> Seed {
    Seed::new([200 + index; 32])
}

/// The key that a validator votes with.
pub fn vote_key(index: u8) -> VoteKey {
    validator(index).vote.public()
}

fn node(index: u8) -> Keypair {
    Keypair::from_seed(node_seed(index).bytes())
}

fn validator(index: u8) -> ValidatorKeys {
    ValidatorKeys::from_seed(validator_seed(index).bytes())
}

fn genesis(length: &Length) -> Genesis {
    let lasts_ms = length.blocks.saturating_add(60).saturating_mul(BLOCK_MS);
    let time_ms = length.began_ms.unwrap_or_else(|| now_ms().saturating_sub(lasts_ms));
    let owner: AccountId = owner().public();
    let domain = |index: u8| Domain {
        operator: format!("operator-{index}"),
        infrastructure: format!("cloud-{index}"),
        region: format!("region-{index}"),
    };
    // Nobody listens at port 1: the others are unreachable, which shows immediately.
    let address = |index| format!("/ip4/127.0.0.1/tcp/{}", if index == 0 { length.port } else { 1 });
    let provider = |index: u8| GenesisProvider {
        owner,
        node: node(index).public(),
        addresses: vec![address(index)],
        price: Amount(1),
        capacity: 1 << 40,
        bond: None,
        proven: None,
        domain: domain(index),
    };
    let seat = |index: u8| GenesisValidator {
        owner,
        key: validator(index).vote.public(),
        node: node(index).public(),
        addresses: vec![address(index)],
        beacon_key: validator(index).beacon.public(),
        // The first decides alone: the others may be away.
        bond: Amount(Params::default().bonds.validator.0 * if index == 0 { 4 } else { 1 }),
        domain: domain(index),
    };
    Genesis {
        name: "made".to_owned(),
        time_ms,
        bootstrap: Vec::new(),
        membership: Membership::default(),
        params: Params {
            time: Timing { beacon_blocks: FIRST, ..Timing::default() },
            min_domains: 1,
            governance: Governance { max_power_share: 100, ..Governance::default() },
            ..Params::default()
        },
        accounts: vec![GenesisAccount { account: owner, balance: Amount(1 << 60) }],
        validators: (0..=length.more_validators).map(seat).collect(),
        providers: (0..PROVIDERS).map(provider).collect(),
    }
}

/// The object of the `number`-th commitment.
pub fn object(number: u32) -> ObjectId {
    blake3::hash(&number.to_le_bytes()).into()
}

/// The name of the `number`-th commitment.
pub fn commitment(number: u32) -> CommitmentId {
    CommitmentId { object: object(number), extent: 0, owner: owner().public() }
}

/// Makes the data directory of the validator of a chain this large.
///
/// # Errors
/// When the disk fails, or the rules refuse what is made here.
pub fn make(dir: &Path, length: &Length) -> Result<Genesis> {
    let genesis = genesis(length);
    genesis.validate()?;
    fs::create_dir_all(dir)?;
    fs::write(dir.join(GENESIS_FILE), toml::to_string(&genesis)?)?;
    key_file::write(dir.join(NODE_KEY_FILE), &node_seed(0))?;
    key_file::write(dir.join(VALIDATOR_KEY_FILE), &validator_seed(0))?;
    let Length { snapshot_blocks, budget_bytes, port, .. } = length;
    let config = format!("listen = [\"/ip4/127.0.0.1/tcp/{port}\"]\nsnapshot_interval_blocks = {snapshot_blocks}\n");
    fs::write(dir.join(CONFIG_FILE), format!("{config}ledger_budget_bytes = {budget_bytes}\n"))?;
    let maker = Maker::open(dir, &genesis, length)?;
    let mut made: u32 = 0;
    for height in 1..=length.blocks {
        if length.full_blocks {
            maker.block(if height.is_multiple_of(2) { maker.names(height)? } else { Vec::new() })?;
            continue;
        }
        let end = if height > FIRST { made.saturating_add(BATCH).min(length.commitments) } else { made };
        maker.block((made..end).map(|number| maker.commit(number)).collect::<Result<_>>()?)?;
        made = end;
        while height.is_multiple_of(length.snapshot_blocks) && maker.ledger.tend()? {}
    }
    ensure!(made == length.commitments, "{} blocks have room for {made} commitments", length.blocks);
    Ok(genesis)
}

/// The ledger of a directory that was made, open.
///
/// # Errors
/// When it does not open.
pub fn open(dir: &Path) -> Result<Rocks> {
    let keep = Config::load(dir, &Overrides::default())?.pruning(dir);
    Ok(Rocks::open(&dir.join("chain"), &read_genesis(&dir.join(GENESIS_FILE))?)?.with_pruning(keep)?)
}

/// Adds empty blocks to the chain that was made in `dir`, without end, with the background work beside it; `told` gets
/// the height of each that is stored.
///
/// # Errors
/// When the disk fails.
pub fn extend(dir: &Path, length: &Length, told: impl Fn(u64)) -> Result<()> {
    let maker = Maker::open(dir, &read_genesis(&dir.join(GENESIS_FILE))?, length)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                if !maker.ledger.tend().expect("the disk is well") {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        loop {
            maker.block(Vec::new())?;
            told(maker.ledger.view().tip().height.0);
        }
    })
}

/// The proof of the `number`-th commitment by the newest block of a chain that was made in `dir`.
///
/// # Errors
/// When it cannot be read.
pub fn certificate(dir: &Path, genesis: &Genesis, number: u32) -> Result<Certificate> {
    let ledger = Rocks::open(&dir.join("chain"), genesis)?;
    let (records, id) = (ledger.view(), commitment(number));
    let height = records.tip().height;
    let DecidedBlock { block, certificate } = ledger.block(height)?.context("the newest block is kept")?;
    let item = |key: &Key| {
        let (bytes, value) = (key.to_bytes(), records.get(key).map(|record| codec::encode(&record)));
        Ok(ProvenRecord { value, proof: tree::prove(&*records, height.0, &bytes)?, key: bytes })
    };
    let said: Result<_> = Certificate::keys(id.object, id.owner, 1).iter().map(item).collect();
    let tip = CertifiedHeader { header: block.header, certificate };
    Ok(Certificate::new(genesis.id(), Vec::new(), (id.object, id.owner), vec![Answer { tip, said: said? }]))
}

/// The one who makes all blocks.
struct Maker {
    rules: Rules,
    keys: Vec<ValidatorKeys>,
    owner: Keypair,
    /// The keys that receipts are signed with.
    nodes: BTreeMap<NodeId, Keypair>,
    ledger: Rocks,
}

impl Maker {
    fn open(dir: &Path, genesis: &Genesis, length: &Length) -> Result<Self> {
        let nodes = (0..PROVIDERS).map(|index| (node(index).public(), node(index))).collect();
        let keys = (0..=length.more_validators).map(validator).collect();
        Ok(Self { rules: Rules::from(genesis), keys, owner: owner(), nodes, ledger: open(dir)? })
    }

    fn block(&self, txs: Vec<Tx>) -> Result<()> {
        let tip = self.ledger.view().tip();
        let (now_ms, turns) = (tip.running.time_ms + BLOCK_MS, rotation(&*self.ledger.view()));
        let key = turns.proposer(tip.height.next(), 0).context("there are validators")?;
        let keys = self.keys.iter().find(|keys| keys.vote.public() == key).context("all keys are here")?;
        let proposer = Proposer { key, beacon: &keys.beacon, round: 0, now_ms };
        let checked = CheckedTx::check_many(&self.rules, txs, |_| false).into_iter().map(|tx| tx.map(Arc::new));
        let txs: Vec<_> = checked.collect::<Result<_, _>>()?;
        let ProposedBlock { block, changes, rejected } =
            propose(&self.rules, &*self.ledger.view(), Pending::txs(&txs), &proposer)?;
        ensure!(rejected.is_empty() && block.txs.len() == txs.len(), "a block refuses: {:?}", rejected.first());
        Ok(self.ledger.commit(&self.decide(block), &changes)?)
    }

    fn decide(&self, block: Block) -> DecidedBlock {
        let (height, id) = (block.header.height, block.header.id());
        let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(id) };
        let signed = self.keys.iter().map(|keys| SignedVote::sign(vote, &keys.vote, &self.rules.chain));
        let signatures = signed.map(|signed| (signed.voter, signed.signature)).collect();
        DecidedBlock { block, certificate: QuorumCertificate { height, round: 0, block: id, signatures } }
    }

    /// As many transactions as fit into a block, which set the same names again and again.
    fn names(&self, height: u64) -> Result<Vec<Tx>> {
        let (records, account) = (self.ledger.view(), self.owner.public());
        let (rules, first) = (Rules::at(self.rules.chain, &*records), (height / 2 - 1) * NAMING);
        let naming = |nonce: u64| {
            let parts = (0..limits::PARTS).map(|name: usize| {
                let name = *blake3::hash(&name.to_le_bytes()).as_bytes();
                // The version is that of the transaction before.
                Action::SetName(SetName { name, version: nonce, value: Some(vec![1; limits::NAME_VALUE]) })
            });
            let action = Action::Together(Together::new(parts.collect())?);
            let body = TxBody { account, nonce, valid_until: Height(height + 10), salt: 0, fee: Amount::ZERO, action };
            let body = TxBody { fee: rules.fee(&body), ..body };
            Ok(Tx::sign(body, &self.owner, &self.rules.chain))
        };
        (first..first + NAMING).map(naming).collect()
    }

    /// The `number`-th commit, which is the owner's `number`-th transaction.
    fn commit(&self, number: u32) -> Result<Tx> {
        let records = self.ledger.view();
        let (owner, tip) = (&self.owner, records.tip());
        let epoch = tip.running.clock.drawable().context("the network has a beacon")?;
        let draw_as = Draw { epoch, number: 0 };
        let record = records.epoch(epoch).context("the epoch is kept")?;
        let randomness = record.beacon.context("the epoch's beacon is complete")?;
        let seed = DrawSeed { randomness, account: owner.public(), draw: draw_as, extent: 0 };
        let caps = Caps::of(&record.roster, CODE, self.rules.params.min_domains)?;
        let rosters = records.rosters();
        let drawn = draw(rosters.of(epoch).context("the epoch is kept")?, &seed, CODE, &caps)?;
        let holders: Vec<RosterEntry> = drawn.into_iter().take(usize::from(CODE.n)).copied().collect();
        let mut commit = Commit {
            object: object(number),
            extent: 0,
            extents: 1,
            size: 200_000,
            code: CODE,
            column_len: COLUMN_LEN,
            draw: draw_as,
            slots: Vec::new(),
            until: self.rules.params.receipt_end(draw_as, self.rules.params.term_epochs),
            end: draw_as.epoch.after(self.rules.params.term_epochs),
        };
        commit.slots = (0..CODE.n).zip(&holders).map(|(index, holder)| slot(&commit, index, holder)).collect();
        let receipts = (0..CODE.n).zip(&holders).map(|(index, holder)| self.receipt(&commit, index, holder));
        let receipts: Vec<_> = receipts.collect();
        commit.slots.iter_mut().zip(receipts).for_each(|(slot, receipt)| slot.receipt = receipt);
        let body = TxBody {
            account: owner.public(),
            nonce: u64::from(number),
            valid_until: Height(tip.height.0 + 10),
            salt: 0,
            fee: Amount::ZERO,
            action: Action::Commit(commit),
        };
        let body = TxBody { fee: Rules::at(self.rules.chain, &*records).fee(&body), ..body };
        Ok(Tx::sign(body, owner, &self.rules.chain))
    }

    /// What a holder signs once it has its column.
    fn receipt(&self, commit: &Commit, index: u8, holder: &RosterEntry) -> Option<Signature> {
        let receipt = Receipt { index, ask: holder.offer.price, ..commit.receipt(self.owner.public()) };
        let key = self.nodes.get(&holder.provider);
        key.map(|key| key.sign(Purpose::Receipt, &self.rules.chain, &receipt))
    }
}

/// A slot without a receipt.
fn slot(commit: &Commit, index: u8, holder: &RosterEntry) -> SlotClaim {
    let column: ColumnId = blake3::hash(&[commit.object.bytes().as_slice(), &[index]].concat()).into();
    SlotClaim { provider: holder.provider, column, cap: holder.offer.price, receipt: None }
}
