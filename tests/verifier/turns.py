"""Whose turn it is to propose."""

from math import gcd

from blake3 import derive, keyed

DIVISOR, RATIO = 1_000_000_007, 618_033_993
LARGEST = 1 << 62


def _step(total):
    """The largest number up to the golden ratio of the total that is coprime with it, or 1."""
    step = total // DIVISOR * RATIO + total % DIVISOR * RATIO // DIVISOR
    while step > 1 and gcd(step, total) != 1:
        step -= 1
    return max(step, 1)


def _arcs(powers):
    divisor, total = gcd(*powers), sum(powers)
    if total > LARGEST:
        divisor = max(divisor, -(-total // LARGEST))
    return [max(power // divisor, 1) for power in powers]


def proposers(members, skipped, seed, height):
    """Whose the rounds of a height are, from the first on: `members` with their powers, of which some are skipped."""
    secret = derive("ostrakon turns 1", seed)
    offset = int.from_bytes(secret[:8], "little")
    ordered = sorted(members, key=lambda member: keyed(secret, member[0]))
    turns = []
    for group in ([one for one in ordered if one[0] not in skipped], [one for one in ordered if one[0] in skipped]):
        turns += _round(group, height, offset)
    return turns


def _round(members, height, offset):
    turns = []
    while members:
        arcs = _arcs([power for _, power in members])
        point = (height + offset) % sum(arcs) * _step(sum(arcs)) % sum(arcs)
        place = 0
        while point >= arcs[place]:
            point, place = point - arcs[place], place + 1
        turns.append(members.pop(place)[0])
    return turns


class Missed:
    """Who missed turns, and until when each is skipped."""

    def __init__(self):
        self.count, self.until = {}, {}

    def skipped(self, height):
        return {key for key, until in self.until.items() if height <= until}

    def keep(self, members):
        """Forgets those that do not vote any more."""
        self.count = {key: count for key, count in self.count.items() if key in members}
        self.until = {key: until for key, until in self.until.items() if key in members}

    def decided(self, turns, height, round):
        """Notes who missed a turn before the round in which a block was proposed."""
        proposer = turns[round % len(turns)]
        for key in set(turns[:round]) - {proposer}:
            missed = self.count.get(key, 0)
            self.until[key] = height + 16 * (1 << min(missed, 4))
            self.count[key] = missed + 1
        self.count[proposer], self.until[proposer] = 0, 0
