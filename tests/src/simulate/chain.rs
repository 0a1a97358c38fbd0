//! The ledger of a simulated network: blocks at the times that the simulator chooses, by the rules of real ones.
//!
//! In come actions and storage proofs; out comes which of them a block took. Every block is proposed as a validator
//! proposes it; now and then another validator's part is done as well: the block is executed, and all money counted.
//! Not here: what nodes do with it.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result, ensure};
use ostrakon_proto::{
    audit::StorageProof,
    codec,
    id::{AccountId, Amount, Height, NodeId, TxId},
    ledger::{
        CheckedTx, Genesis, MemoryRecords, Pending, ProposedBlock, Proposer, Rules, execute,
        proofs::ProofKey,
        propose,
        state::{Key, Records},
        tx::{Action, DecidedBlock, Tx, TxBody},
        vote::{QuorumCertificate, SignedVote, ValidatorKeys, Vote, VoteKind},
    },
    limits,
    sign::Keypair,
};

/// Blocks of which one is checked in full.
const CHECKED: u64 = 64;
/// Bytes of actions in a block: their transactions are a little longer.
const BLOCK: usize = limits::BLOCK / 2;

/// A ledger in memory, and the only validator's keys.
#[derive(Debug)]
pub struct SimulatedChain {
    /// The rules of the next block.
    pub rules: Rules,
    /// The state after the last.
    pub state: MemoryRecords,
    /// Actions that were refused, by why.
    pub refused: BTreeMap<String, u64>,
    keys: ValidatorKeys,
}

/// An action, and the key of the account that does it.
pub type Request<'a> = (&'a Keypair, Action);

impl SimulatedChain {
    /// The chain of this genesis.
    ///
    /// # Errors
    /// When the genesis is invalid.
    pub fn found(genesis: &Genesis, keys: ValidatorKeys) -> Result<Self> {
        genesis.validate()?;
        let state = MemoryRecords::new(&genesis.changes());
        Ok(Self { rules: Rules::from(genesis), state, refused: BTreeMap::new(), keys })
    }

    /// Adds a block of this time, or one right after the last, with these actions, and more blocks if they do not fit.
    /// Says of each action whether it was applied.
    ///
    /// # Errors
    /// When the rules of blocks are broken: that is a finding.
    pub fn submit(&mut self, now_ms: u64, requests: &[Request<'_>]) -> Result<Vec<bool>> {
        let mut applied = Vec::with_capacity(requests.len());
        loop {
            let (mut bytes, rest) = (0, &requests[applied.len()..]);
            let fits = |request: &&Request<'_>| {
                bytes += codec::encode(&request.1).len();
                bytes < BLOCK
            };
            let count = rest.iter().take_while(fits).count();
            applied.extend(self.block(now_ms, &rest[..count])?);
            if applied.len() == requests.len() {
                return Ok(applied);
            }
        }
    }

    fn block(&mut self, now_ms: u64, requests: &[Request<'_>]) -> Result<Vec<bool>> {
        let txs = self.sign(requests);
        let ids: Vec<TxId> = txs.iter().map(Tx::id).collect();
        let checked = CheckedTx::check_many(&self.rules, txs, |_| false).into_iter().map(|tx| tx.map(Arc::new));
        let checked: Vec<_> = checked.collect::<Result<_, _>>()?;
        let made = self.make(now_ms, &checked, &BTreeMap::new())?;
        for (_, error) in &made.rejected {
            *self.refused.entry(error.to_string()).or_default() += 1;
        }
        let mut taken = made.block.txs.iter().map(Tx::id).peekable();
        Ok(ids.into_iter().map(|id| taken.next_if_eq(&id).is_some()).collect())
    }

    /// Signs each action as its account's next transaction.
    fn sign(&self, requests: &[Request<'_>]) -> Vec<Tx> {
        let (valid_until, mut nonces) = (Height(self.state.tip().height.0 + 10), BTreeMap::<AccountId, u64>::new());
        let sign = |(key, action): &Request<'_>| {
            let account = key.public();
            let nonce = nonces.entry(account).or_insert_with(|| self.state.account(&account).nonce);
            let body =
                TxBody { account, nonce: *nonce, valid_until, salt: 0, fee: Amount::ZERO, action: action.clone() };
            *nonce += 1;
            Tx::sign(TxBody { fee: self.rules.offer(&body), ..body }, key, &self.rules.chain)
        };
        requests.iter().map(sign).collect()
    }

    /// Adds blocks of this time on, until all these proofs are in one. Says how many blocks it took.
    ///
    /// # Errors
    /// When the rules of blocks are broken, or one of the proofs does not count.
    pub fn prove(&mut self, now_ms: u64, mut proofs: BTreeMap<ProofKey, Arc<StorageProof>>) -> Result<()> {
        loop {
            let made = self.make(now_ms, &[], &proofs)?;
            let before = proofs.len();
            proofs.retain(|key, _| !made.block.proofs.contains_key(key));
            if proofs.is_empty() {
                return Ok(());
            }
            ensure!(proofs.len() < before, "a proof of {:?} does not count", proofs.keys().next());
        }
    }

    /// Whether columns of nodes that were written off are still to be swept.
    pub fn is_sweeping(&self) -> bool {
        let (first, last) = (Key::WrittenOff(NodeId::LEAST), Key::WrittenOff(NodeId::GREATEST));
        !self.state.scan(&first, &last, 1).is_empty()
    }

    fn make(
        &mut self,
        now_ms: u64,
        txs: &[Arc<CheckedTx>],
        proofs: &BTreeMap<ProofKey, Arc<StorageProof>>,
    ) -> Result<ProposedBlock> {
        let proposer = Proposer { key: self.keys.vote.public(), beacon: &self.keys.beacon, round: 0, now_ms };
        let made = propose(&self.rules, &self.state, Pending { txs, proofs }, &proposer)?;
        let is_checked = made.block.header.height.0.is_multiple_of(CHECKED);
        if is_checked {
            let changes =
                execute(&self.rules, &self.state, &self.decide(&made)).context("a proposed block is invalid")?;
            ensure!(changes == made.changes, "who proposes a block and who executes it disagree");
        }
        self.state.commit(&made.changes);
        self.rules = Rules::at(self.rules.chain, &self.state);
        let minted = self.state.tip().running.minted;
        ensure!(!is_checked || self.state.total() == u128::from(minted.0), "money is not conserved");
        Ok(made)
    }

    fn decide(&self, made: &ProposedBlock) -> DecidedBlock {
        let block = made.block.clone();
        let (height, id) = (block.header.height, block.header.id());
        let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(id) };
        let signed = SignedVote::sign(vote, &self.keys.vote, &self.rules.chain);
        let signatures = [(signed.voter, signed.signature)].into_iter().collect();
        DecidedBlock { block, certificate: QuorumCertificate { height, round: 0, block: id, signatures } }
    }
}
