"""Audits: which leaves a provider must show in an epoch, and whether a proof has them; who stores what, and since when.

In come commits, their ends and proofs, in the order of the chain; out come the numbers of epochs that each provider
proved, from which it follows what commitments owe.
"""

from bisect import bisect_left

import blake3
from blake3 import derive
from borsh import Value, require
from draw import Stream
from formats import encode

LEAF = 1024


def held_id(place, index, since):
    """Where a slot is in its provider's inventory."""
    object, extent, owner = place
    key = encode("held_place", Value(object=object, extent=extent, owner=owner, index=index, since=since))
    return derive("ostrakon inventory entry 1", key)[:16]


def points(beacon, provider, size, count):
    stream = Stream("ostrakon audit points 1", beacon + provider)
    return [stream.below(size) for _ in range(count)]


def opens_ms(beacon, provider, start_ms, epoch_ms):
    return start_ms + Stream("ostrakon audit window 1", beacon + provider).below(max(1, epoch_ms // 2))


def check_leaf(column, size, number, leaf):
    """Checks that a leaf is the one of this number, by its path to the column's name."""
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

    def begin(self, place, commit, epoch):
        for index, slot in enumerate(commit.slots):
            if slot.receipt is not None:
                held = Value(place=place, index=index, column=slot.column, size=commit.column_len, since=epoch, left=None)
                self.slots.setdefault(slot.provider, {})[held_id(place, index, epoch)] = held

    def end(self, place, epoch):
        for held in (one for slots in self.slots.values() for one in slots.values()):
            if held.place == place and held.left is None:
                held.left = epoch

    def turn(self, epoch):
        """Forgets what left before the epoch that begins."""
        for slots in self.slots.values():
            for key in [key for key, held in slots.items() if held.left is not None and held.left < epoch]:
                del slots[key]

    def frozen(self, provider, epoch):
        """Its inventory when the epoch began, in order."""
        slots = sorted(self.slots.get(provider, {}).items())
        return [held for _, held in slots if held.since < epoch and (held.left is None or held.left >= epoch)]

    def stored(self, epoch):
        return sum(held.size for provider in self.slots for held in self.frozen(provider, epoch))

    def counts(self):
        """How many epochs each provider proved before each epoch."""
        proven = {provider: list(epochs) for provider, epochs in self.proven.items()}
        return lambda provider, epoch: bisect_left(proven.get(provider, []), epoch)

    def departed(self, epoch):
        """Slots that left in this epoch and were in an inventory when it began, by commitment."""
        found = {}
        for provider, slots in self.slots.items():
            for held in slots.values():
                if held.left == epoch and held.since < epoch:
                    found.setdefault(held.place, []).append((held.index, provider, held.column, held.size, held.since))
        return {place: sorted(slots) for place, slots in found.items()}

    def prove(self, key, proof, record, time_ms):
        """A proof in a block of the epoch with this record."""
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
                    check_leaf(one.column, one.size, point // LEAF, leaf)
                    break
                point -= one.size
        done.append(epoch)
        record.audit.providers += 1
        record.audit.proven += size
