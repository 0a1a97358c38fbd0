"""What is signed with ed25519: a tag, the chain, and the message."""

from functools import lru_cache

import ed25519
from borsh import require
from formats import encode

_verify = lru_cache(maxsize=None)(ed25519.verify)


def check(tag, chain, name, message, key, signature):
    material = f"ostrakon {tag} 1\0".encode() + chain + encode(name, message)
    require(_verify(key, material, signature), f"a signature of a {tag} does not verify")
