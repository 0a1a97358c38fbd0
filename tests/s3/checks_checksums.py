"""Checksums and framings of uploads: what is wrong is not stored."""

import base64
import hashlib
import os

from harness import *  # noqa: F403

ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]
STREAMED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def streamed(path, data, trailers, announced="x-amz-checksum-crc32", length=None, headers=(), body=None, **more):
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(data) if length is None else length),
        **({"x-amz-trailer": announced} if announced else {}),
        **dict(headers),
    }
    pieces = [data[start : start + 70000] for start in range(0, len(data), 70000)]
    body = chunked(pieces, trailers) if body is None else body
    return Signed("PUT", path, headers=headers, payload=STREAMED, body=body, **more).send()


@check
def each_algorithm_is_checked_and_told():
    with Bucket("algorithms") as bucket:
        for algorithm in ALGORITHMS:
            put = s3().put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm=algorithm)
            field = f"Checksum{algorithm}"
            same(put["ChecksumType"], "FULL_OBJECT", algorithm)
            others = [f"Checksum{other}" for other in ALGORITHMS if other != algorithm]
            assert not any(other in put for other in others), put
            for got in (
                s3().get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED"),
                s3().head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED"),
            ):
                same((got[field], got["ChecksumType"]), (put[field], "FULL_OBJECT"))
            plain = client(response_checksum_validation="when_required").head_object(Bucket=bucket, Key="k")
            assert field not in plain
            wrong = base64.b64encode(bytes(len(base64.b64decode(put[field])))).decode()
            refused("BadDigest", s3().put_object, Bucket=bucket, Key="w", Body=b"hello", **{field: wrong})
            refused("InvalidRequest", s3().put_object, Bucket=bucket, Key="w", Body=b"hello", **{field: "eHh4"})
        refused(404, s3().head_object, Bucket=bucket, Key="w")
        plain = client(request_checksum_calculation="when_required").put_object(Bucket=bucket, Key="k", Body=b"hello")
        assert "ChecksumCRC64NVME" in plain, plain
        got = s3().get_object(Bucket=bucket, Key="k", Range="bytes=0-1", ChecksumMode="ENABLED")
        assert "ChecksumCRC64NVME" not in got


@check
def md5_is_checked():
    with Bucket("md5") as bucket:
        path = f"/{bucket}/k"
        same(Signed("PUT", path, headers={"content-md5": b64md5(b"x")}, body=b"y").send().code(), "BadDigest")
        same(Signed("PUT", path, headers={"content-md5": "abc"}, body=b"y").send().code(), "InvalidDigest")
        refused(404, s3().head_object, Bucket=bucket, Key="k")
        same(Signed("PUT", path, headers={"content-md5": b64md5(b"y")}, body=b"y").send().status, 200)


@check
def payload_hashes_are_checked():
    with Bucket("hashes") as bucket:
        answer = Signed("PUT", f"/{bucket}/k", payload=sha256(b"x"), body=b"y").send()
        same((answer.status, answer.code()), (400, "XAmzContentSHA256Mismatch"))
        refused(404, s3().head_object, Bucket=bucket, Key="k")
        same(Signed("PUT", f"/{bucket}/k", payload="UNSIGNED-PAYLOAD", body=b"y").send().status, 200)


@check
def trailers_are_checked():
    data = os.urandom(200000)
    with Bucket("trailers") as bucket:
        path, good = f"/{bucket}/k", [("x-amz-checksum-crc32", crc32(data))]
        for trailers, announced, error in [
            ([("x-amz-checksum-crc32", crc32(b"other"))], "x-amz-checksum-crc32", "BadDigest"),
            ([], "x-amz-checksum-crc32", "MalformedTrailerError"),
            ([("x-amz-checksum-crc32c", crc32(data))], "x-amz-checksum-crc32", "MalformedTrailerError"),
            ([("x-amz-checksum-crc32", "?")], "x-amz-checksum-crc32", "InvalidRequest"),
            (good, "x-amz-other", "InvalidRequest"),
            (good, None, "InvalidRequest"),
        ]:
            answer = streamed(path, data, trailers, announced)
            same((answer.status, answer.code()), (400, error), f"{trailers} {announced}")
        for length in (len(data) - 1, len(data) + 1):
            same(streamed(path, data, good, length=length).code(), "IncompleteBody", str(length))
        framed = chunked([data], good)
        for broken in (
            framed[: -len(b"\r\n") - 40],
            framed[:1000],
            framed.replace(b"30d40", b"30d41", 1),
            b"zz\r\n" + framed,
        ):
            same(streamed(path, data, good, body=broken).status, 400)
        refused(404, s3().head_object, Bucket=bucket, Key="k")
        answer = streamed(path, data, good)
        same((answer.status, answer.headers["x-amz-checksum-crc32"]), (200, crc32(data)))
        got = s3().get_object(Bucket=bucket, Key="k")
        assert got["Body"].read() == data and "ContentEncoding" not in got
        for body, wanted in [(framed, 200), (chunked([data[:-1]], good), 400), (framed[:1000], 400)]:
            headers = {
                "content-encoding": "aws-chunked",
                "x-amz-decoded-content-length": str(len(data)),
                "x-amz-trailer": "x-amz-checksum-crc32",
            }
            request = Signed(
                "PUT",
                path,
                headers=headers,
                payload=STREAMED,
                unsigned={"transfer-encoding": "chunked"},
                body=f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n",
            )
            same(request.send(length=False).status, wanted, "of unknown length")
        sums = [("x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(data).digest()).decode())]
        same(streamed(path, data, sums, "x-amz-checksum-sha256").status, 200)


@check
def signed_chunks_are_checked():
    data = os.urandom(150000)
    with Bucket("chunks") as bucket:

        def put(key, trailer=False, break_at=None, trailer_sum=None, cut=False):
            kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
            headers = {"content-encoding": "aws-chunked,gzip", "x-amz-decoded-content-length": str(len(data))}
            if trailer:
                headers["x-amz-trailer"] = "x-amz-checksum-crc32"
            request = Signed("PUT", f"/{bucket}/{key}", headers=headers, payload=kind)
            before, body = request.signature, b""
            for piece in [data[:65536], data[65536:131072], data[131072:], b""]:
                before = request.sign("AWS4-HMAC-SHA256-PAYLOAD", before, sha256(b""), sha256(piece))
                body += f"{len(piece):x};chunk-signature={before}\r\n".encode() + piece + (b"\r\n" if piece else b"")
            if trailer:
                line = f"x-amz-checksum-crc32:{trailer_sum or crc32(data)}\n"
                signature = request.sign("AWS4-HMAC-SHA256-TRAILER", before, sha256(line.encode()))
                body += line.strip().encode() + b"\r\nx-amz-trailer-signature:" + signature.encode() + b"\r\n"
            body += b"\r\n"
            if break_at:
                body = body[:break_at] + bytes([body[break_at] ^ 1]) + body[break_at + 1 :]
            request.body = body[:90000] if cut else body
            return request.send()

        for trailer in (False, True):
            same(put("k", trailer).status, 200)
            got = s3().get_object(Bucket=bucket, Key="k")
            assert got["Body"].read() == data
            same(got["ContentEncoding"], "gzip")
            answer = put("w", trailer, break_at=70000)
            same((answer.status, answer.code()), (403, "SignatureDoesNotMatch"))
            same(put("w", trailer, cut=True).status, 400)
        same(put("w", True, trailer_sum=crc32(b"other")).code(), "BadDigest")
        refused(404, s3().head_object, Bucket=bucket, Key="w")


@check
def chunks_of_any_size_are_taken():
    data = os.urandom(24 * MIB)
    with Bucket("one-chunk") as bucket:
        body = chunked([data], [("x-amz-checksum-crc32", crc32(data))])
        same(streamed(f"/{bucket}/k", data, [], body=body).status, 200)
        assert s3().get_object(Bucket=bucket, Key="k")["Body"].read() == data


@check
def framing_is_not_stored():
    with Bucket("framing") as bucket:
        body = chunked([b"hello"], [("x-amz-checksum-crc32", crc32(b"hello"))])
        headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "5"}
        same(Signed("PUT", f"/{bucket}/k", headers=headers, payload="UNSIGNED-PAYLOAD", body=body).send().status, 400)
        refused(404, s3().head_object, Bucket=bucket, Key="k")
        for encoding, kept in [("aws-chunked", None), ("aws-chunked, gzip", "gzip"), ("gzip,aws-chunked", "gzip")]:
            s3().put_object(Bucket=bucket, Key="k", Body=b"x", ContentEncoding=encoding)
            same(s3().head_object(Bucket=bucket, Key="k").get("ContentEncoding"), kept, encoding)


@check
def one_checksum_only():
    with Bucket("one-sum") as bucket:
        headers = {
            "x-amz-checksum-crc32": crc32(b"x"),
            "x-amz-checksum-sha1": base64.b64encode(hashlib.sha1(b"x").digest()).decode(),
        }
        same(Signed("PUT", f"/{bucket}/k", headers=headers, body=b"x").send().code(), "InvalidRequest")
        headers = {"x-amz-sdk-checksum-algorithm": "CRC32"}
        same(Signed("PUT", f"/{bucket}/k", headers=headers, body=b"x").send().code(), "InvalidRequest")


@check
def lists_of_deletions_are_checked():
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    with Bucket("lists") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"")
        path, query = f"/{bucket}", [("delete", "")]
        same(Signed("POST", path, query=query, body=body).send().code(), "InvalidRequest")
        wrong = [{"content-md5": b64md5(b"x")}, {"x-amz-checksum-crc32": crc32(b"x")}]
        for headers in wrong:
            same(Signed("POST", path, query=query, headers=headers, body=body).send().code(), "BadDigest")
        s3().head_object(Bucket=bucket, Key="k")
        sums = [
            {"content-md5": b64md5(body)},
            {"x-amz-checksum-crc32": crc32(body)},
            {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(body).digest()).decode()},
        ]
        for headers in sums:
            answer = Signed("POST", path, query=query, headers=headers, body=body).send()
            assert answer.status == 200 and b"<Deleted>" in answer.body, answer.body
        for algorithm in ALGORITHMS:
            s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]}, ChecksumAlgorithm=algorithm)
        framed = chunked([body], [("x-amz-checksum-crc32", crc32(body))])
        headers = {
            "content-encoding": "aws-chunked",
            "x-amz-decoded-content-length": str(len(body)),
            "x-amz-trailer": "x-amz-checksum-crc32",
        }
        same(Signed("POST", path, query=query, headers=headers, payload=STREAMED, body=framed).send().status, 200)
