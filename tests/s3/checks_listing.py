"""Listings: order, pages, prefixes and delimiters, encodings."""

import base64

from harness import *  # noqa: F403


def keys(answer):
    return [entry["Key"] for entry in answer.get("Contents", [])]


def prefixes(answer):
    return [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]


@check
def keys_are_in_order_of_bytes():
    with Bucket("order") as bucket:
        all_keys = ["b", "a", "a/", "a//b", "A", "a.", "a0", "\u00e9", "\U0001f600", "\uffee", "../x", "~"]
        for key in all_keys:
            s3().put_object(Bucket=bucket, Key=key, Body=b"")
        same(keys(s3().list_objects_v2(Bucket=bucket)), sorted(all_keys, key=str.encode))


@check
def pages_count_prefixes():
    with Bucket("pages") as bucket:
        for key in ["a", "d1/x", "d1/y", "d2/x", "e", "f/x", "g"]:
            s3().put_object(Bucket=bucket, Key=key, Body=b"")
        page = s3().list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=3)
        same((keys(page), prefixes(page), page["KeyCount"], page["IsTruncated"]), (["a"], ["d1/", "d2/"], 3, True))
        page = s3().list_objects_v2(
            Bucket=bucket, Delimiter="/", MaxKeys=3, ContinuationToken=page["NextContinuationToken"]
        )
        same((keys(page), prefixes(page), page["IsTruncated"]), (["e", "g"], ["f/"], False))
        assert "NextContinuationToken" not in page
        found, marker = [], ""
        while True:
            page = s3().list_objects(Bucket=bucket, Delimiter="/", MaxKeys=1, Marker=marker)
            found += keys(page) + prefixes(page)
            if not page["IsTruncated"]:
                break
            marker = page["NextMarker"]
        same(found, ["a", "d1/", "d2/", "e", "f/", "g"])
        none = s3().list_objects_v2(Bucket=bucket, MaxKeys=0)
        same((none["KeyCount"], none["IsTruncated"], "NextContinuationToken" in none), (0, False, False))
        exact = s3().list_objects_v2(Bucket=bucket, MaxKeys=7)
        same((len(keys(exact)), exact["IsTruncated"]), (7, False))


@check
def prefixes_and_delimiters():
    with Bucket("prefixes") as bucket:
        for key in ["a/b/c", "a/b/d", "a/e", "a//f", "ab", "x::y::z", "x::w"]:
            s3().put_object(Bucket=bucket, Key=key, Body=b"")
        for prefix, delimiter, found, common in [
            ("", "/", ["ab", "x::w", "x::y::z"], ["a/"]),
            ("a/", "/", ["a/e"], ["a//", "a/b/"]),
            ("a/b", "/", [], ["a/b/"]),
            ("a", "", ["a//f", "a/b/c", "a/b/d", "a/e", "ab"], []),
            ("x::", "::", ["x::w"], ["x::y::"]),
            ("none", "/", [], []),
            ("a//", "/", ["a//f"], []),
        ]:
            got = s3().list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter=delimiter)
            same((keys(got), prefixes(got)), (found, common), f"{prefix!r} {delimiter!r}")
            got = s3().list_objects(Bucket=bucket, Prefix=prefix, Delimiter=delimiter)
            same((keys(got), prefixes(got)), (found, common), f"v1 {prefix!r} {delimiter!r}")


@check
def empty_parameters_are_absent():
    with Bucket("absent") as bucket:
        for key in ["a/b", "c"]:
            s3().put_object(Bucket=bucket, Key=key, Body=b"")
        empty = [(name, "") for name in ("continuation-token", "delimiter", "prefix", "start-after", "encoding-type")]
        answer = Signed("GET", f"/{bucket}", query=[("list-type", "2"), *empty]).send()
        same((answer.status, answer.body.count(b"<Key>"), b"<CommonPrefixes>" in answer.body), (200, 2, False))
        empty = [(name, "") for name in ("delimiter", "marker", "prefix")]
        answer = Signed("GET", f"/{bucket}", query=empty).send()
        same((answer.status, answer.body.count(b"<Key>"), b"<CommonPrefixes>" in answer.body), (200, 2, False))
        empty = [(name, "") for name in ("delimiter", "key-marker", "prefix", "version-id-marker")]
        answer = Signed("GET", f"/{bucket}", query=[("versions", ""), *empty]).send()
        same((answer.status, answer.body.count(b"<Key>")), (200, 2))
        empty = [(name, "") for name in ("delimiter", "key-marker", "prefix", "upload-id-marker")]
        same(Signed("GET", f"/{bucket}", query=[("uploads", ""), *empty]).send().status, 200)


@check
def start_after_and_bad_tokens():
    with Bucket("after") as bucket:
        for key in ["a", "b", "c"]:
            s3().put_object(Bucket=bucket, Key=key, Body=b"")
        got = s3().list_objects_v2(Bucket=bucket, StartAfter="a")
        same((keys(got), got["StartAfter"]), (["b", "c"], "a"))
        same(keys(s3().list_objects(Bucket=bucket, Marker="b")), ["c"])
        refused("InvalidArgument", s3().list_objects_v2, Bucket=bucket, ContinuationToken="?")
        refused("InvalidArgument", s3().list_objects_v2, Bucket=bucket, MaxKeys=-1)
        refused("InvalidArgument", s3().list_objects_v2, Bucket=bucket, EncodingType="xml")


@check
def keys_are_encoded():
    with Bucket("encoded") as bucket:
        key = "a b/ü+%&<>\x01*~"
        s3().put_object(Bucket=bucket, Key=key, Body=b"")
        query = [("delimiter", "\x01"), ("encoding-type", "url"), ("list-type", "2"), ("prefix", "a b")]
        answer = Signed("GET", f"/{bucket}", query=query).send()
        for part in [
            b"<EncodingType>url</EncodingType>",
            b"<Prefix>a%20b</Prefix>",
            b"<Delimiter>%01</Delimiter>",
            b"<Prefix>a%20b/%C3%BC%2B%25%26%3C%3E%01</Prefix>",
        ]:
            assert part in answer.body, (part, answer.body)
        answer = Signed("GET", f"/{bucket}", query=[("encoding-type", "url")]).send()
        assert b"<Key>a%20b/%C3%BC%2B%25%26%3C%3E%01*~</Key>" in answer.body, answer.body


@check
def listings_say_all_of_an_object():
    with Bucket("listed") as bucket:
        put = s3().put_object(Bucket=bucket, Key="k", Body=b"12345")
        [entry] = s3().list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"]
        same((entry["ETag"], entry["Size"], entry["StorageClass"]), (put["ETag"], 5, "STANDARD"))
        assert entry["Owner"]["ID"] and entry["ChecksumAlgorithm"] == ["CRC32"], entry
        [entry] = s3().list_objects_v2(Bucket=bucket)["Contents"]
        assert "Owner" not in entry
        [entry] = s3().list_objects(Bucket=bucket)["Contents"]
        assert "Owner" in entry


@check
def versions_are_null():
    with Bucket("versions") as bucket:
        for key in ["a", "b/c", "b/d", "e"]:
            s3().put_object(Bucket=bucket, Key=key, Body=b"")
        got = s3().list_object_versions(Bucket=bucket)
        same(
            [(entry["Key"], entry["VersionId"], entry["IsLatest"]) for entry in got["Versions"]],
            [(key, "null", True) for key in ["a", "b/c", "b/d", "e"]],
        )
        got = s3().list_object_versions(Bucket=bucket, Delimiter="/", MaxKeys=2)
        same(([entry["Key"] for entry in got["Versions"]], prefixes(got), got["IsTruncated"]), (["a"], ["b/"], True))
        got = s3().list_object_versions(Bucket=bucket, Delimiter="/", KeyMarker=got["NextKeyMarker"])
        same([entry["Key"] for entry in got["Versions"]], ["e"])
        pages = s3().get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
        same([entry["Key"] for page in pages for entry in page["Versions"]], ["a", "b/c", "b/d", "e"])
        refused("InvalidArgument", s3().list_object_versions, Bucket=bucket, VersionIdMarker="null")
        same(s3().get_object(Bucket=bucket, Key="a", VersionId="null")["Body"].read(), b"")
        refused("NoSuchVersion", s3().get_object, Bucket=bucket, Key="a", VersionId="other")
        s3().delete_object(Bucket=bucket, Key="a", VersionId="null")
        refused(404, s3().head_object, Bucket=bucket, Key="a")


@check
def a_page_has_a_thousand_at_most():
    with Bucket("thousand") as bucket:
        many(lambda number: s3().put_object(Bucket=bucket, Key=f"k{number:04}", Body=b""), range(1005))
        page = s3().list_objects_v2(Bucket=bucket, MaxKeys=5000)
        same((page["KeyCount"], page["MaxKeys"], page["IsTruncated"]), (1000, 1000, True))
        page = s3().list_objects_v2(Bucket=bucket, ContinuationToken=page["NextContinuationToken"])
        same((page["KeyCount"], page["IsTruncated"]), (5, False))
        names = [{"Key": f"k{number:04}"} for number in range(1005)]
        refused("MalformedXML", s3().delete_objects, Bucket=bucket, Delete={"Objects": names})
        answer = s3().delete_objects(Bucket=bucket, Delete={"Objects": names[:1000], "Quiet": True})
        assert "Deleted" not in answer and "Errors" not in answer, list(answer)
        same(s3().list_objects_v2(Bucket=bucket)["KeyCount"], 5)


@check
def uploads_are_listed_in_pages():
    with Bucket("uploads") as bucket:
        names = [f"p/{number // 2:04}" if number < 1000 else f"q{number}" for number in range(1003)]
        made = many(lambda key: (key, s3().create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]), names)
        pages = list(s3().get_paginator("list_multipart_uploads").paginate(Bucket=bucket))
        same([len(page["Uploads"]) for page in pages], [1000, 3])
        found = [(entry["Key"], entry["UploadId"]) for page in pages for entry in page["Uploads"]]
        same(sorted(found), sorted(made))
        same([key for key, _ in found], sorted(key for key, _ in made))
        page = s3().list_multipart_uploads(Bucket=bucket, Prefix="p/000", MaxUploads=3)
        same([entry["Key"] for entry in page["Uploads"]], ["p/0000", "p/0000", "p/0001"])
        page = s3().list_multipart_uploads(
            Bucket=bucket,
            Prefix="p/000",
            MaxUploads=3,
            KeyMarker=page["NextKeyMarker"],
            UploadIdMarker=page["NextUploadIdMarker"],
        )
        same([entry["Key"] for entry in page["Uploads"]], ["p/0001", "p/0002", "p/0002"])
        page = s3().list_multipart_uploads(Bucket=bucket, Delimiter="/", MaxUploads=2)
        same(
            (prefixes(page), [entry["Key"] for entry in page["Uploads"]], page["IsTruncated"]),
            (["p/"], ["q1000"], True),
        )
        page = s3().list_multipart_uploads(Bucket=bucket, Delimiter="/", KeyMarker="p/")
        same([entry["Key"] for entry in page["Uploads"]], ["q1000", "q1001", "q1002"])
        same(s3().list_multipart_uploads(Bucket=bucket, Prefix="none").get("Uploads", []), [])
