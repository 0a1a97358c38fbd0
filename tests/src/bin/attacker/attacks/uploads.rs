//! Attacks on disks and on places for uploads, by accounts with little money.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use ostrakon_proto::{
    id::{AccountId, Epoch},
    limits,
    params::Code,
    placement::Draw,
    sign::{Keypair, Purpose},
    wire::{
        Frame, Protocol,
        put::{Open, PutRequest, UploadId},
    },
};
use ostrakon_tests::attack::Victim;
use tokio::time;

use super::questions::head;
use crate::{
    mux::{Habits, Lane},
    outsider::{AGAIN, Outsider, crowd},
    tally::{Verdict, verdict},
};

/// Accounts that open uploads, and uploads of each.
const ACCOUNTS: usize = 2;
const UPLOADS: usize = 128;
/// Before an upload is idle for too long.
const TOUCH: Duration = Duration::from_secs(20);
/// The account that has credit.
const CREDITED: u64 = 2;

/// The signed request for an upload. All nodes of a small network are drawn for this code, whatever the draw.
fn open(
    outsider: &Outsider,
    account: &Keypair,
    victim: &Victim,
    epoch: Epoch,
    (number, reserve): (usize, u64),
) -> Open {
    let account_id: AccountId = account.public();
    let name = format!("upload {number} of {account_id} at {} of seed {}", victim.node, outsider.plan.seed);
    let mut upload = [0; 16];
    upload.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..16]);
    Open {
        upload: UploadId(upload),
        holder: victim.node,
        account: account_id,
        draw: Draw { epoch, number: 0 },
        extent: 0,
        index: 0,
        code: Code { k: 3, n: 6 },
        reserve,
        ask: victim.ask,
        until: epoch.after(10),
    }
}

fn signed(outsider: &Outsider, account: &Keypair, open: Open) -> Frame {
    let signature = account.sign(Purpose::Put, &outsider.plan.chain, &open);
    Frame::new(&PutRequest::Open { open, signature, manifest: 0 }, Bytes::new())
}

/// Uploads of one byte, that stay open.
pub(super) async fn open_uploads(outsider: Arc<Outsider>) {
    crowd(ACCOUNTS * outsider.plan.nodes.len(), |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = outsider.plan.nodes[number / ACCOUNTS].clone();
            let account = outsider.plan.account(u64::try_from(number % ACCOUNTS).expect("small"));
            let connection = outsider.connect(&victim, Habits::default()).await?;
            let epoch = head(&mut outsider.open(&connection, Protocol::Chain).await?).await?.epoch;
            let mut lane = outsider.open(&connection, Protocol::Put).await?;
            loop {
                for number in 0..UPLOADS {
                    let open = open(&outsider, &account, &victim, epoch, (number, 1));
                    lane.ask(&signed(&outsider, &account, open)).await?;
                }
                time::sleep(TOUCH).await;
            }
        }
    })
    .await;
}

/// One upload on each node, as long as the plan wants, written as fast as it is taken.
pub(super) async fn credit(outsider: Arc<Outsider>) {
    crowd(outsider.plan.nodes.len(), |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = outsider.plan.nodes[number].clone();
            let account = outsider.plan.account(CREDITED);
            let mut connection = outsider.connect(&victim, Habits::default()).await?;
            let epoch = head(&mut outsider.open(&connection, Protocol::Chain).await?).await?.epoch;
            let reserve = outsider.plan.credit_bytes;
            let open = open(&outsider, &account, &victim, epoch, (0, reserve));
            let upload = open.upload;
            let mut lane = outsider.open(&connection, Protocol::Put).await?;
            if verdict(&lane.ask(&signed(&outsider, &account, open)).await?) != Verdict::Granted {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            write_all(&mut lane, upload, reserve).await?;
            connection.ended().await;
            Ok(())
        }
    })
    .await;
}

async fn write_all(lane: &mut Lane, upload: UploadId, reserve: u64) -> io::Result<()> {
    let chunk = vec![0xa5; limits::CHUNK];
    let step = u64::try_from(limits::CHUNK).expect("256 KiB");
    for number in 0..reserve / step {
        let request = Frame::new(&PutRequest::Chunk { upload, offset: number * step }, chunk.clone().into());
        while verdict(&lane.ask(&request).await?) != Verdict::Granted {
            time::sleep(AGAIN).await;
        }
    }
    Ok(())
}
