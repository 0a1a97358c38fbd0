"""The draw: which providers may hold the columns of an extent, in which order."""

from blake3 import derive
from borsh import Refused, require
from formats import encode
from roster import DIMENSIONS

TRIES = 65_536


def _counting(classes):
    """The classes whose groups count by weight."""
    averages = [(item.value.weight // item.value.groups, item) for item in classes]
    whole, half, largest = sum(average * item.value.groups for average, item in averages), 0, 0
    for average, item in sorted(averages, key=lambda each: -each[0]):
        half += average * item.value.groups
        if 2 * half >= whole:
            largest = average
            break
    return [item for average, item in averages if average >= largest // 16]


def _cap(classes, n, weight):
    """Of one dimension, for n columns of a roster of this weight."""
    def by_weight(c):
        return sum(min(c * item.value.groups * weight, item.key.providers * item.value.groups * weight,
                       2 * n * item.value.weight) for item in classes) >= n * weight

    def by_count(c):
        return sum(item.value.groups * min(c, item.key.providers) for item in classes) >= n

    for fits in (by_weight, by_count):
        for c in range(1, n + 1):
            if fits(c):
                return c
    raise Refused("no cap is large enough")


def caps(epoch, code, min_domains):
    """One for each dimension."""
    providers = sum(item.value.groups for item in epoch.providers)
    require(providers >= code.n, "there are fewer providers than columns")
    found = [_cap(classes, code.n, epoch.roster.weight) for classes in epoch.dimensions]
    infrastructures = sum(item.value.groups for item in _counting(epoch.dimensions[1]))
    require(infrastructures >= min_domains, "there are too few infrastructures")
    require(min_domains == 1 or max(found) <= code.n - code.k, "a cap is over n - k")
    return found


def caps_beside(epoch, code, min_domains, holders):
    """One for each dimension, of a repair beside these holders."""
    found = []
    for dimension, classes in zip(DIMENSIONS, epoch.dimensions):
        values = [getattr(offer, dimension) for offer in holders]
        most = max(map(values.count, values), default=0)
        try:
            cap = _cap(classes, code.n, epoch.roster.weight)
        except Refused:
            cap = code.n
        found.append(max(most, cap if min_domains == 1 else min(cap, code.n - code.k)))
    return found


class Stream:
    """Numbers that follow from some bytes, in a context."""

    def __init__(self, context, material):
        self.context, self.material, self.at, self.bytes = context, material, 0, b""

    def below(self, bound):
        mask = (1 << (bound - 1).bit_length()) - 1
        while True:
            if self.at == len(self.bytes):
                self.bytes = derive(self.context, self.material, 2 * len(self.bytes) or 512)
            number = int.from_bytes(self.bytes[self.at:self.at + 16], "little") & mask
            self.at += 16
            if number < bound:
                return number


def fits(chosen, limits):
    """Whether offers hold the caps together."""
    for dimension, limit in zip(DIMENSIONS, limits):
        values = [getattr(leaf.offer, dimension) for leaf in chosen]
        if any(values.count(value) > limit for value in values):
            return False
    return True


def draw(tree, seed, n, limits):
    """The leaves in their order: n, and up to n more. The tree loses those that are drawn."""
    stream, left = Stream("ostrakon draw 1", encode("seed", seed)), [8 * n]

    def next_one():
        if not left[0] or not tree.weight:
            return None
        left[0] -= 1
        return tree.take(stream.below(tree.weight))

    chosen, skipped = [], []
    while len(chosen) < n and (one := next_one()):
        (chosen if fits(chosen + [one], limits) else skipped).append(one)
    tries = [0]
    while len(chosen) < n:
        exchange(chosen, skipped, limits, tries)
    twice = [2 * limit for limit in limits]
    while len(chosen) < 2 * n and (one := skipped.pop(0) if skipped else next_one()):
        if fits(chosen + [one], twice):
            chosen.append(one)
    return chosen


def draw_beside(tree, seed, n, limits, count, holders, may):
    """Those who may take so many columns beside these holders, in their order. The tree loses those that are drawn."""
    stream, left = Stream("ostrakon draw 1", encode("seed", seed)), [8 * n]

    def next_one():
        while left[0] and tree.weight:
            left[0] -= 1
            one = tree.take(stream.below(tree.weight))
            if may(one):
                return one
        return None

    chosen, skipped = [], []
    while len(chosen) < count and (one := next_one()):
        (chosen if fits(holders + chosen + [one], limits) else skipped).append(one)
    twice = [2 * limit for limit in limits]
    while len(chosen) < 2 * count and (one := skipped.pop(0) if skipped else next_one()):
        if fits(holders + chosen + [one], twice):
            chosen.append(one)
    return chosen


def exchange(chosen, skipped, limits, tries):
    """One chosen for two skipped."""
    def attempt(leaves):
        tries[0] += 1
        require(tries[0] <= TRIES, "there is no draw: too many exchanges were tried")
        return fits(leaves, limits)

    for first, s in enumerate(skipped):
        for c in chosen:
            others = [leaf for leaf in chosen if leaf is not c]
            if not attempt(others + [s]):
                continue
            for t in skipped[first + 1:]:
                if attempt(others + [s, t]):
                    chosen[:] = others + [s, t]
                    skipped[:] = [c] + [leaf for leaf in skipped if leaf is not s and leaf is not t]
                    return
    raise Refused("there is no draw: nothing can be exchanged")
