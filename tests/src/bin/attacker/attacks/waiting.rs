//! No attack: clients that wait for one block after the other at one validator, as honest ones do.
//!
//! Each has an identity and a connection of its own and asks one question at a time: for the block after the last one
//! that it knows. Where the node is busy or ends its connection, it comes back later, and later still the next time.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use ostrakon_proto::{
    id::Height,
    light::Answer,
    sign::Keypair,
    wire::{Frame, Protocol, chain::ChainRequest},
};
use ostrakon_tests::attack::{CLIENTS, NEIGHBOURS, PREFIXES, Victim};
use tokio::{task::JoinSet, time};

use super::questions::body;
use crate::{mux::Habits, outsider::Outsider, tally::TALLY};

/// How long a client that is refused stays away first, and at most.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(8);

/// One client.
struct Client {
    who: Keypair,
    source: Ipv4Addr,
    victim: Victim,
    outsider: Arc<Outsider>,
    from: Height,
    pause: Duration,
}

/// All clients, until the first of them panics.
pub(super) async fn clients(outsider: Arc<Outsider>) {
    let Some(victim) = outsider.validators().into_iter().next() else { return };
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client {
            who: outsider.identity(),
            source: source(&outsider, number),
            victim: victim.clone(),
            outsider: Arc::clone(&outsider),
            from: Height(1),
            pause: PAUSE,
        };
        clients.spawn(client.run());
    }
    clients.join_next().await;
}

/// The neighbours have the attacker's address, each other one its own.
fn source(outsider: &Outsider, number: usize) -> Ipv4Addr {
    let Some(number) = number.checked_sub(NEIGHBOURS) else { return outsider.plan.source };
    let [a, b, c, _] = outsider.elsewhere(number % PREFIXES).octets();
    Ipv4Addr::new(a, b, c, u8::try_from(1 + number / PREFIXES).expect("fewer than 255 in a network"))
}

impl Client {
    async fn run(mut self) {
        loop {
            // Whatever ended it, the client wants blocks still.
            let _ended = self.wait_for_blocks().await;
            self.stay_away().await;
        }
    }

    async fn wait_for_blocks(&mut self) -> io::Result<()> {
        let connection = self.outsider.connect_as(&self.who, self.source, &self.victim, Habits::default()).await?;
        let mut lane = self.outsider.open(&connection, Protocol::Chain).await?;
        loop {
            let request = ChainRequest::Tip { from: self.from };
            match body::<Answer<()>>(&lane.ask(&Frame::new(&request, Bytes::new())).await?) {
                Some(Answer { tip, .. }) => self.knows(tip.header.height),
                None => self.stay_away().await,
            }
        }
    }

    fn knows(&mut self, height: Height) {
        if self.from == Height(1) {
            TALLY.served();
        }
        (self.from, self.pause) = (height.next(), PAUSE);
    }

    async fn stay_away(&mut self) {
        time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST);
    }
}
