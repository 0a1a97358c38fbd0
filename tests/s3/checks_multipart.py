"""Multipart uploads."""

import base64
import concurrent.futures
import hashlib
import os

from harness import *  # noqa: F403


def upload(bucket, key, sizes, numbers=None, **new):
    at = dict(Bucket=bucket, Key=key)
    upload_id = s3().create_multipart_upload(**at, **new)["UploadId"]
    numbers, bodies, parts = numbers or range(1, len(sizes) + 1), [os.urandom(size) for size in sizes], []
    for number, body in zip(numbers, bodies):
        etag = s3().upload_part(**at, UploadId=upload_id, PartNumber=number, Body=body)["ETag"]
        same(etag, f'"{md5(body)}"')
        parts.append({"PartNumber": number, "ETag": etag})
    return upload_id, bodies, parts


def complete(bucket, key, upload_id, parts, **more):
    return s3().complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )


@check
def parts_of_unequal_sizes():
    with Bucket("unequal") as bucket:
        for sizes in [[5 * MIB, 7 * MIB + 1, 6 * MIB, 1], [5 * MIB], [3], [0]]:
            said = dict(Metadata={"a": "1"}, ContentType="text/plain", Tagging="t=1")
            upload_id, bodies, parts = upload(bucket, "k", sizes, **said)
            done = complete(bucket, "k", upload_id, parts)
            sums = b"".join(hashlib.md5(body).digest() for body in bodies)
            etag = f'"{md5(sums)}-{len(sizes)}"'
            same((done["ETag"], done["Bucket"], done["Key"]), (etag, bucket, "k"))
            got = s3().get_object(Bucket=bucket, Key="k")
            assert got["Body"].read() == b"".join(bodies)
            same(
                (got["ETag"], got["Metadata"], got["ContentType"], got["TagCount"]), (etag, {"a": "1"}, "text/plain", 1)
            )
            refused("NoSuchUpload", s3().list_parts, Bucket=bucket, Key="k", UploadId=upload_id)


@check
def a_part_is_read_by_number():
    with Bucket("numbers") as bucket:
        upload_id, bodies, parts = upload(bucket, "k", [5 * MIB, 6 * MIB, 10], numbers=[1, 5, 9999])
        complete(bucket, "k", upload_id, parts)
        total, start = sum(map(len, bodies)), 0
        for number, body in enumerate(bodies, 1):
            got = s3().get_object(Bucket=bucket, Key="k", PartNumber=number)
            assert got["Body"].read() == body
            same(
                (got["ResponseMetadata"]["HTTPStatusCode"], got["PartsCount"], got["ContentRange"]),
                (206, 3, f"bytes {start}-{start + len(body) - 1}/{total}"),
            )
            head = s3().head_object(Bucket=bucket, Key="k", PartNumber=number)
            same((head["ContentLength"], head["PartsCount"]), (len(body), 3))
            start += len(body)
        refused(416, s3().get_object, Bucket=bucket, Key="k", PartNumber=4)
        refused(400, s3().get_object, Bucket=bucket, Key="k", PartNumber=1, Range="bytes=0-1")
        got = s3().get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"], MaxParts=2)[
            "ObjectParts"
        ]
        same(
            (got["TotalPartsCount"], got["IsTruncated"], [part["Size"] for part in got["Parts"]]),
            (3, True, [5 * MIB, 6 * MIB]),
        )
        s3().put_object(Bucket=bucket, Key="whole", Body=b"xyz")
        got = s3().get_object(Bucket=bucket, Key="whole", PartNumber=1)
        same((got["Body"].read(), "PartsCount" in got), (b"xyz", False))
        refused(416, s3().get_object, Bucket=bucket, Key="whole", PartNumber=2)


@check
def wrong_parts_are_refused():
    with Bucket("wrong") as bucket:
        upload_id, _, parts = upload(bucket, "k", [5 * MIB, 6 * MIB, 10])
        refused("InvalidPartOrder", complete, bucket, "k", upload_id, parts[::-1])
        refused("InvalidPartOrder", complete, bucket, "k", upload_id, [parts[0], parts[0]])
        refused("InvalidPart", complete, bucket, "k", upload_id, parts[:2] + [{"PartNumber": 7, "ETag": '"x"'}])
        refused("InvalidPart", complete, bucket, "k", upload_id, [{"PartNumber": 1, "ETag": '"x"'}])
        refused("MalformedXML", complete, bucket, "k", upload_id, [])
        last = s3().upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=4, Body=b"x")["ETag"]
        refused("EntityTooSmall", complete, bucket, "k", upload_id, [parts[2], {"PartNumber": 4, "ETag": last}])
        refused(404, s3().head_object, Bucket=bucket, Key="k")
        complete(bucket, "k", upload_id, parts[:2])
        same(s3().head_object(Bucket=bucket, Key="k")["ContentLength"], 11 * MIB)
        for number in (0, 10001):
            refused(
                "InvalidArgument",
                s3().upload_part,
                Bucket=bucket,
                Key="k",
                UploadId=upload_id,
                PartNumber=number,
                Body=b"",
            )


@check
def uploads_end():
    with Bucket("ends") as bucket:
        upload_id, _, parts = upload(bucket, "k", [10])
        refused(
            "NoSuchUpload", s3().upload_part, Bucket=bucket, Key="other", UploadId=upload_id, PartNumber=1, Body=b""
        )
        s3().abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
        refused("NoSuchUpload", s3().abort_multipart_upload, Bucket=bucket, Key="k", UploadId=upload_id)
        refused("NoSuchUpload", s3().upload_part, Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"")
        refused("NoSuchUpload", complete, bucket, "k", upload_id, parts)
        refused("NoSuchUpload", s3().list_parts, Bucket=bucket, Key="k", UploadId="made-up")
        upload_id, _, parts = upload(bucket, "k", [10])
        first = complete(bucket, "k", upload_id, parts)
        same(complete(bucket, "k", upload_id, parts)["ETag"], first["ETag"], "a repeated completion")


@check
def parts_are_listed_and_replaced():
    with Bucket("parts") as bucket:
        upload_id, bodies, _ = upload(bucket, "k", [5, 6, 7, 8], numbers=[1, 2, 10, 3])
        at = dict(Bucket=bucket, Key="k", UploadId=upload_id)
        got = s3().list_parts(**at)
        same([(part["PartNumber"], part["Size"]) for part in got["Parts"]], [(1, 5), (2, 6), (3, 8), (10, 7)])
        got = s3().list_parts(**at, MaxParts=2)
        same((got["IsTruncated"], got["NextPartNumberMarker"]), (True, 2))
        got = s3().list_parts(**at, MaxParts=2, PartNumberMarker=2)
        same(([part["PartNumber"] for part in got["Parts"]], got["IsTruncated"]), ([3, 10], False))
        s3().upload_part(**at, PartNumber=1, Body=b"again")
        [part] = s3().list_parts(**at, MaxParts=1)["Parts"]
        same(part["ETag"], f'"{md5(b"again")}"')


@check
def parts_are_copied():
    with Bucket("part-copies") as bucket:
        data = os.urandom(6 * MIB)
        s3().put_object(Bucket=bucket, Key="s", Body=data)
        at = dict(Bucket=bucket, Key="k")
        upload_id = s3().create_multipart_upload(**at)["UploadId"]
        copy = dict(**at, UploadId=upload_id, CopySource=f"{bucket}/s")
        one = s3().upload_part_copy(**copy, PartNumber=1)["CopyPartResult"]["ETag"]
        two = s3().upload_part_copy(**copy, PartNumber=2, CopySourceRange="bytes=5-9")["CopyPartResult"]["ETag"]
        refused("InvalidRange", s3().upload_part_copy, **copy, PartNumber=3, CopySourceRange=f"bytes=0-{6 * MIB}")
        refused("InvalidArgument", s3().upload_part_copy, **copy, PartNumber=3, CopySourceRange="bytes=0-")
        refused(412, s3().upload_part_copy, **copy, PartNumber=3, CopySourceIfMatch='"other"')
        complete(bucket, "k", upload_id, [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}])
        assert s3().get_object(**at)["Body"].read() == data + data[5:10]


@check
def parts_arrive_in_parallel():
    with Bucket("parallel") as bucket:
        at = dict(Bucket=bucket, Key="k")
        upload_id, bodies = s3().create_multipart_upload(**at)["UploadId"], [os.urandom(5 * MIB) for _ in range(8)]

        def part(number):
            etag = s3().upload_part(**at, UploadId=upload_id, PartNumber=number, Body=bodies[number - 1])["ETag"]
            return {"PartNumber": number, "ETag": etag}

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            parts = list(pool.map(part, range(1, 9)))
        complete(bucket, "k", upload_id, parts, MpuObjectSize=40 * MIB)
        assert s3().get_object(**at)["Body"].read() == b"".join(bodies)
        upload_id, _, parts = upload(bucket, "k", [10])
        refused("InvalidRequest", complete, bucket, "k", upload_id, parts, MpuObjectSize=11)


@check
def composite_and_full_checksums():
    with Bucket("composite") as bucket:
        at = dict(Bucket=bucket, Key="k")
        bodies = [os.urandom(5 * MIB), os.urandom(100)]
        for algorithm, kind, full in [
            ("CRC32", "COMPOSITE", False),
            ("SHA256", "COMPOSITE", False),
            ("SHA1", "COMPOSITE", False),
            ("CRC32C", "FULL_OBJECT", True),
            ("CRC64NVME", "FULL_OBJECT", True),
            ("CRC32", "FULL_OBJECT", True),
        ]:
            new = s3().create_multipart_upload(**at, ChecksumAlgorithm=algorithm, ChecksumType=kind)
            same((new["ChecksumAlgorithm"], new["ChecksumType"]), (algorithm, kind))
            parts, field, upload_id = [], f"Checksum{algorithm}", new["UploadId"]
            for number, body in enumerate(bodies, 1):
                done = s3().upload_part(
                    **at, UploadId=upload_id, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm
                )
                parts.append({"PartNumber": number, "ETag": done["ETag"], field: done[field]})
            listed = s3().list_parts(**at, UploadId=upload_id)
            same((listed["ChecksumAlgorithm"], listed["ChecksumType"]), (algorithm, kind))
            same([part[field] for part in listed["Parts"]], [part[field] for part in parts])
            wrong = [{**parts[0], field: parts[1][field]}, parts[1]]
            refused("InvalidPart", complete, bucket, "k", upload_id, wrong)
            done = complete(bucket, "k", upload_id, parts)
            same(done["ChecksumType"], kind)
            same(done[field].endswith("-2"), not full, done[field])
            if algorithm == "CRC32":
                expected = (
                    crc32(b"".join(bodies))
                    if full
                    else crc32(b"".join(base64.b64decode(p[field]) for p in parts)) + "-2"
                )
                same(done[field], expected)
            head = s3().head_object(**at, ChecksumMode="ENABLED")
            same((head[field], head["ChecksumType"]), (done[field], kind))
            assert s3().get_object(**at)["Body"].read() == b"".join(bodies)
        refused(
            "InvalidRequest", s3().create_multipart_upload, **at, ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT"
        )
        refused(
            "InvalidRequest",
            s3().create_multipart_upload,
            **at,
            ChecksumAlgorithm="CRC64NVME",
            ChecksumType="COMPOSITE",
        )


@check
def a_checksum_of_the_whole_is_checked():
    with Bucket("whole") as bucket:
        plain = client(request_checksum_calculation="when_required")
        at = dict(Bucket=bucket, Key="k")
        for valid in (False, True):
            upload_id = plain.create_multipart_upload(**at, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")[
                "UploadId"
            ]
            etag = plain.upload_part(**at, UploadId=upload_id, PartNumber=1, Body=b"body")["ETag"]
            whole = dict(ChecksumCRC32=crc32(b"body" if valid else b"other"), ChecksumType="FULL_OBJECT")
            if valid:
                same(
                    complete(bucket, "k", upload_id, [{"PartNumber": 1, "ETag": etag}], **whole)["ChecksumCRC32"],
                    crc32(b"body"),
                )
            else:
                refused("BadDigest", complete, bucket, "k", upload_id, [{"PartNumber": 1, "ETag": etag}], **whole)


@check
def parts_may_bring_other_checksums():
    with Bucket("other-sums") as bucket:
        plain = client(request_checksum_calculation="when_required")
        at = dict(Bucket=bucket, Key="k")
        for announced in (None, "CRC32C"):
            new = dict(ChecksumAlgorithm=announced) if announced else {}
            upload_id = plain.create_multipart_upload(**at, **new)["UploadId"]
            part = dict(**at, UploadId=upload_id, PartNumber=1, Body=b"body")
            same(
                plain.upload_part(**part, ChecksumSHA256=base64.b64encode(hashlib.sha256(b"body").digest()).decode())[
                    "ChecksumSHA256"
                ],
                base64.b64encode(hashlib.sha256(b"body").digest()).decode(),
            )
            refused("BadDigest", plain.upload_part, **part, ChecksumCRC32=crc32(b"other"))
            done = plain.upload_part(**part)
            assert f"Checksum{announced or 'CRC64NVME'}" in done, done
            done = complete(bucket, "k", upload_id, [{"PartNumber": 1, "ETag": done["ETag"]}])
            assert f"Checksum{announced or 'CRC64NVME'}" in done, done
