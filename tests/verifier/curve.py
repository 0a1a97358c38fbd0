"""The groups of BLS12-381, with their compressed encodings, and products of pairings.

A coordinate of G1 is an integer, one of G2 a pair of them: `Fp2` is Fp[u] with u^2 = -1. Points are pairs of
coordinates, or None for the one at infinity. Fp12 is Fp[w] with w^12 = 2w^6 - 2, so that u is w^6 - 1.
"""

from borsh import require

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
PARAMETER = 0xD201000000010000


class Fp:
    """The operations of a coordinate's field."""

    zero, curve = 0, 4

    def add(a, b):
        return (a + b) % P

    def subtract(a, b):
        return (a - b) % P

    def multiply(a, b):
        return a * b % P

    def inverse(a):
        return pow(a, -1, P)

    def root(a):
        return pow(a, (P + 1) // 4, P)

    def is_large(a):
        return a > P // 2

    def read(data):
        return int.from_bytes(data, "big")

    def is_reduced(a):
        return a < P


class Fp2:
    zero, curve = (0, 0), (4, 4)

    def add(a, b):
        return (a[0] + b[0]) % P, (a[1] + b[1]) % P

    def subtract(a, b):
        return (a[0] - b[0]) % P, (a[1] - b[1]) % P

    def multiply(a, b):
        return (a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P

    def inverse(a):
        norm = pow(a[0] * a[0] + a[1] * a[1], -1, P)
        return a[0] * norm % P, -a[1] * norm % P

    def power(a, exponent):
        total = (1, 0)
        for bit in bin(exponent)[2:]:
            total = Fp2.multiply(total, total)
            total = Fp2.multiply(total, a) if bit == "1" else total
        return total

    def root(a):
        part = Fp2.power(a, (P - 3) // 4)
        root = Fp2.multiply(part, a)
        sign = Fp2.multiply(part, root)
        if sign == (P - 1, 0):
            return Fp2.multiply((0, 1), root)
        return Fp2.multiply(Fp2.power(Fp2.add((1, 0), sign), (P - 1) // 2), root)

    def is_large(a):
        return a[1] > P // 2 if a[1] else a[0] > P // 2

    def read(data):
        return int.from_bytes(data[48:], "big"), int.from_bytes(data[:48], "big")

    def is_reduced(a):
        return max(a) < P


class Group:
    """Points of y^2 = x^3 + curve over a field."""

    def __init__(self, field, size):
        self.field, self.size = field, size

    def slope(self, p, q):
        field = self.field
        if p == q:
            square = field.multiply(p[0], p[0])
            three = field.add(field.add(square, square), square)
            return field.multiply(three, field.inverse(field.add(p[1], p[1])))
        return field.multiply(field.subtract(q[1], p[1]), field.inverse(field.subtract(q[0], p[0])))

    def along(self, p, q, slope):
        """The sum of two points on a line of this slope."""
        field = self.field
        x = field.subtract(field.subtract(field.multiply(slope, slope), p[0]), q[0])
        return x, field.subtract(field.multiply(slope, field.subtract(p[0], x)), p[1])

    def add(self, p, q):
        if p is None or q is None:
            return q if p is None else p
        if p[0] == q[0] and (p[1] != q[1] or p[1] == self.field.zero):
            return None
        return self.along(p, q, self.slope(p, q))

    def negate(self, p):
        return p and (p[0], self.field.subtract(self.field.zero, p[1]))

    def multiply(self, p, number):
        total = None
        for bit in bin(number)[2:]:
            total = self.add(total, total)
            total = self.add(total, p) if bit == "1" else total
        return total

    def read(self, data):
        """A point of the group, not infinity, from its compressed encoding."""
        field, flags = self.field, data[0] >> 5
        require(len(data) == self.size and flags & 0b100 and not flags & 0b010, "not a compressed point")
        x = field.read(bytes([data[0] & 0x1F]) + data[1:])
        square = field.add(field.multiply(field.multiply(x, x), x), field.curve)
        y = field.root(square)
        require(field.is_reduced(x) and field.multiply(y, y) == square, "not a point of the curve")
        if field.is_large(y) != bool(flags & 1):
            y = field.subtract(field.zero, y)
        require(self.multiply((x, y), ORDER) is None, "not a point of the group")
        return x, y


G1, G2 = Group(Fp, 48), Group(Fp2, 96)
G2_BASE = G2.read(bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"))


def _multiply(a, b):
    product = [0] * 23
    for i, x in enumerate(a):
        if x:
            for j, y in enumerate(b):
                product[i + j] += x * y
    for i in range(22, 11, -1):
        product[i - 6] += 2 * product[i]
        product[i - 12] -= 2 * product[i]
    return [value % P for value in product[:12]]


def _line(slope, t, p):
    """The line of this slope through t, at p, times w^3: both of the curve over Fp12."""
    line = [0] * 12
    free = Fp2.subtract(Fp2.multiply(slope, t[0]), t[1])
    for place, (a, b) in ((0, free), (2, Fp2.multiply(slope, (-p[0], 0))), (3, (p[1], 0))):
        line[place], line[place + 6] = (a - b) % P, b % P
    return line


def pairings_are_one(pairs):
    """Whether the product of the pairings of these points of G1 and G2 is one. None of them is infinity."""
    total, sums = [1] + [0] * 11, [q for _, q in pairs]
    for bit in bin(PARAMETER)[3:]:
        total = _multiply(total, total)
        for step in ("double", "add") if bit == "1" else ("double",):
            for i, (p, q) in enumerate(pairs):
                t = sums[i]
                other = t if step == "double" else q
                slope = G2.slope(t, other)
                total = _multiply(_line(slope, t, p), total)
                sums[i] = G2.along(t, other, slope)
    power = [1] + [0] * 11
    for bit in bin((P**12 - 1) // ORDER)[2:]:
        power = _multiply(power, power)
        power = _multiply(power, total) if bit == "1" else power
    return power == [1] + [0] * 11
