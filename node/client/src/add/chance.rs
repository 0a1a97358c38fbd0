//! The randomness that an add draws its holders by: an epoch's beacon, or for a young account the pulse after it began.
//!
//! In go a roster, the height that the account began at, and the pulse if it is known; out comes the randomness, as
//! soon as there is one.

use ostrakon_proto::{
    id::Height,
    ledger::{DrawChance, pulse_height},
};

use super::AddError;
use crate::{Client, Event, Events, chain::Roster};

impl Client {
    /// What an account that began at `since` draws by from this roster. With `wait` it waits until there is something.
    ///
    /// # Errors
    /// [`AddError::TooNew`] when it does not wait, a chain error when the network makes no blocks.
    pub(super) async fn draw_chance(
        &self,
        roster: &Roster,
        (since, mut known): (Height, Option<[u8; 32]>),
        wait: bool,
        events: &Events,
    ) -> Result<[u8; 32], AddError> {
        let span = self.rules().params.time.beacon_blocks;
        let DrawChance::Pulse(number) = DrawChance::of(roster.first, since, span) else { return Ok(roster.beacon) };
        let until = pulse_height(number, span);
        loop {
            let pulse = match known.take() {
                Some(pulse) => Some(pulse),
                None => self.chain.pulse(number).await?,
            };
            if let Some(pulse) = pulse {
                return Ok(pulse);
            }
            let height = self.chain.trust().height();
            if !wait {
                return Err(AddError::TooNew { until, height });
            }
            events.tell(Event::TooNew { until, height });
            self.chain.reach(until.max(height.next())).await?;
        }
    }
}
