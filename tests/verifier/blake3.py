"""BLAKE3: plain, keyed, key derivation, and extended output. From its paper, for clarity before speed."""

from functools import lru_cache
from struct import pack, unpack

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED, CONTEXT, MATERIAL = (1 << bit for bit in range(7))
MASK = 0xFFFFFFFF
COLUMNS_AND_DIAGONALS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)


def _schedule():
    """The order of the message words in each of the seven rounds."""
    order = list(range(16))
    for _ in range(7):
        yield tuple(zip(COLUMNS_AND_DIAGONALS, order[0::2], order[1::2]))
        order = [order[place] for place in PERMUTATION]


ROUNDS = tuple(_schedule())


def _compress(value, words, counter, length, flags):
    v = [*value, *IV[:4], counter & MASK, counter >> 32, length, flags]
    for mixes in ROUNDS:
        for (a, b, c, d), x, y in mixes:
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + words[x]) & MASK
            vd ^= va
            vd = (vd >> 16 | vd << 16) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & MASK
            va = (va + vb + words[y]) & MASK
            vd ^= va
            vd = (vd >> 8 | vd << 24) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            v[a], v[b], v[c], v[d] = va, (vb >> 7 | vb << 25) & MASK, vc, vd
    low = [v[i] ^ v[i + 8] for i in range(8)]
    return low + [v[i + 8] ^ value[i] for i in range(8)]


def _chunk(key, data, number, flags):
    """The last compression of a chunk, not done yet: what it is when it turns out to be the root is another."""
    value, start = key, CHUNK_START
    blocks = [data[i:i + 64] for i in range(0, len(data), 64)] or [b""]
    for block in blocks[:-1]:
        value = _compress(value, unpack("<16I", block), number, 64, flags | start)[:8]
        start = 0
    last = blocks[-1]
    return value, unpack("<16I", last.ljust(64, b"\0")), number, len(last), flags | start | CHUNK_END


def _tree(key, data, number, flags):
    if len(data) <= 1024:
        return _chunk(key, data, number, flags)
    left = 1024
    while 2 * left < len(data):
        left *= 2
    words = _compress(*_tree(key, data[:left], number, flags))[:8]
    words += _compress(*_tree(key, data[left:], number + left // 1024, flags))[:8]
    return key, words, 0, 64, flags | PARENT


def _output(key, data, flags, length):
    value, words, _, size, flags = _tree(key, data, 0, flags)
    out = b"".join(
        pack("<16I", *_compress(value, words, block, size, flags | ROOT)) for block in range((length + 63) // 64)
    )
    return out[:length]


# The same bytes are hashed again and again where one byte after the other is changed.
@lru_cache(maxsize=1 << 17)
def blake3(data):
    return _output(IV, data, 0, 32)


def keyed(key, data):
    return _output(unpack("<8I", key), data, KEYED, 32)


@lru_cache(maxsize=None)
def _context(context):
    return unpack("<8I", _output(IV, context.encode(), CONTEXT, 32))


@lru_cache(maxsize=1 << 17)
def derive(context, material, length=32):
    return _output(_context(context), material, MATERIAL, length)


def chunk_value(data, number):
    """The value of a chunk that is not all of the data."""
    return pack("<8I", *_compress(*_chunk(IV, data, number, 0))[:8])


@lru_cache(maxsize=1 << 17)
def parent_value(left, right, is_root):
    flags = PARENT | (ROOT if is_root else 0)
    return pack("<8I", *_compress(IV, unpack("<16I", left + right), 0, 64, flags)[:8])
