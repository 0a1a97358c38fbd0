//! False claims that a node may make of the ledger: an honest answer goes in, the lie comes out.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_proto::{
    beacon::BeaconSignature,
    codec,
    id::{Amount, BlockId, ChainId, Height, NodeId},
    ledger::{
        state::{Account, Key, Record},
        tx::{Header, Tx},
        vote::{QuorumCertificate, SignedVote, ValidatorSet, Vote, VoteKind},
    },
    light::{Answer, CertifiedHeader, Handover, Inclusion, PastBlock, ProvenRecord},
    limits,
    sign::Keypair,
    wire::{Frame, Refusal, chain},
};

use super::ok;

/// Above all that is decided in a test.
const USURPED: Height = Height(1_000);

/// One kind of lie, in one kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The account is richer than it is.
    Richer,
    /// What there is, is not there.
    Hidden,
    /// There is something where nothing is.
    Invented,
    /// The record of another key.
    OtherKey,
    /// Fewer records than were asked for.
    Fewer,
    /// The header is not what was decided.
    Header,
    /// Nobody signed it.
    Unsigned,
    /// Strangers signed it.
    Strangers,
    /// Strangers signed it, and are said to be the validators by now.
    Usurpers,
    /// The transaction is at another place of its block.
    Place,
    /// The block lacks a transaction.
    Shorter,
    /// No answer at all, but bytes.
    Garbage,
    /// Payments are higher than they were.
    OtherAmount,
    /// What others did, as if it were the account's.
    Others,
    /// The oldest first.
    Turned,
    /// A transaction is missing that the account sent, between two others.
    Skipped,
    /// The newest that the account sent is missing.
    Behind,
    /// What others paid to the account is missing.
    Unpaid,
    /// No block has the transaction, by its word.
    Unheard,
    /// There is no provider, by its word.
    NoProvider,
    /// It takes transactions, by its word.
    Dropped,
}

impl Lie {
    /// Those that proofs refute.
    pub(crate) const REFUTED: [Self; 12] = [
        Self::Richer,
        Self::Hidden,
        Self::Invented,
        Self::OtherKey,
        Self::Fewer,
        Self::Header,
        Self::Unsigned,
        Self::Strangers,
        Self::Usurpers,
        Self::Place,
        Self::Shorter,
        Self::Garbage,
    ];

    /// Says it before the ledger has heard of the request.
    pub(super) fn tell_immediately(self, request: &chain::ChainRequest, body: &[u8]) -> Option<Frame> {
        let drops = self == Self::Dropped && matches!(request, chain::ChainRequest::Submit { .. });
        let txs: Vec<Tx> = drops.then(|| codec::decode(body, limits::SUBMIT).ok()).flatten()?;
        let verdicts = vec![Ok::<(), Refusal>(()); txs.len()];
        Some(ok(&chain::ChainResponse::Verdicts, codec::encode(&verdicts).into()))
    }

    /// Says it, where it can be said in answer to this request.
    pub(super) fn tell(self, chain: &ChainId, request: &chain::ChainRequest, honest: Frame) -> Frame {
        match request {
            chain::ChainRequest::Tip { .. } => self.twist(chain, honest, |()| ()),
            chain::ChainRequest::Records { .. } => self.twist(chain, honest, |items| self.records(items)),
            chain::ChainRequest::Transaction { .. } => {
                let said = |found: Inclusion| (self != Self::Unheard).then(|| self.inclusion(found));
                self.twist(chain, honest, |found: Option<Inclusion>| found.and_then(said))
            }
            chain::ChainRequest::Block { .. } => self.twist(chain, honest, |block| self.block(block)),
            chain::ChainRequest::Providers { .. } if self == Self::NoProvider => {
                ok(&chain::ChainResponse::Hints, codec::encode(&Vec::<NodeId>::new()).into())
            }
            chain::ChainRequest::Handovers { .. } if self == Self::Usurpers => {
                let (header, certificate) = (usurped(), stranger_signs(chain, &usurped()));
                let handover = Handover { header, certificate, next: strangers() };
                ok(&chain::ChainResponse::Hints, codec::encode(&vec![handover]).into())
            }
            _ => honest,
        }
    }

    fn twist<T: BorshSerialize + BorshDeserialize>(
        self,
        chain: &ChainId,
        honest: Frame,
        said: impl FnOnce(T) -> T,
    ) -> Frame {
        // A refusal is no answer to twist.
        let Ok(answer) = codec::decode::<Answer<T>>(&honest.body, limits::CHAIN_BODY) else { return honest };
        let lie = Answer { tip: self.tip(chain, answer.tip), said: said(answer.said) };
        let body = if self == Self::Garbage { vec![7; 100] } else { codec::encode(&lie) };
        ok(&chain::ChainResponse::Answer, Bytes::from(body))
    }

    fn tip(self, chain: &ChainId, tip: CertifiedHeader) -> CertifiedHeader {
        let CertifiedHeader { mut header, mut certificate } = tip;
        match self {
            Self::Header => header.state[0] ^= 1,
            Self::Unsigned => certificate.signatures.clear(),
            Self::Strangers => {
                header.height = header.height.next();
                certificate = stranger_signs(chain, &header);
            }
            Self::Usurpers => {
                header.height = USURPED.next();
                header.validators = strangers().hash();
                certificate = stranger_signs(chain, &header);
            }
            _ => {}
        }
        CertifiedHeader { header, certificate }
    }

    fn records(self, mut items: Vec<ProvenRecord>) -> Vec<ProvenRecord> {
        let account = |item: &ProvenRecord| matches!(Key::from_bytes(&item.key), Some(Key::Account(_)));
        let rich = Record::Account(Account { balance: Amount(u64::MAX), nonce: 0 });
        match self {
            Self::Fewer => _ = items.pop(),
            Self::OtherKey => items.iter_mut().for_each(|item| item.key.push(1)),
            Self::Hidden => items.iter_mut().for_each(|item| item.value = None),
            Self::Invented => items.iter_mut().filter(|item| item.value.is_none()).for_each(|item| {
                item.value = Some(codec::encode(&rich));
            }),
            Self::Richer => items.iter_mut().filter(|item| account(item)).for_each(|item| {
                item.value = Some(codec::encode(&rich));
            }),
            _ => {}
        }
        items
    }

    fn inclusion(self, mut inclusion: Inclusion) -> Inclusion {
        if self == Self::Place {
            inclusion.proof.count += 1;
        }
        inclusion
    }

    fn block(self, mut block: PastBlock) -> PastBlock {
        if self == Self::Shorter {
            block.txs.pop();
        }
        block
    }
}

fn stranger() -> Keypair {
    Keypair::from_seed(&[99; 32])
}

fn strangers() -> ValidatorSet {
    ValidatorSet::new([(stranger().public(), 1)])
}

/// The block after which they say that they decide.
fn usurped() -> Header {
    Header {
        height: USURPED,
        round: 0,
        parent: BlockId::new([0; 32]),
        time_ms: 0,
        txs: [0; 32],
        state: [0; 32],
        history: [0; 32],
        validators: [0; 32],
        next_validators: strangers().hash(),
        proposer: stranger().public(),
        beacon: BeaconSignature([0; 48]),
    }
}

fn stranger_signs(chain: &ChainId, header: &Header) -> QuorumCertificate {
    let (height, round, block) = (header.height, header.round, header.id());
    let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(block) };
    let signed = SignedVote::sign(vote, &stranger(), chain);
    QuorumCertificate { height, round, block, signatures: [(signed.voter, signed.signature)].into() }
}
