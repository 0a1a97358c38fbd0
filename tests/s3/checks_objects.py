"""Buckets and objects: what is put is got, with all that was said of it."""

import datetime
import io
import os
import urllib.parse

from harness import *  # noqa: F403

KEYS = [
    "a",
    "a/",
    "a//b",
    "../x",
    "./x",
    "x/../y",
    "/",
    "//",
    "/lead",
    "trail/",
    ".",
    "..",
    "a b",
    " a ",
    "a+b",
    "a%20b",
    "a%2Fb",
    "%",
    "%%",
    "a?b",
    "a#b",
    "a&b=c",
    "a;b",
    "a:b",
    "a@b",
    "a,b",
    "a=b",
    "a$b",
    "a!b",
    "a'b",
    'a"b',
    "a<b>",
    "a\\b",
    "a|b",
    "a`b",
    "a^b",
    "a{b}",
    "a[b]",
    "a~b",
    "a*b",
    "a(b)",
    "ü",
    "日本語",
    "😀",
    "é",
    "e\u0301",
    "\u202e",
    "tab\tx",
    "nl\nx",
    "cr\rx",
    "\x01",
    "\x7f",
    "\u00a0",
    "\ufffd",
    "x" * 1024,
    "ü" * 512,
    "null",
    "metrics",
    "healthz",
]


@check
def buckets_are_made_listed_and_deleted():
    with Bucket("made") as bucket:
        assert bucket in [entry["Name"] for entry in s3().list_buckets()["Buckets"]]
        same(s3().head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"], 200)
        same(s3().get_bucket_location(Bucket=bucket)["LocationConstraint"], None)
        assert "Status" not in s3().get_bucket_versioning(Bucket=bucket)
        refused("BucketAlreadyOwnedByYou", s3().create_bucket, Bucket=bucket)
        s3().put_object(Bucket=bucket, Key="k", Body=b"")
        refused("BucketNotEmpty", s3().delete_bucket, Bucket=bucket)
        s3().delete_object(Bucket=bucket, Key="k")
        s3().delete_bucket(Bucket=bucket)
        refused(404, s3().head_bucket, Bucket=bucket)
        refused("NoSuchBucket", s3().list_objects_v2, Bucket=bucket)
        refused("NoSuchBucket", s3().put_object, Bucket=bucket, Key="k", Body=b"x")
        refused("NoSuchBucket", s3().delete_bucket, Bucket=bucket)
    same(Signed("PUT", "/Bad_Name").send().code(), "InvalidBucketName")


@check
def buckets_are_listed_in_pages():
    with Bucket("page-1"), Bucket("page-2"), Bucket("page-3"):
        page = s3().list_buckets(MaxBuckets=2, Prefix="conf-page-")
        same([entry["Name"] for entry in page["Buckets"]], ["conf-page-1", "conf-page-2"])
        page = s3().list_buckets(MaxBuckets=2, Prefix="conf-page-", ContinuationToken=page["ContinuationToken"])
        same([entry["Name"] for entry in page["Buckets"]], ["conf-page-3"])
        assert "ContinuationToken" not in page


@check
def bodies_of_all_sizes():
    with Bucket("sizes") as bucket:
        for size in [0, 1, 1023, 65536, 65537, MIB, 5 * MIB + 1, 20 * MIB]:
            data = os.urandom(size)
            put = s3().put_object(Bucket=bucket, Key="k", Body=data)
            same(put["ETag"], f'"{md5(data)}"')
            got = s3().get_object(Bucket=bucket, Key="k")
            assert got["Body"].read() == data, f"{size} bytes differ"
            same((got["ContentLength"], got["ETag"], got["AcceptRanges"]), (size, put["ETag"], "bytes"))
            head = s3().head_object(Bucket=bucket, Key="k")
            same((head["ContentLength"], head["ETag"]), (size, put["ETag"]))


@check
def all_that_was_said_comes_back():
    said = dict(
        CacheControl="no-cache",
        ContentDisposition='attachment; filename="u.txt"',
        ContentEncoding="gzip",
        ContentLanguage="de",
        ContentType="text/plain; charset=utf-8",
        Metadata={"one": "1", "two-words": "a b"},
        Tagging="a=1&b=x%20y",
    )
    with Bucket("said") as bucket:
        expires = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
        s3().put_object(Bucket=bucket, Key="k", Body=b"x", Expires=expires, **said)
        for got in (s3().get_object(Bucket=bucket, Key="k"), s3().head_object(Bucket=bucket, Key="k")):
            for name, value in said.items():
                if name != "Tagging":
                    same(got[name], value, name)
            same(got["ExpiresString"], "Wed, 02 Jan 2030 03:04:05 GMT")
            same(got["TagCount"], 2)
            age = datetime.datetime.now(datetime.timezone.utc) - got["LastModified"]
            assert abs(age) < datetime.timedelta(minutes=5), got["LastModified"]
        s3().put_object(Bucket=bucket, Key="plain", Body=b"x")
        got = s3().head_object(Bucket=bucket, Key="plain")
        same((got["ContentType"], got["Metadata"]), ("binary/octet-stream", {}))


@check
def expires_that_is_no_time_is_kept():
    with Bucket("expires") as bucket:
        same(Signed("PUT", f"/{bucket}/k", headers={"expires": "0"}, body=b"x").send().status, 200)
        same(Signed("HEAD", f"/{bucket}/k").send().headers["expires"], "0")


@check
def metadata_is_bounded_and_unicode():
    with Bucket("metadata") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"n": "v" * 2047})
        refused("MetadataTooLarge", s3().put_object, Bucket=bucket, Key="k", Body=b"", Metadata={"n": "v" * 2048})
        answer = Signed("PUT", f"/{bucket}/u", headers={"x-amz-meta-u": "=?UTF-8?B?w7w=?="}).send()
        same(answer.status, 200)
        value = Signed("HEAD", f"/{bucket}/u").send().headers["x-amz-meta-u"]
        assert value in ("=?UTF-8?B?w7w=?=", "=?UTF-8?Q?=C3=BC?=", "\xc3\xbc"), repr(value)


@check
def responses_are_overridden():
    with Bucket("override") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain", CacheControl="no-store")
        expires = datetime.datetime(2031, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
        asked = dict(
            ResponseContentType="image/png",
            ResponseCacheControl="max-age=1",
            ResponseContentLanguage="fr",
            ResponseContentDisposition="inline",
            ResponseContentEncoding="br",
            ResponseExpires=expires,
        )
        for got in (
            s3().get_object(Bucket=bucket, Key="k", **asked),
            s3().head_object(Bucket=bucket, Key="k", **asked),
        ):
            same(
                (
                    got["ContentType"],
                    got["CacheControl"],
                    got["ContentLanguage"],
                    got["ContentDisposition"],
                    got["ContentEncoding"],
                    got["ExpiresString"],
                ),
                ("image/png", "max-age=1", "fr", "inline", "br", "Thu, 02 Jan 2031 03:04:05 GMT"),
            )


@check
def every_unicode_key_is_its_own():
    with Bucket("keys") as bucket:
        for key in KEYS:
            s3().put_object(Bucket=bucket, Key=key, Body=key.encode())
        for key in KEYS:
            same(s3().get_object(Bucket=bucket, Key=key)["Body"].read(), key.encode(), repr(key))
        listed = [
            entry["Key"]
            for page in s3().get_paginator("list_objects_v2").paginate(Bucket=bucket)
            for entry in page["Contents"]
        ]
        same(listed, sorted(KEYS, key=str.encode), "listing")
        listed = [entry["Key"] for entry in s3().list_objects(Bucket=bucket)["Contents"]]
        same(listed, sorted(KEYS, key=str.encode), "listing v1")
        for key in KEYS:
            s3().delete_object(Bucket=bucket, Key=key)
        same(s3().list_objects_v2(Bucket=bucket)["KeyCount"], 0)


@check
def many_are_deleted_whatever_their_keys():
    # XML cannot name control characters; S3 has the same limit.
    keys = [key for key in KEYS if all(char >= " " or char in "\t\n\r" for char in key)]
    with Bucket("deletes") as bucket:
        for key in keys:
            s3().put_object(Bucket=bucket, Key=key, Body=b"")
        answer = s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
        same(answer.get("Errors", []), [])
        left = s3().list_objects_v2(Bucket=bucket)
        same([entry["Key"] for entry in left.get("Contents", [])], [])
        same(sorted(entry["Key"] for entry in answer["Deleted"]), sorted(keys), "what is told")


@check
def paths_are_not_normalised():
    with Bucket("paths") as bucket:
        for path, key in [
            ("a/../b", "a/../b"),
            ("a/./b", "a/./b"),
            ("a//b", "a//b"),
            ("%2e%2e/x", "../x"),
            ("a%2Fb", "a/b"),
            ("//", "//"),
            ("a%20b", "a b"),
            ("a+b", "a+b"),
        ]:
            canonical = "/" + bucket + "/" + "/".join(quote(part) for part in key.split("/"))
            request = Signed("PUT", canonical, body=key.encode())
            request.target = f"/{bucket}/{path}"
            same(request.send().status, 200, path)
            same(s3().get_object(Bucket=bucket, Key=key)["Body"].read(), key.encode(), path)
        same(s3().list_objects_v2(Bucket=bucket)["KeyCount"], 8)


@check
def long_keys_are_refused():
    with Bucket("long") as bucket:
        refused("KeyTooLongError", s3().put_object, Bucket=bucket, Key="x" * 1025, Body=b"")


@check
def what_is_not_there():
    with Bucket("none") as bucket:
        refused("NoSuchKey", s3().get_object, Bucket=bucket, Key="k")
        refused(404, s3().head_object, Bucket=bucket, Key="k")
        s3().delete_object(Bucket=bucket, Key="k")
        refused("NoSuchKey", s3().get_object_tagging, Bucket=bucket, Key="k")


@check
def ranges():
    data = bytes(range(256)) * 40
    with Bucket("ranges") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=data)
        s3().put_object(Bucket=bucket, Key="empty", Body=b"")
        for asked, part in [
            ("bytes=0-0", data[:1]),
            ("bytes=5-9", data[5:10]),
            ("bytes=10000-", data[10000:]),
            ("bytes=-7", data[-7:]),
            ("bytes=-99999", data),
            ("bytes=100-999999", data[100:]),
            ("bytes=100-99999999999999999999999", data[100:]),
        ]:
            got = s3().get_object(Bucket=bucket, Key="k", Range=asked)
            is_end = part == data[-len(part) :] and len(part) > 1
            start = len(data) - len(part) if is_end else data.find(part)
            same(got["ResponseMetadata"]["HTTPStatusCode"], 206, asked)
            same(got["ContentRange"], f"bytes {start}-{start + len(part) - 1}/{len(data)}", asked)
            assert got["Body"].read() == part, asked
            head = s3().head_object(Bucket=bucket, Key="k", Range=asked)
            same(
                (head["ResponseMetadata"]["HTTPStatusCode"], head["ContentLength"], head["ContentRange"]),
                (206, len(part), got["ContentRange"]),
                asked,
            )
        for malformed in ["bytes=5-2", "bytes=a-b", "bytes=", "lines=1-2", "bytes=0-1,3-4", "5-9", "bytes=--5"]:
            got = s3().get_object(Bucket=bucket, Key="k", Range=malformed)
            same((got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()), (200, data), malformed)
        for key, asked in [
            ("k", "bytes=10240-"),
            ("k", "bytes=-0"),
            ("empty", "bytes=0-"),
            ("empty", "bytes=-1"),
            ("k", "bytes=99999999999999999999999-"),
        ]:
            why = refused(416, s3().get_object, Bucket=bucket, Key=key, Range=asked)
            same(code(why), "InvalidRange")
            size = len(data) if key == "k" else 0
            same(why.response["ResponseMetadata"]["HTTPHeaders"]["content-range"], f"bytes */{size}", asked)


@check
def heads_have_a_length_and_no_body():
    with Bucket("heads") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"x" * 1234)
        s3().put_object(Bucket=bucket, Key="e", Body=b"")
        for key, length in [("k", "1234"), ("e", "0")]:
            answer = Signed("HEAD", f"/{bucket}/{key}").send()
            same((answer.status, answer.headers["content-length"], answer.body), (200, length, b""))
        answer = Signed("HEAD", f"/{bucket}/none").send()
        same((answer.status, answer.body), (404, b""))


@check
def tags():
    with Bucket("tags") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"x")
        tags = [{"Key": "a", "Value": "1"}, {"Key": "ü", "Value": ""}]
        s3().put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
        same(s3().get_object_tagging(Bucket=bucket, Key="k")["TagSet"], tags)
        for bad in [
            [{"Key": "a", "Value": "1"}] * 2,
            [{"Key": "k" * 129, "Value": ""}],
            [{"Key": "k", "Value": "v" * 257}],
        ]:
            refused("InvalidTag", s3().put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": bad})
        eleven = [{"Key": str(number), "Value": ""} for number in range(11)]
        refused(400, s3().put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": eleven})
        s3().delete_object_tagging(Bucket=bucket, Key="k")
        same(s3().get_object_tagging(Bucket=bucket, Key="k")["TagSet"], [])


@check
def copies():
    with Bucket("copies") as bucket, Bucket("copies-too") as other:
        key = "sücüre +%"
        s3().put_object(Bucket=bucket, Key=key, Body=b"body", Metadata={"a": "1"}, ContentType="text/a", Tagging="t=1")
        source = {"Bucket": bucket, "Key": key}
        done = s3().copy_object(Bucket=other, Key="k", CopySource=source)
        same(done["CopyObjectResult"]["ETag"], f'"{md5(b"body")}"')
        got = s3().get_object(Bucket=other, Key="k")
        same(
            (got["Body"].read(), got["Metadata"], got["ContentType"], got["TagCount"]),
            (b"body", {"a": "1"}, "text/a", 1),
        )
        s3().copy_object(
            Bucket=bucket,
            Key="r",
            CopySource=source,
            MetadataDirective="REPLACE",
            Metadata={"b": "2"},
            ContentType="text/b",
        )
        got = s3().head_object(Bucket=bucket, Key="r")
        same((got["Metadata"], got["ContentType"], got["TagCount"]), ({"b": "2"}, "text/b", 1))
        s3().copy_object(Bucket=bucket, Key="t", CopySource=source, TaggingDirective="REPLACE", Tagging="u=2")
        same(s3().get_object_tagging(Bucket=bucket, Key="t")["TagSet"], [{"Key": "u", "Value": "2"}])
        same(s3().head_object(Bucket=bucket, Key="t")["Metadata"], {"a": "1"})
        refused("InvalidRequest", s3().copy_object, Bucket=bucket, Key=key, CopySource=source)
        s3().copy_object(Bucket=bucket, Key=key, CopySource=source, MetadataDirective="REPLACE", Metadata={"c": "3"})
        same(s3().head_object(Bucket=bucket, Key=key)["Metadata"], {"c": "3"})
        refused("NoSuchKey", s3().copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/none")
        refused("NoSuchBucket", s3().copy_object, Bucket=bucket, Key="k", CopySource="conf-none-such/none")


@check
def attributes():
    with Bucket("attributes") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"x" * 10)
        asked = ["ETag", "ObjectSize", "StorageClass", "Checksum", "ObjectParts"]
        got = s3().get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=asked)
        same((got["ETag"], got["ObjectSize"], got["StorageClass"]), (md5(b"x" * 10), 10, "STANDARD"))
        assert got["Checksum"]["ChecksumType"] == "FULL_OBJECT" and "ObjectParts" not in got, got
        only = s3().get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])
        assert "ETag" not in only and only["ObjectSize"] == 10
        answer = Signed(
            "GET", f"/{bucket}/k", query=[("attributes", "")], headers={"x-amz-object-attributes": "ETag,ObjectSize"}
        ).send()
        assert answer.status == 200 and f"<ETag>{md5(b'x' * 10)}</ETag>".encode() in answer.body, answer.body


@check
def owners():
    with Bucket("owners") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"", ACL="private")
        for got in (s3().get_bucket_acl(Bucket=bucket), s3().get_object_acl(Bucket=bucket, Key="k")):
            same([grant["Permission"] for grant in got["Grants"]], ["FULL_CONTROL"])
        s3().put_object_acl(Bucket=bucket, Key="k", ACL="private")
        refused("AccessControlListNotSupported", s3().put_object_acl, Bucket=bucket, Key="k", ACL="public-read")
        refused("AccessControlListNotSupported", s3().put_bucket_acl, Bucket=bucket, ACL="public-read")


@check
def files_are_moved_in_parts():
    with Bucket("files") as bucket:
        data = os.urandom(23 * MIB)
        s3().upload_fileobj(io.BytesIO(data), bucket, "big")
        out = io.BytesIO()
        s3().download_fileobj(bucket, "big", out)
        assert out.getvalue() == data
        same(s3().head_object(Bucket=bucket, Key="big")["ETag"][-3:], '-3"')


@check
def virtual_hosts():
    if not DOMAIN:
        raise Skip("S3_DOMAIN is not set")
    with Bucket("hosts") as bucket:
        host = f"{bucket}.{DOMAIN}:{PORT}"
        for target in ["/k", "/a//b", "/" + urllib.parse.quote("ü x")]:
            key = urllib.parse.unquote(target[1:])
            same(Signed("PUT", target, headers={"host": host}, body=key.encode()).send().status, 200)
            same(s3().get_object(Bucket=bucket, Key=key)["Body"].read(), key.encode())
        answer = Signed("GET", "/", query=[("list-type", "2")], headers={"host": host}).send()
        same((answer.status, answer.body.count(b"<Key>")), (200, 3))
        answer = Signed("GET", f"/{bucket}/k", headers={"host": f"{DOMAIN}:{PORT}"}).send()
        same((answer.status, answer.body), (200, b"k"))
