//! Enough transactions to fill every block: accounts that set their name again and again, free of charge.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, stream};
use ostrakon_net::{Peers, ask};
use ostrakon_proto::{
    codec,
    id::{Amount, ChainId, Height, NodeId},
    ledger::{
        state::{Key, Record},
        tx::{Action, SetName, Tx, TxBody},
    },
    limits,
    sign::Keypair,
    wire::chain::{self, Relayed},
};
use tokio::time::{self, Instant};

/// Transactions of one account that wait for blocks: those of one look.
const WAITING: u64 = 16;
/// Between two looks at what is in blocks.
const LOOK: Duration = Duration::from_millis(200);
/// Transactions that are in no block after this are sent again.
const LOST: Duration = Duration::from_secs(15);
/// Accounts whose transactions fit one request.
const TOGETHER: usize = 32;
/// Requests at a time: one takes as long as the line is.
const IN_FLIGHT: usize = 16;

/// What pays: an account, and how far it is.
struct Payer {
    key: Keypair,
    /// The nonce after the last transaction that was sent.
    sent: u64,
    at: Instant,
}

/// Sends until `stop`; how many transactions were sent.
pub(crate) async fn run(
    (peers, chain): (Arc<dyn Peers>, ChainId),
    nodes: Vec<NodeId>,
    accounts: Vec<Keypair>,
    stop: Arc<AtomicBool>,
) -> Result<u64> {
    let mut payers: Vec<Payer> = accounts.into_iter().map(|key| Payer { key, sent: 0, at: Instant::now() }).collect();
    let (mut count, mut turn) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let nonces = nonces(peers.as_ref(), nodes[0], &payers).await?;
        let mut batch = Vec::new();
        for (payer, nonce) in payers.iter_mut().zip(nonces) {
            if nonce < payer.sent && payer.at.elapsed() < LOST {
                continue;
            }
            (payer.sent, payer.at) = (nonce + WAITING, Instant::now());
            batch.push((nonce..payer.sent).map(|nonce| tx(&payer.key, nonce, &chain)).collect::<Vec<Tx>>());
        }
        let calls = batch.chunks(TOGETHER).zip(nodes.iter().cycle().skip(turn)).map(|(some, node)| {
            let txs: Vec<Tx> = some.concat();
            count += u64::try_from(txs.len()).expect("a count fits");
            ask(peers.as_ref(), *node, chain::submit(txs.iter(), Relayed::No))
        });
        // What is refused now is sent again later.
        let calls: Vec<_> = calls.collect();
        let _refused: Vec<_> = stream::iter(calls).buffer_unordered(IN_FLIGHT).collect().await;
        turn = (turn + 1) % nodes.len();
        time::sleep(LOOK).await;
    }
    Ok(count)
}

/// Sets the account's name; about 430 bytes.
fn tx(key: &Keypair, nonce: u64, chain: &ChainId) -> Tx {
    let value = vec![u8::try_from(nonce % 256).expect("a byte"); limits::NAME_VALUE];
    let action = Action::SetName(SetName { name: [7; 32], version: nonce, value: Some(value) });
    let body = TxBody {
        account: key.public(),
        nonce,
        valid_until: Height(limits::VALID_BLOCKS),
        salt: 0,
        fee: Amount::ZERO,
        action,
    };
    Tx::sign(body, key, chain)
}

/// The nonce of each account, as a node says it.
async fn nonces(peers: &dyn Peers, node: NodeId, payers: &[Payer]) -> Result<Vec<u64>> {
    let mut nonces = Vec::new();
    for page in payers.chunks(limits::PAGE / 2) {
        let keys = page.iter().map(|payer| Key::Account(payer.key.public()).to_bytes());
        let answer = ask(peers, node, chain::records(Height(0), keys.collect())).await?;
        for record in answer.said {
            let bytes = record.value.context("all accounts are of the genesis")?;
            match codec::decode(&bytes, limits::HEAD).context("a record of an account")? {
                Record::Account(account) => nonces.push(account.nonce),
                other => bail!("the record of an account is {other:?}"),
            }
        }
    }
    if nonces.len() == payers.len() {
        Ok(nonces)
    } else {
        bail!("{} nonces of {} accounts", nonces.len(), payers.len())
    }
}
