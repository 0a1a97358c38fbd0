"""What S3 promises its clients, tried on a gateway with requests made by hand: prints a line for each rule, and exits
with 1 when one is broken. Names the gateway by ENDPOINT, ACCESS_KEY and SECRET_KEY."""

import base64
import hashlib
import os
import struct
import sys
import traceback
import zlib

from client import UNSIGNED, Client

BUCKET = "rules"
S3 = Client(os.environ["ENDPOINT"], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"])


def call(method, key=None, **more):
    return S3.call(method, BUCKET, key, **more)


def expect(answer, status, code=None):
    assert answer.status == status, f"expected {status}, got {answer}"
    assert code is None or answer.code == code, f"expected {code}, got {answer}"
    return answer


def put(key, body, **headers):
    said = {name.replace("_", "-"): text for name, text in headers.items()}
    return expect(call("PUT", key, body=body, headers=said), 200)


def keys(**query):
    answer = expect(call("GET", query={name.replace("_", "-"): text for name, text in query.items()}), 200)
    return answer.texts("Contents/Key"), answer.texts("CommonPrefixes/Prefix"), answer


def buckets():
    assert BUCKET in expect(S3.call("GET"), 200).texts("Buckets/Bucket/Name")
    expect(S3.call("HEAD", BUCKET), 200)
    expect(S3.call("HEAD", "nothing-here"), 404)
    expect(S3.call("GET", "nothing-here"), 404, "NoSuchBucket")
    expect(S3.call("PUT", "Not_A_Name"), 400)
    assert expect(call("GET", query={"location": ""}), 200).xml() is not None


def objects():
    answer = put("hello", b"hello", content_type="text/plain", x_amz_meta_colour="blue")
    assert answer.headers["etag"] == '"5d41402abc4b2a76b9719d911017c592"', answer
    got = expect(call("GET", "hello"), 200)
    found = (got.body, got.headers["content-type"], got.headers["x-amz-meta-colour"])
    assert found == (b"hello", "text/plain", "blue"), got
    head = expect(call("HEAD", "hello"), 200)
    assert (head.headers["content-length"], head.headers["etag"]) == ("5", answer.headers["etag"]), head
    expect(call("GET", "absent"), 404, "NoSuchKey")
    expect(call("HEAD", "absent"), 404)
    expect(call("DELETE", "hello"), 204)
    expect(call("DELETE", "hello"), 204)
    expect(call("GET", "hello"), 404, "NoSuchKey")
    put("empty", b"")
    got = expect(call("GET", "empty"), 200)
    assert (got.body, got.headers["content-length"]) == (b"", "0"), got


def large():
    body = bytes(range(256)) * 12_000
    put("large", body)
    assert call("GET", "large").body == body


def ranges():
    put("ranges", bytes(range(100)))
    def got(text, status=206):
        return expect(call("GET", "ranges", headers={"range": text}), status)
    part = got("bytes=10-19")
    assert (part.body, part.headers["content-range"]) == (bytes(range(10, 20)), "bytes 10-19/100"), part
    assert got("bytes=-5").body == bytes(range(95, 100))
    assert got("bytes=90-500").body == bytes(range(90, 100))
    assert got("bytes=x-y", 200).body == bytes(range(100))
    got("bytes=100-", 416)
    head = expect(call("HEAD", "ranges", headers={"range": "bytes=10-19"}), 206)
    assert (head.headers["content-length"], head.headers["content-range"]) == ("10", "bytes 10-19/100"), head


def conditions():
    etag = put("conditions", b"one").headers["etag"]
    for header, value, status in [
        ("if-none-match", "*", 412), ("if-match", '"0"', 412), ("if-match", etag, 200), ("if-match", "*", 200),
    ]:
        expect(call("PUT", "conditions", body=b"one", headers={header: value}), status)
    expect(call("PUT", "never", body=b"x", headers={"if-match": etag}), 404)
    expect(call("PUT", "once", body=b"x", headers={"if-none-match": "*"}), 200)
    # The body is announced, and never sent.
    unsent = {"content-length": "4000000", "expect": "100-continue", "x-amz-content-sha256": UNSIGNED}
    for key, header, value, status in [
        ("conditions", "if-none-match", "*", 412), ("conditions", "if-match", '"0"', 412), ("never", "if-match", etag, 404),
    ]:
        expect(call("PUT", key, headers={header: value, **unsent}, timeout=20), status)
    expect(call("GET", "conditions", headers={"if-none-match": etag}), 304)
    expect(call("GET", "conditions", headers={"if-match": '"0"'}), 412)
    expect(call("GET", "conditions", headers={"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"}), 304)
    expect(call("GET", "conditions", headers={"if-unmodified-since": "Sat, 01 Jan 2000 00:00:00 GMT"}), 412)


def every_key():
    odd = ["a b+c%20d?e#f", "\u0001x", "x" * 1024, "~!@$^*()'\"<>"]
    for key in ["a//b", "../x", "a/./b", "ключ", "键/キー", *odd]:
        put(key, key.encode())
        assert expect(call("GET", key), 200).body == key.encode(), key
        expect(call("DELETE", key), 204)
    expect(call("PUT", "x" * 1025, body=b"x"), 400, "KeyTooLongError")


def lists():
    all_keys = ["list/a", "list/a/", "list/a/b", "list/b/1", "list/b/2", "list/c"]
    for key in all_keys:
        put(key, b"x")
    found, prefixes, answer = keys(list_type="2", prefix="list/", delimiter="", continuation_token="")
    assert (found, prefixes, answer.texts("IsTruncated")) == (all_keys, [], ["false"]), answer
    found, prefixes, _ = keys(list_type="2", prefix="list/", delimiter="/")
    assert (found, prefixes) == (["list/a", "list/c"], ["list/a/", "list/b/"]), (found, prefixes)
    seen, token = [], ""
    while True:
        page = {"max_keys": "1", "continuation_token": token}
        found, prefixes, answer = keys(list_type="2", prefix="list/", delimiter="/", **page)
        seen += found + prefixes
        if answer.texts("IsTruncated") == ["false"]:
            break
        token = answer.texts("NextContinuationToken")[0]
    assert seen == ["list/a", "list/a/", "list/b/", "list/c"], seen
    found, _, answer = keys(prefix="list/", max_keys="2", marker="list/a")
    assert (found, answer.texts("IsTruncated")) == (["list/a/", "list/a/b"], ["true"]), answer
    found, _, _ = keys(list_type="2", prefix="list/", start_after="list/b/1")
    assert found == ["list/b/2", "list/c"], found


def copies():
    put("from", b"to be copied", content_type="text/x-from", x_amz_meta_a="1")
    def copy(key, **headers):
        said = {name.replace("_", "-"): text for name, text in headers.items()}
        return call("PUT", key, headers={"x-amz-copy-source": f"/{BUCKET}/from", **said})
    expect(copy("copied"), 200)
    got = call("GET", "copied")
    found = (got.body, got.headers["content-type"], got.headers["x-amz-meta-a"])
    assert found == (b"to be copied", "text/x-from", "1"), got
    expect(copy("replaced", x_amz_metadata_directive="REPLACE", content_type="text/x-to"), 200)
    assert call("HEAD", "replaced").headers["content-type"] == "text/x-to"
    expect(copy("copied", x_amz_copy_source_if_match='"0"'), 412)
    digest = base64.b64encode(hashlib.sha256(b"to be copied").digest()).decode()
    assert expect(copy("copied", x_amz_checksum_algorithm="SHA256"), 200).texts("ChecksumSHA256") == [digest]
    head = call("HEAD", "copied", headers={"x-amz-checksum-mode": "ENABLED"})
    assert head.headers["x-amz-checksum-sha256"] == digest, head
    expect(call("PUT", "x", headers={"x-amz-copy-source": f"/{BUCKET}/absent"}), 404, "NoSuchKey")


def deletes():
    for key in ["delete/1", "delete/2"]:
        put(key, b"x")
    names = "".join(f"<Object><Key>{key}</Key></Object>" for key in ["delete/1", "delete/2", "no"])
    body = f"<Delete>{names}</Delete>".encode()
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = expect(call("POST", query={"delete": ""}, body=body, headers={"content-md5": md5}), 200)
    assert sorted(answer.texts("Deleted/Key")) == ["delete/1", "delete/2", "no"], answer
    assert keys(list_type="2", prefix="delete/")[0] == []


def uploads():
    begun = expect(call("POST", "parts", query={"uploads": ""}), 200)
    upload = begun.texts("UploadId")[0]
    listed = expect(call("GET", query={"uploads": "", "prefix": "par"}), 200)
    assert listed.texts("Upload/UploadId") == [upload], listed
    bodies = [b"a" * (5 << 20), b"b" * ((5 << 20) + 1), b"c"]
    def part(key, upload, number, body):
        answer = call("PUT", key, query={"partNumber": str(number), "uploadId": upload}, body=body)
        return expect(answer, 200).headers["etag"]
    etags = [part("parts", upload, number, body) for number, body in enumerate(bodies, 1)]
    def complete(numbers):
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etags[number - 1]}</ETag></Part>" for number in numbers
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        return call("POST", "parts", query={"uploadId": upload}, body=body)
    listed = expect(call("GET", "parts", query={"uploadId": upload}), 200)
    assert listed.texts("Part/Size") == [str(len(body)) for body in bodies], listed
    expect(complete([2, 1]), 400, "InvalidPartOrder")
    expect(complete([1, 2, 3]), 200)
    whole = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
    got = expect(call("GET", "parts"), 200)
    assert (got.body == b"".join(bodies), got.headers["etag"]) == (True, f'"{whole}-3"'), got.headers
    second = expect(call("GET", "parts", query={"partNumber": "2"}), 206)
    assert second.body == bodies[1] and second.headers["x-amz-mp-parts-count"] == "3", second.headers
    upload = call("POST", "parts2", query={"uploads": ""}).texts("UploadId")[0]
    etags = [part("parts2", upload, number, b"x") for number in "12"]
    body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in zip("12", etags))
    body = f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode()
    expect(call("POST", "parts2", query={"uploadId": upload}, body=body), 400, "EntityTooSmall")
    expect(call("DELETE", "parts2", query={"uploadId": upload}), 204)
    expect(call("DELETE", "parts2", query={"uploadId": upload}), 404, "NoSuchUpload")


def checksums():
    crc = base64.b64encode(struct.pack(">I", zlib.crc32(b"checked"))).decode()
    answer = put("checked", b"checked", x_amz_checksum_crc32=crc)
    assert answer.headers["x-amz-checksum-crc32"] == crc, answer
    got = expect(call("GET", "checked", headers={"x-amz-checksum-mode": "ENABLED"}), 200)
    assert got.headers["x-amz-checksum-crc32"] == crc, got
    expect(call("PUT", "wrong", body=b"other", headers={"x-amz-checksum-crc32": crc}), 400)
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    expect(call("PUT", "wrong", body=b"not it", headers={"content-md5": md5}), 400)
    expect(call("GET", "wrong"), 404)
    def trailing(sum_text):
        body = b"7\r\nchecked\r\n0\r\nx-amz-checksum-crc32:" + sum_text.encode() + b"\r\n\r\n"
        headers = {
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-trailer": "x-amz-checksum-crc32",
            "x-amz-decoded-content-length": "7",
            "content-encoding": "aws-chunked",
        }
        return call("PUT", "trailing", body=body, headers=headers)
    expect(trailing("AAAAAA=="), 400)
    expect(call("GET", "trailing"), 404)
    expect(trailing(crc), 200)
    got = call("GET", "trailing")
    assert got.body == b"checked" and "content-encoding" not in got.headers, got


def signatures():
    put("secret", b"x")
    other = Client(os.environ["ENDPOINT"], S3.key, "not the secret")
    expect(other.call("GET", BUCKET, "secret"), 403, "SignatureDoesNotMatch")
    other = Client(os.environ["ENDPOINT"], "nobody", "x")
    expect(other.call("GET", BUCKET, "secret"), 403, "InvalidAccessKeyId")
    told = expect(Client(os.environ["ENDPOINT"], S3.key, S3.secret, "US").call("GET", BUCKET, "secret"), 400)
    assert (told.code, told.texts("Region")) == ("AuthorizationHeaderMalformed", ["us-east-1"]), told
    host = {"host": S3.host}
    assert S3.send("GET", f"/{BUCKET}/secret", host).status == 403
    good = S3.presigned("GET", BUCKET, "secret", 60)
    assert expect(S3.send("GET", good, host), 200).body == b"x"
    assert S3.send("GET", good.replace("secret", "other", 1), host).status == 403
    assert S3.send("GET", S3.presigned("GET", BUCKET, "secret", 8 * 86400), host).status in (400, 403)
    expect(call("PUT", "unsigned", body=b"y", headers={"x-amz-content-sha256": UNSIGNED}), 200)


def tags():
    put("tagged", b"x", x_amz_tagging="a=1&b=2")
    got = expect(call("GET", "tagged", query={"tagging": ""}), 200)
    assert sorted(got.texts("TagSet/Tag/Key")) == ["a", "b"], got
    expect(call("DELETE", "tagged", query={"tagging": ""}), 204)
    assert call("GET", "tagged", query={"tagging": ""}).texts("TagSet/Tag/Key") == []


RULES = [buckets, objects, large, ranges, conditions, every_key, lists, copies, deletes, uploads, checksums, signatures]
RULES += [tags]


def main():
    failed = 0
    expect(S3.call("PUT", BUCKET), 200)
    for rule in RULES:
        try:
            rule()
            print(f"{rule.__name__}: ok", flush=True)
        except Exception:  # noqa: BLE001 - each failure is reported, and the next rule tried
            failed += 1
            print(f"{rule.__name__}: FAILED\n{traceback.format_exc()}", flush=True)
    sys.exit(1 if failed else 0)


main()
