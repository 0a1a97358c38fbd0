"""Who is refused: signatures, keys of less than all, and what the gateway does not do."""

import datetime
import time
import urllib.parse

import botocore.exceptions

from harness import *  # noqa: F403


def presigned(method, bucket, key, query=(), headers=(), seconds=600, **more):
    """A presigned URL's target, made by hand: boto3 refuses more than a week."""
    now = more.get("when") or datetime.datetime.now(datetime.timezone.utc)
    date, signer = now.strftime("%Y%m%dT%H%M%SZ"), Signed(method, f"/{bucket}/{key}", **more)
    signed = {"host": NETLOC, **dict(headers)}
    names = ";".join(sorted(signed))
    query = [
        *query,
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", f"{ACCESS}/{signer.scope}"),
        ("X-Amz-Date", date),
        ("X-Amz-Expires", str(seconds)),
        ("X-Amz-SignedHeaders", names),
    ]
    text = "&".join(f"{quote(name)}={quote(value)}" for name, value in sorted(query))
    canonical = "\n".join(
        [
            method,
            f"/{bucket}/{key}",
            text,
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            "UNSIGNED-PAYLOAD",
        ]
    )
    return f"/{bucket}/{key}?{text}&X-Amz-Signature={signer.sign('AWS4-HMAC-SHA256', sha256(canonical.encode()))}"


@check
def signatures_are_verified():
    with Bucket("signatures") as bucket:
        path = f"/{bucket}/k"
        same(send("GET", path).code(), "AccessDenied")
        same(send("PUT", path, body=b"x").status, 403)
        same(send("GET", "/").code(), "AccessDenied")
        same(Signed("GET", path, secret="wrong").send().code(), "SignatureDoesNotMatch")
        same(Signed("PUT", path, secret="wrong", body=b"x").send().code(), "SignatureDoesNotMatch")
        same(Signed("GET", path, access="AKNONE").send().code(), "InvalidAccessKeyId")
        hour = datetime.timedelta(hours=1)
        now = datetime.datetime.now(datetime.timezone.utc)
        for when in (now - hour, now + hour):
            same(Signed("GET", path, when=when).send().code(), "RequestTimeTooSkewed")
        moved = Signed("GET", path)
        moved.target = f"/{bucket}/other"
        same(moved.send().code(), "SignatureDoesNotMatch")
        for broken in ["AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a", "Basic eDp5", "Bearer x", ""]:
            assert send("GET", path, {"authorization": broken}).status in (400, 403), broken
        refused(404, s3().head_object, Bucket=bucket, Key="k")
        for region in ("eu-central-1", "auto"):
            same(Signed("PUT", path, body=b"x", region=region).send().status, 200)


@check
def headers_must_be_signed():
    with Bucket("unsigned") as bucket:
        s3().put_object(Bucket=bucket, Key="secret", Body=b"secret")
        source = {"x-amz-copy-source": f"/{bucket}/secret"}
        same(Signed("PUT", f"/{bucket}/k", unsigned=source).send().code(), "AccessDenied")
        same(send("PUT", presigned("PUT", bucket, "k"), source).code(), "AccessDenied")
        refused(404, s3().head_object, Bucket=bucket, Key="k")


@check
def old_signatures_are_refused():
    with Bucket("old") as bucket:
        old = client(signature_version="s3")
        why = refused("InvalidRequest", old.put_object, Bucket=bucket, Key="k", Body=b"x")
        assert "AWS4-HMAC-SHA256" in str(why), why
        url = old.generate_presigned_url("get_object", Params=dict(Bucket=bucket, Key="k"))
        parts = urllib.parse.urlsplit(url)
        assert "AWSAccessKeyId" in parts.query
        same(send("GET", f"{parts.path}?{parts.query}").code(), "InvalidRequest")


@check
def presigned_urls():
    with Bucket("presigned") as bucket:

        def target(operation, **more):
            url = urllib.parse.urlsplit(client(signature_version="s3v4").generate_presigned_url(operation, **more))
            return f"{url.path}?{url.query}"

        at = dict(Bucket=bucket, Key="ü/k +")
        same(send("PUT", target("put_object", Params=at), body=b"body").status, 200)
        same(send("GET", target("get_object", Params=at)).body, b"body")
        shown = send("GET", target("get_object", Params=dict(**at, ResponseContentType="image/png")))
        same((shown.body, shown.headers["content-type"]), (b"body", "image/png"))
        same(send("HEAD", target("head_object", Params=at)).headers["content-length"], "4")
        same(send("PUT", target("get_object", Params=at), body=b"x").code(), "SignatureDoesNotMatch")
        wrong = target("get_object", Params=at)
        wrong = wrong[:-1] + ("1" if wrong[-1] == "0" else "0")
        same(send("GET", wrong).code(), "SignatureDoesNotMatch")
        same(
            send(
                "GET", target("get_object", Params=at).replace("get_object", "x").replace(bucket, "conf-other")
            ).status,
            403,
        )
        same(send("DELETE", target("delete_object", Params=at)).status, 204)
        same(send("GET", target("get_object", Params=at)).code(), "NoSuchKey")


@check
def presigned_urls_expire():
    with Bucket("expiry") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"x")
        same(send("GET", presigned("GET", bucket, "k", seconds=604800)).status, 200)
        same(send("GET", presigned("GET", bucket, "k", seconds=604801)).code(), "AuthorizationQueryParametersError")
        early = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=30)
        same(send("GET", presigned("GET", bucket, "k", seconds=10, when=early)).code(), "AccessDenied")
        assert send("GET", presigned("GET", bucket, "k", seconds=-5)).status in (400, 403)
        future = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        same(send("GET", presigned("GET", bucket, "k", when=future)).status, 403)


@check
def keys_that_only_read():
    access, secret = other_key("S3_READ_KEY")
    reader = client(access, secret)
    with Bucket("read-only") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"x")
        same(reader.get_object(Bucket=bucket, Key="k")["Body"].read(), b"x")
        reader.list_objects_v2(Bucket=bucket)
        for call, more in [
            (reader.put_object, dict(Key="n", Body=b"x")),
            (reader.delete_object, dict(Key="k")),
            (reader.delete_objects, dict(Delete={"Objects": [{"Key": "k"}]})),
            (reader.delete_bucket, {}),
            (reader.copy_object, dict(Key="n", CopySource=f"{bucket}/k")),
            (reader.create_multipart_upload, dict(Key="n")),
            (reader.put_object_tagging, dict(Key="k", Tagging={"TagSet": []})),
        ]:
            refused("AccessDenied", call, Bucket=bucket, **more)
        refused("AccessDenied", reader.create_bucket, Bucket="conf-new")
        same(reader.list_objects_v2(Bucket=bucket)["KeyCount"], 1)


@check
def keys_of_one_bucket():
    access, secret = other_key("S3_SCOPED_KEY")
    scoped = client(access, secret)
    with Bucket("scoped") as bucket, Bucket("elsewhere") as other:
        s3().put_object(Bucket=other, Key="k", Body=b"secret")
        scoped.put_object(Bucket=bucket, Key="k", Body=b"x")
        same([entry["Name"] for entry in scoped.list_buckets()["Buckets"]], [bucket])
        for call, more in [
            (scoped.get_object, dict(Key="k")),
            (scoped.put_object, dict(Key="n", Body=b"x")),
            (scoped.list_objects_v2, {}),
            (scoped.delete_object, dict(Key="k")),
            (scoped.head_bucket, {}),
        ]:
            refused(403, call, Bucket=other, **more)
        refused("AccessDenied", scoped.copy_object, Bucket=bucket, Key="n", CopySource=f"{other}/k")
        upload = scoped.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
        refused(
            "AccessDenied",
            scoped.upload_part_copy,
            Bucket=bucket,
            Key="m",
            UploadId=upload,
            PartNumber=1,
            CopySource=f"{other}/k",
        )
        refused("AccessDenied", scoped.create_bucket, Bucket="conf-new")
        refused("AccessDenied", scoped.delete_bucket, Bucket=bucket)
        refused(403, scoped.head_bucket, Bucket="conf-none-such")


@check
def what_is_not_implemented():
    with Bucket("not") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"x")
        calls = [
            (s3().put_bucket_versioning, dict(VersioningConfiguration={"Status": "Enabled"})),
            (s3().put_object_lock_configuration, dict(ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})),
            (
                s3().put_bucket_lifecycle_configuration,
                dict(
                    LifecycleConfiguration={
                        "Rules": [{"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
                    }
                ),
            ),
            (s3().put_bucket_website, dict(WebsiteConfiguration={"IndexDocument": {"Suffix": "i"}})),
            (s3().put_bucket_policy, dict(Policy="{}")),
            (s3().get_bucket_policy, {}),
            (s3().get_bucket_lifecycle_configuration, {}),
            (s3().get_bucket_website, {}),
            (s3().put_object_retention, dict(Key="k", Retention={"Mode": "GOVERNANCE"})),
            (s3().put_object_legal_hold, dict(Key="k", LegalHold={"Status": "ON"})),
            (s3().put_object, dict(Key="n", Body=b"x", ServerSideEncryption="aws:kms")),
            (s3().put_object, dict(Key="n", Body=b"x", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32)),
            (
                s3().put_object,
                dict(
                    Key="n",
                    Body=b"x",
                    ObjectLockMode="GOVERNANCE",
                    ObjectLockRetainUntilDate=datetime.datetime(2040, 1, 1),
                ),
            ),
        ]
        for call, more in calls:
            if more.get("SSECustomerKey"):
                headers = {"x-amz-server-side-encryption-customer-algorithm": "AES256"}
                same(Signed("PUT", f"/{bucket}/n", headers=headers, body=b"x").send().status, 501)
            else:
                refused(501, call, Bucket=bucket, **more)
        refused(501, s3().create_bucket, Bucket="conf-locked", ObjectLockEnabledForBucket=True)
        s3().put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="AES256")
        refused("InvalidStorageClass", s3().put_object, Bucket=bucket, Key="n", Body=b"x", StorageClass="GLACIER")
        refused(404, s3().head_object, Bucket=bucket, Key="n")


@check
def sts_is_not_implemented():
    import boto3

    sts = boto3.client(
        "sts",
        endpoint_url=ENDPOINT,
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        region_name=REGION,
        verify=CA or None,
    )
    try:
        sts.get_caller_identity()
        raise AssertionError("it was answered")
    except botocore.exceptions.ClientError as why:
        same(status(why), 501)


@check
def what_the_network_says():
    if not INJECT:
        raise Skip("S3_INJECT is not set")
    once = client(retries={"total_max_attempts": 1})
    with Bucket("network") as bucket:
        why = refused("SlowDown", once.put_object, Bucket=bucket, Key="inject/busy", Body=b"x")
        same(status(why), 503)
        why = refused(507, once.put_object, Bucket=bucket, Key="inject/funds", Body=b"x")
        assert "send it some" in str(why), why
        why = refused("ServiceUnavailable", once.put_object, Bucket=bucket, Key="inject/unavailable", Body=b"x")
        same((status(why), why.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]), (503, "10"))


@check
def forms():
    with Bucket("forms") as bucket:
        v4 = client(signature_version="s3v4")

        def post(fields, data, name="f.txt"):
            boundary = "xyzxyz"
            body = b"".join(
                f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
                for key, value in fields.items()
            )
            body += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
            body += data + f"\r\n--{boundary}--\r\n".encode()
            return send("POST", f"/{bucket}", {"content-type": f"multipart/form-data; boundary={boundary}"}, body)

        form = v4.generate_presigned_post(
            bucket,
            "k",
            Fields={"Content-Type": "text/x", "success_action_status": "201"},
            Conditions=[{"Content-Type": "text/x"}, {"success_action_status": "201"}, ["content-length-range", 1, 100]],
        )["fields"]
        answer = post(form, b"hello")
        same((answer.status, md5(b"hello").encode() in answer.body), (201, True))
        got = s3().get_object(Bucket=bucket, Key="k")
        same((got["Body"].read(), got["ContentType"]), (b"hello", "text/x"))
        named = v4.generate_presigned_post(bucket, "up/${filename}")["fields"]
        same(post(named, b"x", "a.txt").status, 204)
        same(s3().get_object(Bucket=bucket, Key="up/a.txt")["Body"].read(), b"x")
        for fields, data in [
            ({**form, "x-amz-signature": "0" * 64}, b"hello"),
            ({**form, "key": "other"}, b"hello"),
            (form, b"x" * 101),
            (form, b""),
            ({**form, "Content-Type": "text/y"}, b"hello"),
            ({**form, "x-amz-meta-a": "1"}, b"hello"),
            ({"key": "anon"}, b"hello"),
            ({**form, "policy": form["policy"][:-4]}, b"hello"),
        ]:
            assert post(fields, data).status in (400, 403), (fields, data)
        expired = v4.generate_presigned_post(bucket, "k", ExpiresIn=1)["fields"]
        time.sleep(2)
        same(post(expired, b"late").code(), "AccessDenied")
        refused(404, s3().head_object, Bucket=bucket, Key="anon")
        refused(404, s3().head_object, Bucket=bucket, Key="other")
        old = client(signature_version="s3").generate_presigned_post(bucket, "old")["fields"]
        assert "signature" in old
        same(post(old, b"x").status, 400)
        refused(404, s3().head_object, Bucket=bucket, Key="old")
        readers = client(*other_key("S3_READ_KEY"), signature_version="s3v4").generate_presigned_post(bucket, "r")[
            "fields"
        ]
        same(post(readers, b"x").code(), "AccessDenied")
