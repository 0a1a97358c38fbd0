"""The roster: a sum tree, whole or with hidden parts, and the classes of its providers."""

from blake3 import derive
from borsh import Reader, Value, require
from formats import FORMATS, encode
from trees import bit

DIMENSIONS = ("operator", "infrastructure", "region")
EMPTY, LEAF, INNER, HIDDEN = range(4)
KEY_BITS = 256


def tag(dimension, value):
    return derive(f"ostrakon {dimension} 1", value.encode())[:16]


class Node:
    """A subtree. `weight` is what is left of it in a draw."""

    def __init__(self, kind, hash, weight, leaf=None, halves=()):
        self.kind, self.hash, self.weight, self.leaf, self.halves = kind, hash, weight, leaf, halves

    def take(self, point):
        """Takes away the leaf at this point of the weight."""
        require(self.kind != HIDDEN, "the proof hides a leaf that the draw meets")
        leaf = self.leaf
        if self.kind == INNER:
            low, high = self.halves
            leaf = low.take(point) if point < low.weight else high.take(point - low.weight)
        self.weight -= leaf.offer.weight
        return leaf

    def leaves(self):
        """The leaves that are shown, in order."""
        return [self.leaf] if self.kind == LEAF else [leaf for half in self.halves for leaf in half.leaves()]

    def is_whole(self):
        return self.kind != HIDDEN and all(half.is_whole() for half in self.halves)


def leaf_node(leaf):
    hash = derive("ostrakon roster leaf 1", encode("leaf", leaf))
    return Node(LEAF, hash, leaf.offer.weight, leaf=leaf)


def empty_node():
    return Node(EMPTY, bytes(32), 0)


def inner_node(low, high):
    material = b"".join(half.hash + half.weight.to_bytes(16, "little") for half in (low, high))
    weight = low.weight + high.weight
    require(weight < 1 << 128, "a weight has over 128 bits")
    return Node(INNER, derive("ostrakon sum node 1", material), weight, halves=(low, high))


def tree_of(leaves, depth=0):
    """The whole tree over leaves in order."""
    if len(leaves) < 2:
        return leaf_node(leaves[0]) if leaves else empty_node()
    low = [leaf for leaf in leaves if not bit(leaf.provider, depth)]
    return inner_node(tree_of(low, depth + 1), tree_of(leaves[len(low):], depth + 1))


def read_tree(reader, path=()):
    """A tree from its encoding."""
    kind = reader.integer(1)
    require(kind <= HIDDEN and len(path) <= KEY_BITS, "not a sum tree")
    if kind == EMPTY:
        return empty_node()
    if kind == LEAF:
        leaf = FORMATS.table["leaf"].read(reader)
        require(all(bit(leaf.provider, depth) == side for depth, side in enumerate(path)), "a leaf is out of place")
        return leaf_node(leaf)
    if kind == HIDDEN:
        return Node(HIDDEN, reader.take(32), _weight(reader))
    low, high = read_tree(reader, path + (0,)), read_tree(reader, path + (1,))
    require(low.kind + high.kind > LEAF, "a node has one leaf or none")
    return inner_node(low, high)


def _weight(reader):
    weight, place = 0, 0
    while True:
        group = reader.integer(1)
        weight |= (group & 0x7F) << place
        require(weight < 1 << 128 and (group or not place), "a weight is not in its one encoding")
        if group < 0x80:
            return weight
        place += 7


def read_answer(data, expected):
    """The tree of an answer's bytes, whose root must be the one of the epoch's record."""
    reader = Reader(data)
    tree = read_tree(reader)
    require(reader.at == len(data), "there are bytes after the tree")
    require(tree.hash == expected.hash and tree.weight == expected.weight, "the tree is not the roster of its epoch")
    return tree


def classes(leaves):
    """Of the providers, and of each dimension: in the form of an epoch's record."""
    offers = [leaf.offer for leaf in leaves]
    groups = [[(1, offer.weight) for offer in offers]]
    for dimension in DIMENSIONS:
        values = {}
        for offer in offers:
            value = getattr(offer, dimension)
            count, weight = values.get(value, (0, 0))
            values[value] = (count + 1, weight + offer.weight)
        groups.append(list(values.values()))
    return [_classes(each) for each in groups]


def _classes(groups):
    found = {}
    for count, weight in groups:
        place = (min(count, 255), weight.bit_length() - 1)
        number, total = found.get(place, (0, 0))
        found[place] = (number + 1, total + weight)
    return [
        Value(key=Value(providers=providers, log2=log2), value=Value(groups=number, weight=weight))
        for (providers, log2), (number, weight) in sorted(found.items())
    ]
