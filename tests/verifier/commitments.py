"""Commitments that last: who stores each column, since when, and what is left of the money.

A slot's price is that of its provider in the roster of the draw that chose it. What it owes are the epochs that its
provider proved since it was settled. Not checked here: which providers a repair's draw names.
"""

import signatures
from audits import FORFEITED, LATE, LOSS_REPORTED, check_leaf, held_place
from blake3 import blake3, derive
from borsh import Value, require
from draw import Stream
from formats import encode

GIB = 1 << 30
LIVE, MISSING, LOST, REPORTED, _ = range(5)
REPAIR_DRAW = (1 << 32) - 1
SWEPT, SWEPT_TICKETS, FORFEITS = 256, 64, 256
OWNER_PERCENT = 60
# Columns to spare, and the place of a commitment.
FIRST_TICKET = 0, (bytes(32), 0, bytes(32))


def per_epoch(size, price):
    return -(-size * price // GIB)


def locked(one):
    """What an epoch of all slots costs at most."""
    return sum(per_epoch(one.column_len, slot.cap) for slot in one.slots)


def receipts_needed(code):
    faulty = (code.n - 1) // 3
    return min(code.n, max(code.n - faulty, code.k + faulty))


class Commitments:
    def __init__(self, chain, params, audits):
        self.chain, self.params, self.audits = chain, params, audits
        self.lasting, self.burnt = {}, 0
        # How many slots were lost, and how many repaired.
        self.lost = self.repairs = 0
        # The ticket from which on commitments are looked at for slots of providers that are written off.
        self.sweep = None
        # The price of each provider in the rosters so far.
        self.asks = {}

    def collateral(self, size, ask):
        return per_epoch(size, max(self.params.bonds.gib, ask * self.params.bonds.pay_epochs))

    def bounty(self, one, together):
        moved = (one.code.k + together - 1) * one.column_len * self.params.repair.gib
        return -(-moved // (together * GIB))

    def commit(self, place, commit, epoch):
        asks = self.asks[commit.draw.epoch]
        one = Value(place=place, size=commit.size, extents=commit.extents, code=commit.code, until=commit.until,
                    column_len=commit.column_len, start=epoch, end=commit.end, ticket=None, slots=[], fund=0)
        for slot in commit.slots:
            one.slots.append(Value(provider=slot.provider, column=slot.column, since=epoch, ask=asks[slot.provider],
                                   cap=slot.cap, collateral=0, base=0, state=MISSING))
        for index, slot in enumerate(commit.slots):
            if slot.receipt is not None:
                self._begin(one, index, epoch)
        one.escrow = locked(one) * (one.end - epoch)
        one.fund = sum(slot.receipt is None for slot in commit.slots) * self.bounty(one, 1)
        self.lasting[place] = one
        self._review(one, epoch)

    def extend(self, place, end, epoch):
        one = self.lasting[place]
        before = one.end
        self._renew(one, end)
        one.escrow += locked(one) * (end - before)
        self._review(one, epoch)

    def release(self, place, epoch):
        one = self.lasting[place]
        self._renew(one, min(one.end, epoch + 1))
        one.escrow = min(one.escrow, locked(one))
        self._review(one, epoch)

    def repaired(self, action, epoch):
        one = self._running(action.commitment, epoch)
        indexes = [slot.index for slot in action.slots]
        require(indexes and indexes == sorted(set(indexes)), "the columns of a repair are not in order")
        slots = [one.slots[index] for index in indexes]
        leaves = all(slot.state == LIVE and slot.provider == action.rebuilder for slot in slots)
        stay = {slot.provider for slot in one.slots if slot.state == LIVE and slot not in slots}
        require(len({slot.provider for slot in action.slots} - stay) == len(slots), "a holder gets a second column")
        bounty = self.bounty(one, len(slots))
        for given in action.slots:
            slot = one.slots[given.index]
            if leaves:
                self._lose(one, given.index, slot.state, epoch)
                slot.collateral = 0
            else:
                require(slot.state in (MISSING, LOST, REPORTED), "a column is repaired that is stored")
                self._forfeit(one, given.index, epoch)
                one.fund -= min(bounty, one.fund)
            slot.provider, slot.ask = given.provider, self.asks[action.draw][given.provider]
            self._receipt(one, given, slot.ask, action.draw)
            self._begin(one, given.index, epoch)
            self.repairs += 1
        self._review(one, epoch)

    def restore(self, action, beacon, epoch):
        one = self._running(action.commitment, epoch)
        slot = one.slots[action.index]
        require(slot.state in (LOST, REPORTED), "a column comes back that was not lost")
        seed = beacon + encode("commitment_key", action.commitment) + bytes([action.index])
        point = Stream("ostrakon return 1", seed).below(one.column_len)
        check_leaf(slot.column, one.column_len, point, action.leaf)
        self.audits.returned(slot.provider)
        self._begin(one, action.index, epoch)
        self._review(one, epoch)

    def report_loss(self, action, tx, epoch):
        one = self._running(action.commitment, epoch)
        slot = one.slots[action.index]
        require(slot.state == LIVE, "a column is lost that was not stored")
        self.audits.fault(epoch, slot.provider, LOSS_REPORTED, tx)
        self._lose(one, action.index, REPORTED, epoch)
        self._review(one, epoch)

    def begin_block(self, epoch):
        """Ends what nobody can read and what expires, writes off what silent providers store, and has them pay for what
        they lost long ago."""
        last = epoch - self.params.repair.lost_epochs
        due = [(self._unreadable_since(one, epoch), one.place) for one in self.lasting.values()]
        for _, place in sorted(one for one in due if one[0] <= last):
            self._close(self.lasting[place], epoch)
        for _, place in sorted((one.end, one.place) for one in self.lasting.values() if one.end <= epoch):
            self._close(self.lasting[place], epoch)
        self._sweep(epoch)
        last = epoch - self.params.repair.forfeit_epochs
        unpaid = {one.place: min(self._unpaid(one), default=epoch) for one in self.lasting.values()}
        due = sorted((since, place) for place, since in unpaid.items() if since <= last)
        require(len(due) <= FORFEITS, "more is due in one block than this program follows")
        for _, place in due:
            one = self.lasting[place]
            for index, slot in enumerate(one.slots):
                if self._is_due(slot, last):
                    self._forfeit(one, index, epoch)

    def _sweep(self, epoch):
        """Writes off what silent providers store: first of what has a ticket, in the order of tickets."""
        if self.audits.is_sweep_due:
            self.sweep, self.audits.is_sweep_due = FIRST_TICKET, False
        doomed, space = self.audits.doomed(), SWEPT
        if not doomed:
            return
        if self.sweep is not None:
            tickets = sorted((max(0, self._live(one) - one.code.k), one.place)
                             for one in self.lasting.values() if one.ticket is not None)
            tickets = [ticket for ticket in tickets if ticket >= self.sweep]
            self.sweep = None
            for looked_at, ticket in enumerate(tickets):
                if space <= 0 or looked_at == SWEPT_TICKETS:
                    self.sweep = ticket
                    break
                space -= self._write_off(self.lasting[ticket[1]], epoch)
        for held in doomed:
            if space <= 0:
                break
            space -= self._write_off(self.lasting[held.place], epoch)

    def _write_off(self, one, epoch):
        """A commitment loses what it has on providers that are written off; out comes how much that is."""
        lost = [index for index, slot in enumerate(one.slots)
                if slot.state == LIVE and slot.provider in self.audits.written_off]
        for index in lost:
            is_at_fault = self.audits.is_at_fault(one.slots[index].provider)
            self._lose(one, index, LOST if is_at_fault else REPORTED, epoch)
        if lost:
            self._review(one, epoch)
        return len(lost)

    @staticmethod
    def _live(one):
        return sum(slot.state == LIVE for slot in one.slots)

    @staticmethod
    def _unreadable_since(one, epoch):
        """The epoch since which too few columns are stored, or the next one."""
        gone = sorted(slot.since for slot in one.slots if slot.state != LIVE)
        spare = len(one.slots) - one.code.k
        return gone[spare] if len(gone) > spare else epoch + 1

    @staticmethod
    def _unpaid(one):
        return [slot.since for slot in one.slots if slot.state in (LOST, REPORTED) and slot.collateral]

    @staticmethod
    def _is_due(slot, last):
        return slot.state in (LOST, REPORTED) and slot.collateral and slot.since <= last

    def _running(self, key, epoch):
        one = self.lasting.get((key.object, key.extent, key.owner))
        require(one and one.end > epoch, "a commitment is repaired that has ended")
        return one

    def _begin(self, one, index, epoch):
        slot = one.slots[index]
        slot.state, slot.since = LIVE, epoch
        slot.collateral = max(slot.collateral, self.collateral(one.column_len, slot.ask))
        slot.base = self.audits.count(slot.provider, LATE)
        self.audits.begin(one.place, index, slot, one.column_len)

    def owes(self, one, slot):
        """What a live slot owes since it was settled."""
        return per_epoch(one.column_len, slot.ask) * (self.audits.count(slot.provider, one.end) - slot.base)

    def _renew(self, one, end):
        for slot in one.slots:
            if slot.state == LIVE:
                one.escrow -= self.owes(one, slot)
                slot.base = self.audits.count(slot.provider, LATE)
        one.end = end

    def _lose(self, one, index, state, epoch):
        slot = one.slots[index]
        one.escrow -= self.owes(one, slot)
        self.audits.leave(one.place, index, epoch)
        slot.state, slot.since = state, epoch
        self.lost += state != LIVE

    def _forfeit(self, one, index, epoch):
        """The provider of a lost slot pays for it: first for the repair, the rest is the owner's and burns."""
        slot = one.slots[index]
        if slot.state not in (LOST, REPORTED):
            return
        bounty = self.bounty(one, 1)
        slash = max(bounty + -(-bounty // 2), slot.collateral // 10) if slot.state == LOST else bounty
        taken, slot.collateral = min(slash, slot.collateral), 0
        if taken:
            evidence = derive("ostrakon lost column 1", held_place(one.place, index, slot.since))
            self.audits.fault(epoch, slot.provider, FORFEITED, evidence)
        one.fund += min(bounty, taken)
        rest = taken - min(bounty, taken)
        self.burnt += rest - rest * OWNER_PERCENT // 100

    def _close(self, one, epoch):
        for index, slot in enumerate(one.slots):
            self._forfeit(one, index, epoch)
            if slot.state == LIVE:
                self.audits.leave(one.place, index, epoch)
        del self.lasting[one.place]

    def _receipt(self, one, given, ask, epoch):
        object_id, extent, account = one.place
        columns = blake3(encode("columns", [slot.column for slot in one.slots]))
        draw = Value(epoch=epoch, number=REPAIR_DRAW)
        receipt = Value(account=account, object=object_id, extent=extent, index=given.index, draw=draw, ask=ask,
                        columns=columns, code=one.code, column_len=one.column_len, until=one.until)
        signatures.check("receipt", self.chain, "receipt", receipt, given.provider, given.receipt)

    def _threshold(self, code):
        for row in self.params.classes:
            for of_class, repair in ((row.standard, row.standard_repair), (row.economy, row.economy_repair)):
                if of_class == code:
                    return repair
        return min(code.n - 1, code.k - (-5 * (code.n - code.k) // 8))

    def _review(self, one, epoch):
        """Whether it has a ticket now."""
        states = [slot.state for slot in one.slots]
        if not {MISSING, LOST, REPORTED} & set(states) or one.end <= epoch + 1:
            one.ticket = None
        elif one.ticket is None and (MISSING in states or states.count(LIVE) <= self._threshold(one.code)):
            one.ticket = epoch
