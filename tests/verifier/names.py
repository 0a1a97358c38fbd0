"""Names as text: bech32m for keys, CIDs for objects."""

import base64

from borsh import require

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHECKSUM = 0x2BC830A3
GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
PREFIXES = {"account": "ost", "node": "ostnode", "vote key": "ostval"}


def _polymod(values):
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(GENERATORS):
            check ^= generator if top >> bit & 1 else 0
    return check


def key(kind, text):
    """The 32 bytes of a bech32m text with the prefix of its kind."""
    prefix, _, data = text.rpartition("1")
    require(prefix == PREFIXES[kind] and set(data) <= set(ALPHABET), f"not the name of an {kind}: {text}")
    values = [ALPHABET.index(letter) for letter in data]
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    require(_polymod(expanded + values) == CHECKSUM, f"a letter is wrong in {text}")
    bits = 0
    for value in values[:-6]:
        bits = bits << 5 | value
    surplus = 5 * (len(values) - 6) - 256
    require(0 <= surplus < 5 and not bits & (1 << surplus) - 1, f"not 32 bytes: {text}")
    return (bits >> surplus).to_bytes(32, "big")


def column(text):
    """The 32 bytes of a CID of a column."""
    return _cid(text, 0x55)


def object_id(text):
    return _cid(text, 0x71)


def _cid(text, codec):
    require(text[:1] == "b", f"not a CID in base32: {text}")
    padded = text[1:].upper() + "=" * (-len(text[1:]) % 8)
    data = base64.b32decode(padded)
    require(data[:4] == bytes([1, codec, 0x1E, 32]) and len(data) == 36, f"not a CID of its kind: {text}")
    return data[4:]
