//! The randomness that an add draws its holders by: an epoch's beacon, or for a young account the pulse after it began.
//!
//! In go a roster and the height that the account began at; out comes the randomness, as soon as there is one.

use std::time::Duration;

use ostrakon_proto::{
    id::Height,
    ledger::{DrawChance, pulse_height},
};
use tokio::time::{Instant, sleep};

use super::AddError;
use crate::{Client, Event, Events, chain::Roster};

/// How long a pulse is waited for without a new block.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);

impl Client {
    /// What an account that began at `since` draws by from this roster. With `wait` it waits until there is something.
    ///
    /// # Errors
    /// [`AddError::Young`] when it does not wait, or the chain does not advance.
    pub(super) async fn draw_chance(
        &self,
        roster: &Roster,
        since: Height,
        wait: bool,
        events: &Events,
    ) -> Result<[u8; 32], AddError> {
        let span = self.rules().params.time.beacon_blocks;
        let DrawChance::Pulse(number) = DrawChance::of(roster.first, since, span) else { return Ok(roster.beacon) };
        let until = pulse_height(number, span);
        let (mut newest, mut deadline) = (Height(0), Instant::now() + PATIENCE);
        loop {
            if let Some(pulse) = self.chain.pulse(number).await? {
                return Ok(pulse);
            }
            let height = self.chain.trust().height();
            if !wait || Instant::now() > deadline {
                return Err(AddError::Young { until, height });
            }
            if newest == Height(0) {
                events.tell(Event::Young { until, height });
            }
            if height > newest {
                (newest, deadline) = (height, Instant::now() + PATIENCE);
            }
            sleep(PAUSE).await;
        }
    }
}
