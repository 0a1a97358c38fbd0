//! What an add will be, before a byte is sent: code, price, and whether the account and the network can carry it.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use ostrakon_proto::{
    id::{AccountId, Amount, ColumnId, Epoch, Height, NodeId, ObjectId},
    layout::Layout,
    ledger::{
        Rules,
        repair::bounty,
        state::{Account, Renewal},
        tx::{Action, Commit, SetRenewal, SlotClaim, TxBody, batches},
    },
    light::BasisQuery,
    limits,
    params::Code,
    placement::{Caps, Draw, DrawSeed, PlacementError, draw},
    sign::Signature,
};

use serde::Serialize;

use super::{AddError, builder::AddOptions, placing::Placing};
use crate::{
    Client, Events, Survives,
    chain::{Basis, Chain, Roster},
};

/// Extents that are placed concurrently.
const PLACED: usize = 16;

/// What an add would cost, and what the object would survive. Serialises to the JSON of `ostrakon add --dry-run
/// --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// Bytes of the file, or of the directory's pack.
    pub size: u64,
    /// Its code.
    pub code: Code,
    /// Repair starts when no more than this many columns are left.
    pub repair_threshold: u8,
    /// Bytes of all columns together.
    pub stored_bytes: u64,
    /// Epochs that are paid for.
    pub epochs: u64,
    /// Price of storage for these epochs. Holders that must be replaced may cost more or less.
    pub price: Amount,
    /// What is locked for it: every column at the price of the dearest holder, so that others can take over. The rest
    /// returns.
    pub locked: Amount,
    /// What is locked beside it at most: for the repair of columns that find no holder. The rest returns.
    pub repair: Amount,
    /// Fees of the transactions.
    pub fee: Amount,
    /// What the account has.
    pub balance: Amount,
    /// What may be lost once every column is stored.
    pub survives: Survives,
}

/// What was decided at the start of an add.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rules: Arc<Rules>,
    pub(crate) account: AccountId,
    pub(crate) code: Code,
    pub(crate) caps: Caps,
    pub(crate) funds: Account,
    pub(crate) epochs: u64,
    /// How the ledger renews it, if it does.
    pub(crate) renewal: Option<Renewal>,
    /// Receipts of an extent that are wanted: without more, nobody is waited for.
    pub(crate) wanted: usize,
    /// The epoch in progress.
    now: Epoch,
    /// The providers of the newest epoch that can be drawn in.
    roster: Arc<Roster>,
    /// What the account draws by.
    randomness: [u8; 32],
    /// The draw that is tried first. One of several, so that an account's objects are not all with the same holders.
    first_draw: u32,
}

impl Client {
    /// Looks at the ledger and decides the code. With `wait`, an account that is too young to draw holders waits.
    pub(crate) async fn plan(&self, options: &AddOptions, wait: bool, events: &Events) -> Result<Plan, AddError> {
        let (account, any): (AccountId, _) = (self.key()?.public(), u32::from_le_bytes(self.random()));
        let query = BasisQuery { account, code: options.code, draw: any, known: self.chain.whole_roster() };
        let Basis { head, drawable, funds, pulse } = self.chain.basis(query).await?;
        let rules = self.rules();
        let (asked, max) = (options.epochs, rules.params.term_epochs);
        if asked == 0 || asked > max {
            return Err(AddError::Term { asked, max });
        }
        let roster = self.chain.roster(drawable).await?;
        let eligible = roster.summary.eligible();
        let code = rules.params.code(options.code, eligible).ok_or_else(|| too_few(eligible, &rules))?;
        let caps = Caps::of(&roster.summary, code, rules.params.min_domains)?;
        let randomness = self.draw_chance(&roster, (funds.draw_identity(account).since, pulse), wait, events).await?;
        let now = head.epoch;
        let first_draw = any.checked_rem(rules.params.draws).unwrap_or(0);
        let wanted = usize::from(if options.all { code.n } else { code.receipts_needed() });
        let (epochs, most) = (asked, Amount::ZERO);
        let renewal = options.auto_renew.then_some(Renewal { epochs, most });
        Ok(Plan { rules, account, code, caps, funds, epochs, renewal, wanted, now, roster, randomness, first_draw })
    }
}

fn too_few(have: usize, rules: &Rules) -> AddError {
    AddError::TooFewProviders { have, need: rules.params.classes.first().map_or(0, |row| row.providers) }
}

impl Plan {
    /// How a source of so many bytes is spread over columns.
    pub(crate) fn layout(&self, size: u64, options: &AddOptions) -> Result<Layout, AddError> {
        Ok(Layout::new(size.saturating_add(options.content.trailer()), self.code, !options.public)?)
    }

    /// What draws are made by.
    pub(crate) fn randomness(&self) -> [u8; 32] {
        self.randomness
    }

    /// The account that draws are made as.
    pub(crate) fn draw_identity(&self) -> AccountId {
        self.funds.draw_identity(self.account).account
    }

    /// Until when the receipts of a draw are to be valid.
    pub(crate) fn receipt_end(&self, draw: Draw) -> Epoch {
        self.rules.params.receipt_end(draw, self.epochs)
    }

    pub(crate) fn repair_threshold(&self) -> u8 {
        self.rules.repair_threshold(self.code)
    }

    pub(crate) fn receipts_needed(&self) -> usize {
        usize::from(self.code.receipts_needed())
    }

    /// What is locked for the repair of so many columns of an extent that have no holder.
    pub(crate) fn repair_fund(&self, column_len: u64, missing: usize) -> Amount {
        let each = bounty(&self.rules.params.repair, self.code, column_len, 1);
        Amount(each.0.saturating_mul(u64::try_from(missing).unwrap_or(u64::MAX)))
    }

    /// Which providers may get the columns of an extent.
    pub(crate) async fn place(&self, chain: &Chain, extent: u32) -> Result<Placing, AddError> {
        let mut dead_end = None;
        let draws = self.rules.params.draws;
        for offset in 0..draws {
            let number = (self.first_draw + offset) % draws;
            let which = Draw { epoch: self.roster.epoch, number };
            let seed = DrawSeed { randomness: self.randomness, account: self.draw_identity(), draw: which, extent };
            match self.placed(chain, &self.roster, seed, self.caps).await {
                // Another draw may find a way.
                Err(error @ AddError::Placement(PlacementError::DeadEnd { .. })) => dead_end = Some(error),
                outcome => return outcome,
            }
        }
        Err(dead_end.expect("at least one draw was tried"))
    }

    /// The outcome of this draw.
    async fn placed(&self, chain: &Chain, roster: &Roster, seed: DrawSeed, caps: Caps) -> Result<Placing, AddError> {
        let shown = chain.drawn_from(roster, seed, (self.code, &caps)).await?;
        let order = draw(&shown, &seed, self.code, &caps)?.into_iter().copied().collect();
        Ok(Placing::new(seed.extent, seed.draw, order, (self.code.n, caps)))
    }

    /// Whether the ledger still accepts a commit by this draw.
    pub(crate) fn is_good(&self, draw: Draw) -> bool {
        let epochs = self.rules.oldest_draw(self.now)..=self.roster.epoch;
        epochs.contains(&draw.epoch) && draw.number < self.rules.params.draws
    }

    /// As [`Plan::place`], by a draw that was made before, from the roster of its epoch. `None` when it yields none.
    pub(crate) async fn place_again(
        &self,
        chain: &Chain,
        seed: DrawSeed,
        roster: &Roster,
    ) -> Result<Option<Placing>, AddError> {
        let Ok(caps) = Caps::of(&roster.summary, self.code, self.rules.params.min_domains) else { return Ok(None) };
        match self.placed(chain, roster, seed, caps).await {
            Err(AddError::Placement(_)) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Price and fees, and whether the account can carry them.
    pub(crate) async fn quote(&self, chain: &Chain, layout: &Layout) -> Result<Quote, AddError> {
        let (mut price, mut locked, mut repair, mut temporary) = (Amount::ZERO, Amount::ZERO, Amount::ZERO, 0);
        let missing = usize::from(self.code.n) - self.wanted;
        let mut placings = stream::iter((0..layout.extents()).map(|number| self.place(chain, number))).buffered(PLACED);
        while let Some(placing) = placings.try_next().await? {
            let column_len = layout.extent(placing.extent).expect("one of its extents").column_len;
            price = price.plus(placing.price(column_len)).ok_or(AddError::Price)?;
            locked = locked.plus(placing.locked(column_len)).ok_or(AddError::Price)?;
            repair = repair.plus(self.repair_fund(column_len, missing)).ok_or(AddError::Price)?;
            temporary += column_len + u64::try_from(limits::MANIFEST).expect("1 MiB");
        }
        let price = times(price, self.epochs).ok_or(AddError::Price)?;
        let locked = times(locked, self.epochs).ok_or(AddError::Price)?;
        let fee = times(self.commit_fee(), u64::from(layout.extents())).ok_or(AddError::Price)?;
        self.check_funds(self.funds.balance, locked.plus(repair).ok_or(AddError::Price)?, fee)?;
        self.check_credit(temporary)?;
        Ok(Quote {
            size: layout.size(),
            code: self.code,
            repair_threshold: self.repair_threshold(),
            stored_bytes: layout.stored_bytes(),
            epochs: self.epochs,
            price,
            locked,
            repair,
            fee,
            balance: self.funds.balance,
            survives: Survives::at_best(self.code.spare(), &self.caps),
        })
    }

    /// Until the commit every holder stores its columns, and space for the manifest, on credit: at worst one holder has
    /// one of each extent.
    fn check_credit(&self, need: u64) -> Result<(), AddError> {
        let micro = Amount::obols(1).expect("one obol is an amount").0;
        let credit = u128::from(self.funds.balance.0) * u128::from(self.rules.params.credit_bytes) / u128::from(micro);
        match u128::from(need) > credit {
            true => Err(AddError::Credit { need, have: u64::try_from(credit).unwrap_or(u64::MAX) }),
            false => Ok(()),
        }
    }

    /// What a commit of one extent does: it is committed, and where that is wanted its renewal is set.
    pub(crate) fn commit_of(&self, commit: Commit) -> impl Iterator<Item = Action> {
        let Commit { object, extent, .. } = commit;
        let set = self.renewal.map(|_| Action::SetRenewal(SetRenewal { object, extent, renewal: self.renewal }));
        [Action::Commit(commit)].into_iter().chain(set)
    }

    /// Fee of one extent's commit transaction with all receipts: its length does not depend on its values.
    pub(crate) fn commit_fee(&self) -> Amount {
        let claim = SlotClaim {
            provider: NodeId::new([0; 32]),
            column: ColumnId::new([0; 32]),
            cap: Amount::ZERO,
            receipt: Some(Signature([0; 64])),
        };
        let commit = Commit {
            object: ObjectId::new([0; 32]),
            extent: 0,
            extents: 1,
            size: 0,
            code: self.code,
            column_len: 0,
            draw: Draw { epoch: Epoch(0), number: 0 },
            slots: vec![claim; usize::from(self.code.n)],
            until: Epoch(0),
            end: Epoch(0),
        };
        let mut all = batches(self.commit_of(commit).collect());
        let action = all.pop().expect("a commit and its renewal fit in one transaction");
        let body =
            TxBody { account: self.account, nonce: 0, valid_until: Height(0), salt: 0, fee: Amount::ZERO, action };
        self.rules.offer(&body)
    }

    /// Whether `have` covers what is locked, and the fee.
    pub(crate) fn check_funds(&self, have: Amount, locked: Amount, fee: Amount) -> Result<(), AddError> {
        let (account, need) = (self.account, locked.plus(fee).ok_or(AddError::Price)?);
        if need > have { Err(AddError::Funds { account, need, have }) } else { Ok(()) }
    }
}

pub(crate) fn times(amount: Amount, count: u64) -> Option<Amount> {
    amount.0.checked_mul(count).map(Amount)
}
