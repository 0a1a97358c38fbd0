"""The hash trees of a block: of its transactions, of the history, and of the state."""

from blake3 import derive
from borsh import require

NOTHING = bytes(32)


def transactions_root(ids):
    return _list_root([derive("ostrakon tx leaf 1", id) for id in ids])


def proofs_root(proofs):
    """Of proofs with their keys, encoded."""
    return _list_root([derive("ostrakon proof leaf 1", proof) for proof in proofs])


def _list_root(leaves):
    return derive("ostrakon tx root 2", len(leaves).to_bytes(4, "little") + _list(leaves))


def _list(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else NOTHING
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return derive("ostrakon tx node 1", _list(leaves[:half]) + _list(leaves[half:]))


def _history_node(left, right):
    return derive("ostrakon history node 1", left + right)


def _history_root(leaves, top):
    return derive("ostrakon history root 1", leaves.to_bytes(8, "little") + top)


class History:
    """A Merkle mountain range that grows."""

    def __init__(self):
        self.leaves, self.peaks = 0, []

    def append(self, block):
        node, self.leaves = derive("ostrakon history leaf 1", block), self.leaves + 1
        merges = (self.leaves & -self.leaves).bit_length() - 1
        for _ in range(merges):
            node = _history_node(self.peaks.pop(), node)
        self.peaks.append(node)

    def root(self):
        top = NOTHING
        for peak in reversed(self.peaks):
            top = peak if top is NOTHING else _history_node(peak, top)
        return _history_root(self.leaves, top)


def history_root_of(proof, block, place, leaves):
    """The root that a proof of the block at this place of so many leaves gives."""
    require(place < leaves, "the history has no such place")
    siblings = list(proof)
    top = _history_climb(derive("ostrakon history leaf 1", block), siblings, place, leaves)
    require(not siblings, "the history proof is too long")
    return _history_root(leaves, top)


def _history_climb(node, siblings, place, leaves):
    if leaves == 1:
        return node
    half = 1 << (leaves - 1).bit_length() - 1
    inner = _history_climb(node, siblings, place, half) if place < half else \
        _history_climb(node, siblings, place - half, leaves - half)
    require(siblings, "the history proof is too short")
    sibling = siblings.pop(0)
    return _history_node(inner, sibling) if place < half else _history_node(sibling, inner)


def state_path(key):
    return derive("ostrakon state key 1", key)


def state_leaf(key, record):
    return derive("ostrakon state leaf 1", state_path(key) + derive("ostrakon state value 1", record))


def state_node(left, right):
    return derive("ostrakon state node 1", left + right)


def state_root(records):
    """The root over all records, as bytes by their keys."""
    return _state(sorted((state_path(key), state_leaf(key, record)) for key, record in records.items()), 0)


def _state(leaves, depth):
    if not leaves:
        return NOTHING
    if len(leaves) == 1:
        return leaves[0][1]
    low = [leaf for leaf in leaves if not bit(leaf[0], depth)]
    return state_node(_state(low, depth + 1), _state(leaves[len(low):], depth + 1))


def bit(path, depth):
    return path[depth // 8] >> 7 - depth % 8 & 1


class Edge:
    """The hashes outside of the way from the root to a leaf, on one of its sides."""

    def __init__(self, edge, path, side):
        self.path, self.depth, self.outside, self.side = path, edge.depth, list(edge.outside), side

    def is_at(self, prefix):
        return all(bit(self.path, depth) == part for depth, part in enumerate(prefix))

    def next(self):
        require(self.outside, "an edge has too few hashes")
        hash = self.outside.pop(0)
        require(hash != NOTHING, "a hash of an edge is zero")
        return hash or NOTHING


def state_root_beside(leaves, left, right):
    """The root of a state of which a chunk has the leaves between two edges, both of these included."""
    edges = [Edge(right, leaves[-1][0], 1)] + ([Edge(left, leaves[0][0], 0)] if left else [])
    root = _beside(leaves, edges, ())
    require(not any(edge.outside for edge in edges), "an edge has too many hashes")
    return root


def _beside(leaves, edges, prefix):
    """Of the subtree below `prefix`, whose leaves are these, and others outside of the edges that go through it."""
    depth, edges = len(prefix), [edge for edge in edges if edge.is_at(prefix)]
    if not edges:
        return _state(leaves, depth)
    if any(edge.depth == depth for edge in edges):
        require(len(leaves) == 1 and all(edge.depth == depth for edge in edges), "an edge ends above its leaf")
        return leaves[0][1]
    halves = [None, None]
    for edge in edges:
        if bit(edge.path, depth) != edge.side:
            require(halves[edge.side] is None, "one edge is outside of another")
            halves[edge.side] = edge.next()
    for side in (0, 1):
        below = [leaf for leaf in leaves if bit(leaf[0], depth) == side]
        require(halves[side] is None or not below, "leaves are outside of an edge")
        halves[side] = halves[side] or _beside(below, edges, prefix + (side,))
    return state_node(*halves)
