//! Lies in what comes with a proof: about the tip it is as of, and about what is said.

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_proto::{
    id::{AccountId, Amount},
    ledger::{
        state::{Account, Key, Record},
        tx::{Action, Anchor, TxList},
    },
    light::{Activity, Answer, CertifiedHeader, Inclusion, PastBlock, ProvenRecord, UploadBasis, activity::ProvenTx},
    placement::{Offer, RosterEntry, RosterTree},
    wire::{
        Frame, RefusalCode,
        chain::{ChainRequest, ChainResponse},
    },
};

use crate::{Lie, Question, forge, hints, refuse, say, say_of};

/// In any of them.
pub const ANY: [Lie; 10] = [
    Lie::new("header-altered", |question| {
        tip(question, |_, mut tip| {
            tip.header.state[0] ^= 1;
            tip
        })
    }),
    Lie::new("unsigned", |question| {
        tip(question, |_, mut tip| {
            tip.certificate.signatures.clear();
            tip
        })
    }),
    Lie::new("too-few-signatures", |question| {
        tip(question, |_, mut tip| {
            tip.certificate.signatures = tip.certificate.signatures.into_iter().take(1).collect();
            tip
        })
    }),
    Lie::new("certificate-of-another-block", |question| {
        tip(question, |_, mut tip| {
            tip.header.height = tip.header.height.next();
            tip.certificate.height = tip.header.height;
            tip.certificate.block = tip.header.id();
            tip
        })
    }),
    Lie::new("decided-by-strangers", |question| {
        tip(question, |question, mut tip| {
            tip.header.height = tip.header.height.next();
            forge::signed_by_strangers(question.chain, tip.header)
        })
    }),
    Lie::new("decided-by-usurpers", |question| {
        let usurped = tip(question, |question, tip| forge::tip_of_usurpers(question.chain, tip.header));
        usurped.or_else(|| hints::usurped(question))
    }),
    Lie::new("old-as-new", |question| {
        question.honest?;
        question.memory.first(&proven(question)?)
    }),
    Lie::new("garbage", |question| proven(question).map(|_| say(ChainResponse::Answer, vec![7; 100]))),
    Lie::new("other-kind-of-answer", |question| proven(question).map(|_| say(ChainResponse::Verdicts, vec![]))),
    Lie::new("withheld", |question| proven(question).map(|_| refuse(RefusalCode::NotFound, "there is none"))),
];

/// In records.
pub const RECORDS: [Lie; 8] = [
    Lie::new("richer", |question| account(question, |known| known.balance = Amount(u64::MAX))),
    Lie::new("nonce-ahead", |question| account(question, |known| known.nonce += 7)),
    Lie::new("fees-altered", |question| {
        each(question, |record| {
            if let Record::Params(params) = record {
                params.fees.base = Amount(params.fees.base.0 * 1_000);
            }
        })
    }),
    Lie::new("epoch-altered", |question| {
        each(question, |record| {
            if let Record::Running(running) = record {
                running.clock.epoch.0 += 1;
            }
        })
    }),
    Lie::new("hidden", |question| items(question, |items| items.iter_mut().for_each(|item| item.value = None))),
    Lie::new("invented", |question| {
        let account =
            ostrakon_proto::codec::encode(&Record::Account(Account { balance: Amount(1), ..Account::default() }));
        items(question, |items| {
            items.iter_mut().for_each(|item| {
                item.value.get_or_insert_with(|| account.clone());
            })
        })
    }),
    Lie::new("record-of-another-key", |question| {
        items(question, |items| {
            items.iter_mut().for_each(|item| {
                item.key.push(1);
            })
        })
    }),
    Lie::new("fewer-records", |question| items(question, |items| _ = items.pop())),
];

/// In where a transaction is.
pub const TRANSACTION: [Lie; 4] = [
    Lie::new("no-such-transaction", |question| found(question, |_| None)),
    Lie::new("said-to-have-failed", |question| {
        found(question, |inclusion| Some(Inclusion { list: TxList::Charged, ..inclusion }))
    }),
    Lie::new("at-another-place", |question| {
        found(question, |mut inclusion| {
            inclusion.proof.index += 1;
            inclusion.proof.count += 1;
            Some(inclusion)
        })
    }),
    Lie::new("in-another-block", |question| {
        found(question, |mut inclusion| {
            inclusion.block.header.height = inclusion.block.header.height.next();
            Some(inclusion)
        })
    }),
];

/// In a block of the past.
pub const BLOCK: [Lie; 5] = [
    Lie::new("block-without-transaction", |question| block(question, |block| _ = block.txs.pop())),
    Lie::new("block-with-transaction-failed", |question| {
        block(question, |block| block.charged.extend(block.txs.pop()))
    }),
    Lie::new("block-of-other-proofs", |question| block(question, |block| block.block.header.roots.proofs[0] ^= 1)),
    Lie::new("block-of-another-time", |question| block(question, |block| block.block.header.time_ms += 1)),
    Lie::new("block-of-another-height", |question| {
        block(question, |block| {
            block.block.header.height = block.block.header.height.next();
        })
    }),
];

/// In who can be drawn.
pub const DRAW: [Lie; 2] = [
    Lie::new("weights-altered", |question| {
        let heavier = |entry: &RosterEntry| RosterEntry {
            offer: Offer { weight: entry.offer.weight / 2 + 1, ..entry.offer },
            ..*entry
        };
        roster(question, |tree| *tree = tree.leaves().map(heavier).collect())
    }),
    Lie::new("nobody-to-draw", |question| roster(question, |tree| *tree = RosterTree::default())),
];

/// In what an account did and was paid.
pub const ACTIVITY: [Lie; 6] = [
    Lie::new("payment-altered", |question| {
        activity(question, |_, txs| {
            for entry in txs {
                if let Action::Transfer(transfer) = &mut entry.tx.body.action {
                    transfer.amount = Amount(transfer.amount.0 + 1);
                }
            }
        })
    }),
    Lie::new("others-as-own", |question| {
        activity(question, |_, txs| {
            for entry in txs.iter_mut().take(1) {
                entry.tx.body.account = AccountId::GREATEST;
                entry.tx.body.action = Action::Anchor(Anchor { hash: [0; 32] });
            }
        })
    }),
    Lie::new("older-transaction-left-out", |question| {
        activity(question, |account, txs| {
            let own = txs.iter().enumerate().filter(|(_, entry)| entry.tx.body.account == account).nth(1);
            own.map(|(at, _)| at).map(|at| txs.remove(at));
        })
    }),
    Lie::new("own-transaction-left-out", |question| {
        activity(question, |account, txs| {
            let own = txs.iter().position(|entry| entry.tx.body.account == account);
            own.map(|at| txs.remove(at));
        })
    }),
    Lie::new("payment-left-out", |question| {
        activity(question, |account, txs| txs.retain(|entry| entry.tx.body.account == account))
    }),
    Lie::new("oldest-first", |question| activity(question, |_, txs| txs.reverse())),
];

/// The question, when its answer comes with a proof.
fn proven(question: &Question<'_>) -> Option<ChainRequest> {
    let is_proven = |request: &ChainRequest| {
        let is_one =
            matches!(request, ChainRequest::Tip { .. } | ChainRequest::Records { .. } | ChainRequest::Activity { .. });
        let of_blocks = matches!(request, ChainRequest::Transaction { .. } | ChainRequest::Block { .. });
        is_one || of_blocks || matches!(request, ChainRequest::Draw { .. })
    };
    question.chain().filter(is_proven)
}

/// The answer with another tip, whatever it says.
fn tip(question: &Question<'_>, alter: fn(&Question<'_>, CertifiedHeader) -> CertifiedHeader) -> Option<Frame> {
    match proven(question)? {
        ChainRequest::Tip { .. } => twist::<()>(question, |answer| answer.tip = alter(question, answer.tip.clone())),
        ChainRequest::Records { .. } | ChainRequest::Object { .. } => {
            twist::<Vec<ProvenRecord>>(question, |answer| answer.tip = alter(question, answer.tip.clone()))
        }
        ChainRequest::Draw { .. } => {
            twist::<RosterTree>(question, |answer| answer.tip = alter(question, answer.tip.clone()))
        }
        ChainRequest::Transaction { .. } => {
            twist::<Option<Inclusion>>(question, |answer| answer.tip = alter(question, answer.tip.clone()))
        }
        ChainRequest::Activity { .. } => {
            twist::<Activity>(question, |answer| answer.tip = alter(question, answer.tip.clone()))
        }
        _ => twist::<PastBlock>(question, |answer| answer.tip = alter(question, answer.tip.clone())),
    }
}

/// Another answer than the honest one; none where it comes out the same.
fn twist<T: BorshSerialize + BorshDeserialize + Clone + PartialEq>(
    question: &Question<'_>,
    alter: impl FnOnce(&mut Answer<T>),
) -> Option<Frame> {
    let honest = question.body::<Answer<T>>(&ChainResponse::Answer)?;
    let mut lie = honest.clone();
    alter(&mut lie);
    (lie != honest).then(|| say_of(ChainResponse::Answer, &lie))
}

fn items(question: &Question<'_>, alter: impl FnOnce(&mut Vec<ProvenRecord>)) -> Option<Frame> {
    match question.chain()? {
        ChainRequest::Records { .. } | ChainRequest::Object { .. } => {
            twist::<Vec<ProvenRecord>>(question, |answer| alter(&mut answer.said))
        }
        ChainRequest::Basis { .. } => twist::<UploadBasis>(question, |answer| alter(&mut answer.said.records)),
        _ => None,
    }
}

/// Other records under their keys.
fn each(question: &Question<'_>, alter: impl Fn(&mut Record)) -> Option<Frame> {
    items(question, |items| {
        for value in items.iter_mut().filter_map(|item| item.value.as_mut()) {
            if let Ok(mut record) = Record::try_from_slice(value) {
                alter(&mut record);
                *value = ostrakon_proto::codec::encode(&record);
            }
        }
    })
}

/// Another account than the ledger has, where it has one or not.
fn account(question: &Question<'_>, alter: impl Fn(&mut Account)) -> Option<Frame> {
    items(question, |items| {
        for item in items.iter_mut().filter(|item| matches!(Key::from_bytes(&item.key), Some(Key::Account(_)))) {
            let known = item.value.as_ref().and_then(|value| Record::try_from_slice(value).ok());
            let mut account = if let Some(Record::Account(account)) = known { account } else { Account::default() };
            alter(&mut account);
            item.value = Some(ostrakon_proto::codec::encode(&Record::Account(account)));
        }
    })
}

fn found(question: &Question<'_>, alter: impl FnOnce(Inclusion) -> Option<Inclusion>) -> Option<Frame> {
    matches!(question.chain()?, ChainRequest::Transaction { .. }).then_some(())?;
    twist::<Option<Inclusion>>(question, |answer| answer.said = answer.said.take().and_then(alter))
}

fn roster(question: &Question<'_>, alter: impl FnOnce(&mut RosterTree)) -> Option<Frame> {
    match question.chain()? {
        ChainRequest::Draw { .. } => twist::<RosterTree>(question, |answer| alter(&mut answer.said)),
        ChainRequest::Basis { .. } => twist::<UploadBasis>(question, |answer| alter(&mut answer.said.roster)),
        _ => None,
    }
}

fn block(question: &Question<'_>, alter: impl FnOnce(&mut PastBlock)) -> Option<Frame> {
    matches!(question.chain()?, ChainRequest::Block { .. }).then_some(())?;
    twist::<PastBlock>(question, |answer| alter(&mut answer.said))
}

fn activity(question: &Question<'_>, alter: fn(AccountId, &mut Vec<ProvenTx>)) -> Option<Frame> {
    let ChainRequest::Activity { account, .. } = question.chain()? else { return None };
    twist::<Activity>(question, |answer| alter(account, &mut answer.said.txs))
}
