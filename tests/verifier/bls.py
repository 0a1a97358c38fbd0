"""BLS signatures as of the beacon: keys in G2, signatures in G1."""

from functools import lru_cache
from hashlib import sha256

from borsh import Refused, require
from curve import G1, G2, G2_BASE, pairings_are_one
from hash_to_curve import hash_to_g1

BEACON_TAG = b"OSTRAKON_BEACON_1_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"


def verify_all(signed):
    """Checks all of (key, message, signature) together: each with a factor that nobody knew who signed."""
    _verify_all(tuple(signed))


@lru_cache
def _verify_all(signed):
    salt = sha256(b"".join(key + message + signature for key, message, signature in signed)).digest()
    hashes, total, keys = {}, None, {}
    for number, (key, message, signature) in enumerate(signed):
        factor = int.from_bytes(sha256(salt + number.to_bytes(4, "little")).digest()[:8], "little") | 1
        keys[key] = keys.get(key) or G2.read(key)
        hashed = G1.multiply(hash_to_g1(message, BEACON_TAG), factor)
        hashes[key] = G1.add(hashes.get(key), hashed)
        total = G1.add(total, G1.multiply(G1.read(signature), factor))
    pairs = [(hashed, keys[key]) for key, hashed in hashes.items()]
    pairs.append((G1.negate(total), G2_BASE))
    if any(point is None for pair in pairs for point in pair):
        raise Refused("signatures of the beacon cancel each other")
    require(pairings_are_one(pairs), "a signature of the beacon does not verify")
