"""Verification of ed25519 by the rules of ZIP-215: points in any encoding, s below the order, and the cofactor."""

from functools import lru_cache
from hashlib import sha512

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _double(p):
    a = p[0] * p[0] % P
    b = p[1] * p[1] % P
    h = a + b
    e = h - (p[0] + p[1]) ** 2
    g = a - b
    f = 2 * p[2] * p[2] + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def _negate(p):
    return P - p[0], p[1], p[2], P - p[3]


@lru_cache(maxsize=1024)
def _point(data):
    """The point of 32 bytes, or None. y is taken modulo P, and x = 0 may have either sign."""
    bits = int.from_bytes(data, "little")
    sign, y = bits >> 255, (bits & (1 << 255) - 1) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P:
        return None
    if x & 1 != sign:
        x = -x % P
    return x, y, 1, x * y % P


BASE = _point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def verify(key, message, signature):
    a, r = _point(bytes(key)), _point(bytes(signature[:32]))
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER or len(signature) != 64:
        return False
    k = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % ORDER
    # 8 (sB - kA - R) is neutral
    minus_a = _negate(a)
    table = (None, BASE, minus_a, _add(BASE, minus_a))
    total = NEUTRAL
    for bit in range(252, -1, -1):
        total = _double(total)
        digit = s >> bit & 1 | (k >> bit & 1) << 1
        if digit:
            total = _add(total, table[digit])
    total = _double(_double(_double(_add(total, _negate(r)))))
    return total[0] % P == 0 and (total[1] - total[2]) % P == 0
