//! Fills address books: identities that announce themselves as nodes at addresses of others, or where no node is.
//!
//! What is announced is identify's message, a protobuf written by hand, so that it can be false.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use ostrakon_proto::{id::AccountId, sign::Keypair};
use tokio::time;

use crate::{
    mux::Habits,
    noise::varint,
    outsider::{Outsider, crowd},
};

/// Identities at a time, and how long each stays.
const IDENTITIES: usize = 200;
const STAY: Duration = Duration::from_secs(2);

/// Identities that come, announce a false address and go.
pub(super) async fn fill(outsider: Arc<Outsider>) {
    crowd(IDENTITIES, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
            let who = outsider.identity();
            let source = outsider.elsewhere(number);
            let identify = Some(announcement(&outsider, &who, number));
            let habits = Habits { identify, ..Habits::default() };
            let mut connection = outsider.connect_as(&who, source, victim, habits).await?;
            // It ends by itself, or with this.
            let _stayed = time::timeout(STAY, connection.ended()).await;
            Ok(())
        }
    })
    .await;
}

/// Identify's message: this identity listens where it does not, and takes part in Kademlia.
fn announcement(outsider: &Outsider, who: &Keypair, number: usize) -> Vec<u8> {
    let key: AccountId = who.public();
    let key = [&[0x08, 0x01, 0x12, 0x20][..], key.bytes()].concat();
    let chain = &outsider.plan.chain.to_string()[..16];
    let other = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
    let address = match number % 2 {
        0 => tcp(*other.tcp.ip(), other.tcp.port()),
        // No node listens there.
        _ => tcp(outsider.elsewhere(number), 9),
    };
    let kad = format!("/ostrakon/{chain}/kad/1");
    let version = format!("/ostrakon/{chain}/1");
    [
        field(1, &key),
        field(2, &address),
        field(3, kad.as_bytes()),
        field(3, b"/ipfs/id/1.0.0"),
        field(5, version.as_bytes()),
        field(6, b"ostrakon/0.1.0"),
    ]
    .concat()
}

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len()), bytes].concat()
}

/// The multiaddress of a TCP port.
fn tcp(ip: Ipv4Addr, port: u16) -> Vec<u8> {
    [&[4][..], &ip.octets(), &[6], &port.to_be_bytes()].concat()
}
