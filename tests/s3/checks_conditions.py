"""Conditions of reads, writes, copies and deletions, and who wins of two writers."""

import concurrent.futures
import datetime

from harness import *  # noqa: F403


@check
def reads_have_conditions():
    with Bucket("reads") as bucket:
        etag = s3().put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
        now = s3().head_object(Bucket=bucket, Key="k")["LastModified"]
        before, after = now - datetime.timedelta(hours=1), now + datetime.timedelta(seconds=1)
        for read in (s3().get_object, s3().head_object):
            at = dict(Bucket=bucket, Key="k")
            for valid in [
                dict(IfMatch=etag),
                dict(IfMatch="*"),
                dict(IfNoneMatch='"other"'),
                dict(IfModifiedSince=before),
                dict(IfUnmodifiedSince=after),
                dict(IfUnmodifiedSince=now),
                dict(IfMatch=etag, IfUnmodifiedSince=before),
                dict(IfNoneMatch='"other"', IfModifiedSince=after),
                dict(IfMatch=f'"a", {etag}'),
            ]:
                same(read(**at, **valid)["ResponseMetadata"]["HTTPStatusCode"], 200, str(valid))
            for false in [dict(IfMatch='"other"'), dict(IfUnmodifiedSince=before)]:
                refused(412, read, **at, **false)
            for same_still in [
                dict(IfNoneMatch=etag),
                dict(IfNoneMatch="*"),
                dict(IfModifiedSince=now),
                dict(IfNoneMatch=f'"a", W/{etag}'),
                dict(IfNoneMatch=etag, IfModifiedSince=before),
                dict(IfMatch=etag, IfNoneMatch=etag),
            ]:
                same(status(refused(304, read, **at, **same_still)), 304, str(same_still))
        answer = Signed("GET", f"/{bucket}/k", headers={"if-none-match": etag}).send()
        same((answer.status, answer.body, answer.headers["etag"]), (304, b"", etag))
        same(Signed("GET", f"/{bucket}/k", headers={"if-modified-since": "yesterday"}).send().status, 200)


@check
def puts_have_conditions():
    with Bucket("puts") as bucket:
        at = dict(Bucket=bucket, Key="k")
        refused(404, s3().put_object, **at, Body=b"0", IfMatch='"other"')
        etag = s3().put_object(**at, Body=b"1", IfNoneMatch="*")["ETag"]
        refused(412, s3().put_object, **at, Body=b"2", IfNoneMatch="*")
        refused(412, s3().put_object, **at, Body=b"2" * 3 * MIB, IfNoneMatch="*")
        refused(412, s3().put_object, **at, Body=b"2", IfMatch='"other"')
        etag = s3().put_object(**at, Body=b"3", IfMatch=etag)["ETag"]
        s3().put_object(**at, Body=b"4", IfMatch=etag.strip('"'))
        same(s3().get_object(**at)["Body"].read(), b"4")


@check
def completions_have_conditions():
    with Bucket("completions") as bucket:
        at = dict(Bucket=bucket, Key="k")

        def complete(**condition):
            upload = s3().create_multipart_upload(**at)["UploadId"]
            etag = s3().upload_part(**at, UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
            return s3().complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts, **condition)

        refused(404, complete, IfMatch='"other"')
        etag = complete(IfNoneMatch="*")["ETag"]
        refused(412, complete, IfNoneMatch="*")
        refused(412, complete, IfMatch='"other"')
        complete(IfMatch=etag)


@check
def deletions_have_conditions():
    with Bucket("deletions") as bucket:
        at = dict(Bucket=bucket, Key="k")
        refused(404, s3().delete_object, **at, IfMatch="*")
        etag = s3().put_object(**at, Body=b"1")["ETag"]
        refused(412, s3().delete_object, **at, IfMatch='"other"')
        s3().delete_object(**at, IfMatch=etag)
        refused(404, s3().head_object, **at)
        etag = s3().put_object(**at, Body=b"1")["ETag"]
        named = [{"Key": "k", "ETag": '"other"'}, {"Key": "none", "ETag": '"other"'}]
        answer = s3().delete_objects(Bucket=bucket, Delete={"Objects": named})
        same([error["Code"] for error in answer["Errors"]], ["PreconditionFailed", "NoSuchKey"])
        answer = s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "ETag": etag}]})
        same([entry["Key"] for entry in answer["Deleted"]], ["k"])


@check
def copies_have_conditions():
    with Bucket("copy-if") as bucket:
        etag = s3().put_object(Bucket=bucket, Key="s", Body=b"1")["ETag"]
        now = s3().head_object(Bucket=bucket, Key="s")["LastModified"]
        before = now - datetime.timedelta(hours=1)
        copy = dict(Bucket=bucket, Key="k", CopySource=f"{bucket}/s")
        for false in [
            dict(CopySourceIfMatch='"other"'),
            dict(CopySourceIfNoneMatch=etag),
            dict(CopySourceIfModifiedSince=now),
            dict(CopySourceIfUnmodifiedSince=before),
        ]:
            refused(412, s3().copy_object, **copy, **false)
        refused(404, s3().head_object, Bucket=bucket, Key="k")
        s3().copy_object(**copy, CopySourceIfMatch=etag, CopySourceIfModifiedSince=before)
        path, source = f"/{bucket}/k", {"x-amz-copy-source": f"/{bucket}/s"}
        same(Signed("PUT", path, headers={**source, "if-none-match": "*"}).send().status, 412)
        same(Signed("PUT", f"/{bucket}/none", headers={**source, "if-match": etag}).send().status, 404)
        same(Signed("PUT", path, headers={**source, "if-match": '"other"'}).send().status, 412)
        same(Signed("PUT", path, headers={**source, "if-match": etag}).send().status, 200)


@check
def of_many_creates_one_wins_and_none_conflicts():
    with Bucket("creates") as bucket:

        def create(number):
            answer = Signed("PUT", f"/{bucket}/k", headers={"if-none-match": "*"}, body=str(number).encode()).send()
            return answer.status

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            found = sorted(pool.map(create, range(16)))
        same(found, [200] + [412] * 15)


@check
def no_update_is_lost():
    with Bucket("updates") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"0")

        def add(_):
            for _ in range(200):
                got = s3().get_object(Bucket=bucket, Key="k")
                answer = Signed(
                    "PUT",
                    f"/{bucket}/k",
                    headers={"if-match": got["ETag"]},
                    body=str(int(got["Body"].read()) + 1).encode(),
                ).send()
                if answer.status == 200:
                    return
                assert answer.status in (412, 503), answer.status
            raise AssertionError("never")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(24)))
        same(s3().get_object(Bucket=bucket, Key="k")["Body"].read(), b"24")
