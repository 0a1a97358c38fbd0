"""Canonical borsh, from formats that are written as SPEC.md draws them.

A table of formats has one in each paragraph: `name = fields`, or `name = type`. Fields are `name: type` between `|`,
and a lone name is that of its type too. Types are integers, `bool`, `string`, `[type; n]`, `vec`, `opt`, `set`, `map`
with the types of key and value, `(fields)` and names. `name = enum` has its variants in the lines below: number, name,
fields. A line that begins with `|` continues the one above.
"""

import re
from types import SimpleNamespace

TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9]*|\d+|\S)")


class Refused(Exception):
    """Why something is not what it should be."""


def require(condition, why):
    if not condition:
        raise Refused(why)


class Value(SimpleNamespace):
    """A struct or a variant, whose `kind` is its name."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        part = self.data[self.at:self.at + count]
        require(len(part) == count, "the bytes end too early")
        self.at += count
        return part

    def integer(self, width):
        return int.from_bytes(self.take(width), "little")


class Integer:
    def __init__(self, width):
        self.width = width

    def read(self, reader):
        return reader.integer(self.width)

    def write(self, value):
        return value.to_bytes(self.width, "little")


class Bool:
    def read(self, reader):
        byte = reader.integer(1)
        require(byte < 2, "a truth value is 0 or 1")
        return byte == 1

    def write(self, value):
        return bytes([value])


class Bytes:
    """`[u8; n]`."""

    def __init__(self, size):
        self.size = size

    def read(self, reader):
        return reader.take(self.size)

    def write(self, value):
        require(len(value) == self.size, f"{self.size} bytes are expected")
        return bytes(value)


class Array:
    def __init__(self, item, size):
        self.item, self.size = item, size

    def read(self, reader):
        return [self.item.read(reader) for _ in range(self.size)]

    def write(self, value):
        return b"".join(map(self.item.write, value))


class Vec:
    def __init__(self, item):
        self.item = item
        self.bytes = isinstance(item, Integer) and item.width == 1

    def read(self, reader):
        count = reader.integer(4)
        return reader.take(count) if self.bytes else [self.item.read(reader) for _ in range(count)]

    def write(self, value):
        return len(value).to_bytes(4, "little") + (
            bytes(value) if self.bytes else b"".join(map(self.item.write, value)))


class Text(Vec):
    def __init__(self):
        super().__init__(Integer(1))

    def read(self, reader):
        return super().read(reader).decode()

    def write(self, value):
        return super().write(value.encode())


class Sorted(Vec):
    """A set, or a map as a list of pairs: in rising order of the keys."""

    def __init__(self, item, key):
        super().__init__(item)
        self.bytes, self.key = False, key

    def read(self, reader):
        items = super().read(reader)
        keys = [order(self.key(item)) for item in items]
        require(all(a < b for a, b in zip(keys, keys[1:])), "keys are not in rising order")
        return items


class Opt:
    def __init__(self, item):
        self.item = item

    def read(self, reader):
        byte = reader.integer(1)
        require(byte < 2, "an option begins with 0 or 1")
        return self.item.read(reader) if byte else None

    def write(self, value):
        return b"\0" if value is None else b"\1" + self.item.write(value)


class Struct:
    def __init__(self, fields):
        self.fields = fields

    def read(self, reader):
        return Value(**{name: item.read(reader) for name, item in self.fields})

    def write(self, value):
        return b"".join(item.write(getattr(value, name)) for name, item in self.fields)


class Enum:
    def __init__(self, variants):
        self.variants = variants
        self.numbers = {name: number for number, (name, _) in variants.items()}

    def read(self, reader):
        number = reader.integer(1)
        require(number in self.variants, f"there is no variant {number}")
        name, item = self.variants[number]
        value = item.read(reader)
        value.kind = name
        return value

    def write(self, value):
        number = self.numbers[value.kind]
        return bytes([number]) + self.variants[number][1].write(value)


class Name:
    """A format by its name, which may be further down in the table."""

    def __init__(self, table, name):
        self.table, self.name = table, name

    def read(self, reader):
        return self.table[self.name].read(reader)

    def write(self, value):
        return self.table[self.name].write(value)


PRIMITIVES = {"u8": Integer(1), "u16": Integer(2), "u32": Integer(4), "u64": Integer(8), "u128": Integer(16),
              "bool": Bool(), "string": Text()}


def order(value):
    """What values compare by: as their fields do, one after the other."""
    return tuple(map(order, vars(value).values())) if isinstance(value, Value) else value


class Formats:
    def __init__(self, text):
        self.table = {}
        for paragraph in re.split(r"\n(?=\S)", text.strip()):
            name, body = paragraph.split("=", 1)
            self.table[name.strip()] = self._definition(body)

    def _definition(self, body):
        if body.split(maxsplit=1)[0] != "enum":
            return self._parse(body)
        variants = {}
        for line in re.sub(r"\n\s+(?=\|)", " ", body.strip()).splitlines()[1:]:
            number, name, *fields = line.split(maxsplit=2)
            variants[int(number)] = (name, self._parse(fields[0], struct=True) if fields else Struct([]))
        return Enum(variants)

    def _parse(self, text, struct=False):
        tokens = TOKEN.findall(text)
        is_named = struct or tokens[1:2] == [":"]
        fields = self._fields(tokens)
        require(not tokens, f"cannot read the format {text!r}")
        return Struct(fields) if is_named or len(fields) > 1 else fields[0][1]

    def _fields(self, tokens):
        fields = []
        while True:
            name = tokens[0]
            if tokens[1:2] == [":"]:
                del tokens[:2]
            fields.append((name, self._type(tokens)))
            if tokens[:1] != ["|"]:
                return fields
            del tokens[0]

    def _type(self, tokens):
        token = tokens.pop(0)
        if token == "vec":
            return Vec(self._type(tokens))
        if token == "opt":
            return Opt(self._type(tokens))
        if token == "set":
            return Sorted(self._type(tokens), lambda item: item)
        if token == "map":
            key, value = self._type(tokens), self._type(tokens)
            return Sorted(Struct([("key", key), ("value", value)]), lambda item: item.key)
        if token == "[":
            item, _, size, _ = self._type(tokens), tokens.pop(0), int(tokens.pop(0)), tokens.pop(0)
            return Bytes(size) if isinstance(item, Integer) and item.width == 1 else Array(item, size)
        if token == "(":
            fields = self._fields(tokens)
            require(tokens.pop(0) == ")", "a bracket is not closed")
            return Struct(fields)
        return PRIMITIVES.get(token) or Name(self.table, token)

    def encode(self, name, value):
        return self.table[name].write(value)

    def decode(self, name, data):
        reader = Reader(data)
        try:
            value = self.table[name].read(reader)
        except UnicodeDecodeError as error:
            raise Refused(f"a text is not UTF-8: {error}") from error
        require(reader.at == len(data), f"there are bytes after the {name}")
        require(self.encode(name, value) == data, f"the {name} is not in its one encoding")
        return value
