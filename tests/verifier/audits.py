"""Audits: which leaves a provider must show in an epoch, and whether a proof has them; who stores what, and since when.

In come slots that begin and end, and proofs, in the order of the chain; out come the numbers of epochs that each
provider proved, from which it follows what commitments owe, and who was silent for so long that its columns are lost.
"""

from bisect import bisect_left

import blake3
from blake3 import derive
from borsh import Value, require
from draw import Stream
from formats import encode

LEAF = 1024
# After every epoch.
LATE = 1 << 62
# Why there is something against a provider.
MISSED, EXCUSED, MAINTENANCE, SUSPENDED, WRITTEN_OFF, LOSS_REPORTED, FORFEITED = range(7)
REASONS = ("missed", "excused", "maintenance", "suspended", "written-off", "loss-reported", "forfeited")


def held_id(place, index, since):
    """Where a slot is in its provider's inventory."""
    return derive("ostrakon inventory entry 1", held_place(place, index, since))[:16]


def held_place(place, index, since):
    object, extent, owner = place
    return encode("held_place", Value(object=object, extent=extent, owner=owner, index=index, since=since))


def points(beacon, provider, size, count):
    stream = Stream("ostrakon audit points 1", beacon + provider)
    return [stream.below(size) for _ in range(count)]


def opens_ms(beacon, provider, start_ms, epoch_ms):
    return start_ms + Stream("ostrakon audit window 1", beacon + provider).below(max(1, epoch_ms // 2))


def check_leaf(column, size, point, leaf):
    """Checks that a leaf is the one with this byte, by its path to the column's name."""
    number = point // LEAF
    count, data = -(-size // LEAF), leaf.data
    require(len(data) == min(LEAF, size - number * LEAF), "a leaf has another length")
    siblings = list(leaf.siblings)
    if count == 1:
        require(not siblings and blake3.blake3(data) == column, "a leaf is another")
        return
    value = blake3.chunk_value(data, number)
    while count > 1:
        beside = number ^ 1
        if beside < count:
            require(siblings, "a leaf has too short a path")
            pair = (value, siblings.pop(0)) if number % 2 == 0 else (siblings.pop(0), value)
            value = blake3.parent_value(*pair, is_root=not siblings)
        number, count = number // 2, -(-count // 2)
    require(not siblings and value == column, "a leaf is another")


class Audits:
    def __init__(self, params):
        self.params = params
        # Of each provider: its slots, with those that left in an epoch in progress, and the epochs that it proved.
        self.slots, self.proven = {}, {}
        # The epochs in a row that it did not prove, the first since which it has not shown that it is there, and
        # whether what it stores counts as lost.
        self.missed, self.silent_since, self.written_off = {}, {}, set()
        # The epochs for which it announced to be away, the last time.
        self.maintenance = {}
        # Those to which nobody is offered any more, and those that leave.
        self.suspended, self.draining = set(), set()
        # Whether a provider was written off since the ledger looked for what it stores.
        self.is_sweep_due = False
        # What there is against a provider, by epoch and provider.
        self.faults = {}

    def begin(self, place, index, slot, size):
        held = Value(place=place, index=index, column=slot.column, size=size, since=slot.since, left=None)
        self.slots.setdefault(slot.provider, {})[held_id(place, index, slot.since)] = held

    def leave(self, place, index, epoch):
        for held in (one for slots in self.slots.values() for one in slots.values()):
            if (held.place, held.index, held.left) == (place, index, None):
                held.left = epoch

    def turn(self, epoch, is_excused, beacon):
        """Who did not prove the epoch before this one, which had this beacon; what left before that is forgotten."""
        for provider, slots in self.slots.items():
            unproven = sum(held.size for held in self.frozen(provider, epoch - 1))
            if unproven and epoch - 1 not in self.proven.get(provider, []):
                evidence = derive("ostrakon audit silence 1", beacon + provider + unproven.to_bytes(8, "little"))
                for reason in self._miss(provider, epoch, is_excused):
                    self.fault(epoch - 1, provider, reason, evidence, unproven)
            for key in [key for key, held in slots.items() if held.left is not None and held.left < epoch]:
                del slots[key]

    def fault(self, epoch, provider, reason, evidence, unproven=0):
        """There is something against a provider; a reason keeps its first evidence."""
        one = self.faults.setdefault((epoch, provider), Value(unproven=0, reasons={}))
        one.unproven = max(one.unproven, unproven)
        one.reasons.setdefault(reason, evidence)

    def _miss(self, provider, epoch, is_excused):
        """What follows from an epoch of silence; out come the reasons to record."""
        was_written_off = provider in self.written_off
        since = self.silent_since.setdefault(provider, epoch - 1)
        away = self.maintenance.get(provider, range(0))
        if all(held.left is not None for held in self.slots[provider].values()):
            self.returned(provider)
        elif sum(one not in away for one in range(since, epoch)) >= self.params.repair.suspect_epochs:
            self.written_off.add(provider)
        is_away = epoch - 1 in away
        is_missed = not is_excused and not is_away
        self.missed[provider] = self.missed.get(provider, 0) + is_missed
        yield MAINTENANCE if is_away else EXCUSED if is_excused else MISSED
        is_due = is_missed and self.missed[provider] >= self.params.audits.suspend_after
        if is_due and provider not in self.suspended | self.draining:
            self.suspended.add(provider)
            yield SUSPENDED
        if provider in self.written_off and not was_written_off:
            self.is_sweep_due = True
            yield WRITTEN_OFF

    def maintain(self, provider, start, count, epoch):
        """It will be away; what was announced and has not begun is put off."""
        every = self.params.audits.maintenance_every
        last = self.maintenance.get(provider)
        least = epoch + 1 if last is None else last.start if last.start > epoch else max(last.start + every, epoch + 1)
        require(1 <= count <= self.params.audits.maintenance_epochs, "a maintenance is too long")
        require(least <= start <= epoch + 1 + every, "a maintenance is at another time than it may be")
        self.maintenance[provider] = range(start, start + count)

    def returned(self, provider):
        self.silent_since.pop(provider, None)
        self.written_off.discard(provider)

    def doomed(self):
        """What those that are written off still store, one after the other."""
        slots = (held for provider in sorted(self.written_off) for _, held in sorted(self.slots[provider].items()))
        return [held for held in slots if held.left is None]

    def is_at_fault(self, provider):
        """Whether it missed more than is excused."""
        return self.missed[provider] >= self.params.audits.suspend_after

    def frozen(self, provider, epoch):
        """Its inventory when the epoch began, in order."""
        slots = sorted(self.slots.get(provider, {}).items())
        return [held for _, held in slots if held.since < epoch and (held.left is None or held.left >= epoch)]

    def stored(self, epoch):
        """Bytes of each provider when the epoch began."""
        return {provider: sum(held.size for held in self.frozen(provider, epoch)) for provider in self.slots}

    def count(self, provider, epoch):
        """How many epochs it proved before this one."""
        return bisect_left(self.proven.get(provider, []), epoch)

    def departed(self, epoch):
        """Slots that left in this epoch and were in an inventory when it began, by commitment."""
        found = {}
        for provider, slots in self.slots.items():
            for held in slots.values():
                if held.left == epoch and held.since < epoch:
                    found.setdefault(held.place, []).append((held.index, provider, held.column, held.size, held.since))
        return {place: sorted(slots) for place, slots in found.items()}

    def prove(self, key, proof, record, time_ms):
        """A proof in a block of the epoch with this record; out comes how many bytes it proves."""
        provider, epoch = key.provider, key.epoch
        require(epoch == record.epoch and record.beacon, "a proof is of another epoch")
        held = self.frozen(provider, epoch)
        size = sum(one.size for one in held)
        done = self.proven.setdefault(provider, [])
        require(size and epoch not in done, "a provider proves what it was not asked for")
        opens = opens_ms(record.beacon, provider, record.start_ms, self.params.time.epoch_ms)
        require(time_ms >= opens, "a proof is too early")
        asked = points(record.beacon, provider, size, self.params.audits.leaves)
        for point, leaf in zip(asked, proof.leaves, strict=True):
            for one in held:
                if point < one.size:
                    check_leaf(one.column, one.size, point, leaf)
                    break
                point -= one.size
        done.append(epoch)
        self.missed[provider] = 0
        self.suspended.discard(provider)
        self.returned(provider)
        return size
