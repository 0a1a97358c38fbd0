//! All that an upload is planned by, in one answer: the chain's parameters, the account, and who can be drawn, with the
//! addresses of those who are.
//!
//! In goes what a client wants to store; out come the keys of the records to prove, and the part of the roster that the
//! draw meets. The client reads the same from the proven records, and draws again.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{BadAnswer, ProvenRecord};
use crate::{
    id::{AccountId, Epoch},
    ledger::{
        DrawChance,
        state::{Account, DrawIdentity, EpochRecord, Key, Provider, Record, Records, Running},
        tx::Header,
    },
    limits,
    params::{Code, CodeChoice, Params},
    placement::{self, Caps, Draw, DrawSeed, PlacementError, RosterTree},
};

/// The records that every answer has.
const LEAST: usize = 3;

/// Who wants to store what.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BasisQuery {
    /// The account that will pay.
    pub account: AccountId,
    /// The code, or the class that decides it.
    pub code: CodeChoice,
    /// Which of the account's draws, modulo their number.
    pub draw: u32,
    /// The epoch of which the client knows the roster: it is then not sent again.
    pub known: Option<Epoch>,
}

/// What an upload is planned by.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct UploadBasis {
    /// The chain's values and parameters, and the account; then, once there is an epoch to draw in, its record, the
    /// pulse if the account draws by one, and the providers that are drawn for extent 0.
    pub records: Vec<ProvenRecord>,
    /// Their part of the epoch's roster; all of a small one.
    pub roster: RosterTree,
}

impl BasisQuery {
    /// The keys of the records to prove as of `records`, and the roster.
    pub fn gather(&self, records: &dyn Records) -> (Vec<Key>, RosterTree) {
        let mut keys = vec![Key::Running, Key::Params, Key::Account(self.account)];
        let newest = records.tip().running.clock.drawable().filter(|epoch| Some(*epoch) != self.known);
        let rosters = records.rosters();
        let found = newest.and_then(|epoch| records.epoch(epoch).zip(rosters.of(epoch)));
        let Some((record, roster)) = found else { return (keys, RosterTree::default()) };
        keys.push(Key::Epoch(record.epoch));
        let span = records.params().time.beacon_blocks;
        let identity = records.account(&self.account).draw_identity(self.account);
        let chance = DrawChance::of(record.first, identity.since, span);
        if let DrawChance::Pulse(number) = chance {
            keys.push(Key::Pulse(number));
        }
        let plan = chance
            .read(&record, records)
            .and_then(|randomness| self.plan(identity, &records.params(), &record, randomness));
        let Some(plan) = plan else { return (keys, RosterTree::default()) };
        // A dead end is shown too.
        keys.extend(plan.drawn(roster).unwrap_or_default());
        (keys, placement::shown(roster, &record.roster, &plan.seed, (plan.code, &plan.caps)))
    }

    /// What to draw by; `None` where the network cannot carry the code.
    fn plan(
        &self,
        identity: DrawIdentity,
        params: &Params,
        record: &EpochRecord,
        randomness: [u8; 32],
    ) -> Option<DrawPlan> {
        let code = params.code(self.code, record.roster.eligible())?;
        let caps = Caps::of(&record.roster, code, params.min_domains).ok()?;
        let draw = Draw { epoch: record.epoch, number: self.draw.checked_rem(params.draws).unwrap_or(0) };
        Some(DrawPlan { seed: DrawSeed { randomness, account: identity.account, draw, extent: 0 }, code, caps })
    }
}

/// A draw to be made.
struct DrawPlan {
    seed: DrawSeed,
    code: Code,
    caps: Caps,
}

impl DrawPlan {
    /// The keys of the providers that are drawn.
    fn drawn(&self, roster: &RosterTree) -> Result<Vec<Key>, PlacementError> {
        let drawn = placement::draw(roster, &self.seed, self.code, &self.caps)?;
        Ok(drawn.into_iter().take(limits::PAGE).map(|entry| Key::Provider(entry.provider)).collect())
    }

    /// The same of a part that is to be of this epoch's roster, and to show the draw.
    fn shown(&self, part: &RosterTree, record: &EpochRecord) -> Result<Vec<Key>, BadAnswer> {
        match self.drawn(part) {
            _ if part.root() != record.roster.root => Err(BadAnswer::Roster),
            Err(PlacementError::Hidden(_)) => Err(BadAnswer::Roster),
            drawn => Ok(drawn.unwrap_or_default()),
        }
    }
}

/// What an upload is planned by, proven.
#[derive(Clone, Debug)]
pub struct ProvenBasis {
    /// The chain's values.
    pub running: Running,
    /// Its parameters.
    pub params: Params,
    /// The account; one that the ledger does not have is empty.
    pub account: Account,
    /// The newest epoch to draw in, unless the client knows it.
    pub epoch: Option<EpochRecord>,
    /// The pulse that the account draws by, if it does, and the pulse is complete.
    pub pulse: Option<[u8; 32]>,
    /// Providers, with their addresses.
    pub providers: Vec<Provider>,
    /// A part of the epoch's roster.
    pub roster: RosterTree,
}

impl UploadBasis {
    /// Checks that this answers `query` after the block with this header.
    ///
    /// # Errors
    /// [`BadAnswer`] when something in it is not proven, or is not what was asked for.
    pub fn verify(self, query: &BasisQuery, header: &Header) -> Result<ProvenBasis, BadAnswer> {
        let others = BadAnswer::OtherKeys { asked: self.records.len() };
        let keys: Option<Vec<Key>> = self.records.iter().map(|record| Key::from_bytes(&record.key)).collect();
        let keys = keys.ok_or_else(|| others.clone())?;
        let mut found = keys.iter().zip(super::records(&self.records, header, &keys)?).peekable();
        let mut next = |wanted: Key| match found.next_if(|(key, _)| **key == wanted) {
            Some((_, record)) => Ok(record),
            None => Err(others.clone()),
        };
        let (Some(Record::Running(running)), Some(Record::Params(params))) = (next(Key::Running)?, next(Key::Params)?)
        else {
            return Err(others);
        };
        let account = match next(Key::Account(query.account))? {
            Some(Record::Account(account)) => account,
            _ => Account::default(),
        };
        let (epoch, pulse, providers, roster) = Default::default();
        let mut proven = ProvenBasis { running, params, account, epoch, pulse, providers, roster };
        if keys.len() > LEAST {
            let drawable = proven.running.clock.drawable().ok_or_else(|| others.clone())?;
            let Some(Record::Epoch(record)) = next(Key::Epoch(drawable))? else { return Err(others) };
            let mut randomness = record.beacon;
            let identity = account.draw_identity(query.account);
            let chance = DrawChance::of(record.first, identity.since, proven.params.time.beacon_blocks);
            if let DrawChance::Pulse(number) = chance {
                let pulse = next(Key::Pulse(number))?;
                randomness = pulse.and_then(|pulse| if let Record::Pulse(pulse) = pulse { Some(pulse) } else { None });
                proven.pulse = randomness;
            }
            let plan = randomness.and_then(|randomness| query.plan(identity, &proven.params, &record, randomness));
            for key in plan.map_or(Ok(Vec::new()), |plan| plan.shown(&self.roster, &record))? {
                if let Some(Record::Provider(provider)) = next(key)? {
                    proven.providers.push(provider);
                }
            }
            (proven.epoch, proven.roster) = (Some(record), self.roster);
        }
        if found.next().is_some() { Err(others) } else { Ok(proven) }
    }
}
