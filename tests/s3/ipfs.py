"""What a gateway promises clients of IPFS: blocks and archives that they verify by their names alone. An archive is left in
the file ARCHIVE."""

import base64
import hashlib
import json
import os

from client import Client

CLIENT = Client(os.environ["ENDPOINT"], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"])
MIB = 1 << 20
BODY = bytes(at % 251 for at in range(2 * MIB + 4321))
RAW, CAR = "application/vnd.ipld.raw", "application/vnd.ipld.car; version=1; order=dfs; dups=y"


def get(path, method="GET", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return CLIENT.send(method, path, {"host": CLIENT.host, **names})


def put(bucket, key, body, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = CLIENT.call("PUT", bucket, key, body=body, headers=names)
    assert answer.status == 200, answer
    return answer.headers.get("x-ipfs-roots")


def hash_of(cid):
    """The hash in a CID in base 32."""
    text = cid[1:].upper()
    return base64.b32decode(text + "=" * (-len(text) % 8))[4:]


def named(codec, block):
    name = bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(block).digest()
    return "b" + base64.b32encode(name).decode().lower().rstrip("=")


def number(data, at):
    value, shift = 0, 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def blocks(archive):
    """Name and bytes of each block, each of which has the hash that its name says."""
    length, at = number(archive, 0)
    at, found = at + length, []
    while at < len(archive):
        length, at = number(archive, at)
        section, at = archive[at:at + length], at + length
        name, block = section[:36], section[36:]
        assert hashlib.sha256(block).digest() == name[4:], "a block is not what its name says"
        found.append((name, block))
    return found


def leaves(archive):
    return b"".join(block for name, block in blocks(archive) if name[1] == 0x55)


def files(root):
    answer = get(f"/ipfs/{root}")
    assert (answer.status, answer.body) == (200, BODY), answer
    assert answer.headers["content-type"] == "text/x-test" and answer.headers["x-ipfs-roots"] == root
    assert "immutable" in answer.headers["cache-control"] and answer.headers["access-control-allow-origin"] == "*"
    part = get(f"/ipfs/{root}", range="bytes=1048570-1048580")
    assert (part.status, part.body) == (206, BODY[1048570:1048581]), part
    assert part.headers["content-range"] == f"bytes 1048570-1048580/{len(BODY)}"
    assert get(f"/ipfs/{root}", range=f"bytes={len(BODY)}-").status == 416
    head = get(f"/ipfs/{root}", method="HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(BODY)), b"")
    assert get(f"/ipfs/{root}", if_none_match=answer.headers["etag"]).status == 304
    assert get(f"/ipfs/{root}", cache_control="only-if-cached").status == 200


def raw_blocks(root):
    answer = get(f"/ipfs/{root}?format=raw")
    assert answer.status == 200 and answer.headers["content-type"] == RAW, answer
    assert named(0x70, answer.body) == root
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["etag"] == f'"{root}.raw"'
    assert get(f"/ipfs/{root}", accept=RAW).body == answer.body
    for at in range(0, len(BODY), MIB):
        leaf = BODY[at:at + MIB]
        found = get(f"/ipfs/{named(0x55, leaf)}?format=raw")
        assert (found.status, found.body) == (200, leaf)
    head = get(f"/ipfs/{root}?format=raw", method="HEAD")
    assert head.headers["content-length"] == str(len(answer.body)) and head.body == b""


def archives(root):
    answer = get(f"/ipfs/{root}?format=car")
    assert answer.status == 200 and answer.headers["content-type"] == CAR, answer
    assert leaves(answer.body) == BODY and answer.headers["content-length"] == str(len(answer.body))
    with open(os.environ["ARCHIVE"], "wb") as file:
        file.write(answer.body)
    first = blocks(answer.body)[0][0]
    assert first[4:] == hash_of(root)
    block = get(f"/ipfs/{root}?format=car&dag-scope=block")
    assert [name for name, _ in blocks(block.body)] == [first]
    last = get(f"/ipfs/{root}?format=car&dag-scope=entity&entity-bytes=-10:*")
    assert leaves(last.body) == BODY[2 * MIB:] and len(blocks(last.body)) == 2
    assert get(f"/ipfs/{root}?format=car&entity-bytes=x").status == 400
    assert get(f"/ipfs/{root}?format=tar").status == 406


def routing(root):
    answer = get(f"/routing/v1/providers/{root}")
    (record,) = json.loads(answer.body)["Providers"]
    host, port = CLIENT.host.split(":")
    assert record["Addrs"] == [f"/ip4/{host}/tcp/{port}/http"], record
    assert record["Protocols"] == ["transport-ipfs-gateway-http"] and record["ID"].startswith("12D3Koo")
    lines = get(f"/routing/v1/providers/{root}", accept="application/x-ndjson")
    assert json.loads(lines.body) == record and lines.headers["content-type"] == "application/x-ndjson"
    assert json.loads(get(f"/routing/v1/providers/{named(0x55, b'nowhere')}").body) == {"Providers": []}
    assert get("/routing/v1/providers/photos").status == 400
    assert get(f"/ipfs/{root}", method="OPTIONS").headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"


def what_is_not_public(root):
    assert CLIENT.call("PUT", "private").status == 200
    assert put("private", "key", b"a secret") is None
    for path in (f"/ipfs/{named(0x55, b'a secret')}", f"/ipfs/{named(0x55, b'nowhere')}?format=raw"):
        assert get(path).status == 404
        assert get(path, cache_control="only-if-cached").status == 412
    assert get("/ipfs/key").status == 400 and get(f"/ipfs/{root}/index.html").status == 404
    for path in ("/private/key", "/private/nothing", "/nowhere/key", "/website"):
        answer = get(path)
        assert answer.status == 403 and b"<Code>AccessDenied</Code>" in answer.body, (path, answer)
        assert get(path, method="HEAD").status == 403, path


def by_their_keys(root):
    whole = get("/website/file")
    assert (whole.status, whole.body, whole.headers["content-type"]) == (200, BODY, "text/x-test")
    assert whole.headers["x-ipfs-roots"] == root
    part = get("/website/file", range="bytes=5-9")
    assert (part.status, part.body) == (206, BODY[5:10])
    assert get("/website/file", method="HEAD").headers["content-length"] == str(len(BODY))
    assert get("/website/nothing").status == 404
    refused = (("PUT", "file"), ("DELETE", "file"), ("GET", "file?tagging"), ("GET", "?list-type=2"), ("HEAD", ""))
    for method, path in refused:
        assert get(f"/website/{path}", method=method).status == 403, (method, path)
    for name in ("response-content-type", "response%2Dcontent%2Dtype"):
        assert get(f"/website/file?{name}=text/html").status == 400


def names(root):
    small = put("website", "small", b"hello")
    assert small == "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq", small
    assert CLIENT.call("HEAD", "website", "small").headers["x-ipfs-roots"] == small
    assert get(f"/ipfs/{small}").body == b"hello"
    empty = put("website", "empty", b"")
    assert get(f"/ipfs/{empty}").body == b"" and leaves(get(f"/ipfs/{empty}?format=car").body) == b""
    assert put("website", "copy", BODY) == root, "the same bytes have the same name"


def main():
    root = put("website", "file", BODY, content_type="text/x-test")
    for group in (files, raw_blocks, archives, routing, what_is_not_public, by_their_keys, names):
        group(root)
        print(f"{group.__name__}: ok")


main()
