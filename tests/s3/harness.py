"""What all checks share: clients, buckets of their own, a signer, raw requests, and the list of checks."""

import base64
import concurrent.futures
import datetime
import functools
import hashlib
import hmac
import http.client
import os
import socket
import ssl
import traceback
import urllib.parse
import zlib

import boto3
import botocore.config
import botocore.exceptions

ENDPOINT = os.environ.get("S3_ENDPOINT", "http://127.0.0.1:9000").rstrip("/")
ACCESS = os.environ.get("S3_ACCESS_KEY", "")
SECRET = os.environ.get("S3_SECRET_KEY", "")
DOMAIN = os.environ.get("S3_DOMAIN")
CA = os.environ.get("S3_CA")
SLOW = os.environ.get("S3_SLOW") == "1"
INJECT = os.environ.get("S3_INJECT") == "1"
REGION = "us-east-1"
MIB = 1 << 20

URL = urllib.parse.urlsplit(ENDPOINT)
HOST, PORT = URL.hostname, URL.port or (443 if URL.scheme == "https" else 80)
NETLOC = URL.netloc

CHECKS = []


class Skip(Exception):
    """The check cannot be made here."""


def check(function):
    """Registers a check; its name is the function's."""
    CHECKS.append(function)
    return function


def run(wanted):
    failed = 0
    for function in CHECKS:
        name = function.__name__
        if wanted and not any(part in name for part in wanted):
            continue
        try:
            function()
            print(f"{name}: ok", flush=True)
        except Skip as why:
            print(f"{name}: skipped, {why}", flush=True)
        except Exception as why:  # a check may fail in any way
            failed += 1
            where = traceback.extract_tb(why.__traceback__)
            line = next((frame.lineno for frame in reversed(where) if frame.name == name), 0)
            print(f"{name}: FAILED, line {line}: {type(why).__name__}: {str(why)[:500]}", flush=True)
            if os.environ.get("S3_TRACE"):
                traceback.print_exc()
    print(f"{failed} failed" if failed else "all ok", flush=True)
    return 1 if failed else 0


def client(access=ACCESS, secret=SECRET, **config):
    config.setdefault("s3", {"addressing_style": "path"})
    config.setdefault("retries", {"max_attempts": 1})
    config.setdefault("max_pool_connections", 32)
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        region_name=REGION,
        config=botocore.config.Config(**config),
        verify=CA or None,
    )


@functools.cache
def s3():
    return client()


def other_key(name):
    pair = os.environ.get(name)
    if not pair:
        raise Skip(f"{name} is not set")
    return pair.split(":", 1)


def many(function, items):
    """Calls it for all of them, many at a time; returns what it returned, in order."""
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        return list(pool.map(function, items))


def empty(bucket, s3_client=None):
    s3_client = s3_client or s3()

    def abort(upload):
        s3_client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    for page in s3_client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        many(abort, page.get("Uploads", []))
    for page in s3_client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        many(lambda entry: s3_client.delete_object(Bucket=bucket, Key=entry["Key"]), page.get("Contents", []))


class Bucket:
    """An empty bucket for a check, deleted after it."""

    def __init__(self, name):
        self.name = f"conf-{name}"

    def __enter__(self):
        try:
            s3().create_bucket(Bucket=self.name)
        except botocore.exceptions.ClientError as why:
            if code(why) != "BucketAlreadyOwnedByYou":
                raise
            empty(self.name)
        return self.name

    def __exit__(self, *_):
        try:
            empty(self.name)
            s3().delete_bucket(Bucket=self.name)
        except botocore.exceptions.ClientError as why:
            if code(why) != "NoSuchBucket":
                raise


def code(why):
    return why.response["Error"]["Code"]


def status(why):
    return why.response["ResponseMetadata"]["HTTPStatusCode"]


def refused(wanted, call, *args, **kwargs):
    """The error of a call, whose code or status is as wanted."""
    try:
        call(*args, **kwargs)
    except botocore.exceptions.ClientError as why:
        assert wanted in (code(why), status(why)), f"{wanted} expected, {status(why)} {code(why)}: {why}"
        return why
    raise AssertionError(f"{wanted} expected, and it was accepted: {kwargs}")


def same(found, expected, what=""):
    assert found == expected, f"{what}: {found!r}, not {expected!r}"


def md5(data):
    return hashlib.md5(data).hexdigest()


def b64md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Signed:
    """A request signed by hand: what is signed, and what is sent, can differ."""

    def __init__(
        self,
        method,
        path,
        query=(),
        headers=(),
        payload=None,
        body=b"",
        access=ACCESS,
        secret=SECRET,
        when=None,
        unsigned=(),
        region=REGION,
    ):
        now = when or datetime.datetime.now(datetime.timezone.utc)
        self.date = now.strftime("%Y%m%dT%H%M%SZ")
        self.scope = f"{self.date[:8]}/{region}/s3/aws4_request"
        self.key = _hmac(_hmac(_hmac(_hmac(b"AWS4" + secret.encode(), self.date[:8]), region), "s3"), "aws4_request")
        payload = payload or sha256(body)
        signed = {"host": NETLOC, "x-amz-date": self.date, "x-amz-content-sha256": payload}
        signed.update({name.lower(): value for name, value in dict(headers).items()})
        names = ";".join(sorted(signed))
        canonical = "\n".join(
            [
                method,
                path,
                "&".join(f"{quote(name)}={quote(value)}" for name, value in sorted(query)),
                *(f"{name}:{signed[name].strip()}" for name in sorted(signed)),
                "",
                names,
                payload,
            ]
        )
        self.signature = self.sign("AWS4-HMAC-SHA256", sha256(canonical.encode()))
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={access}/{self.scope},SignedHeaders={names}," f"Signature={self.signature}"
        )
        self.method, self.body = method, body
        self.target = path + ("?" + "&".join(f"{quote(name)}={quote(value)}" for name, value in query) if query else "")
        self.headers = {**signed, "authorization": authorization, **dict(unsigned)}

    def sign(self, kind, *lines):
        return _hmac(self.key, "\n".join([kind, self.date, self.scope, *lines])).hex()

    def send(self, length=True):
        return send(self.method, self.target, self.headers, self.body, length)


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def code(self):
        text = self.body.decode(errors="replace")
        return text.split("<Code>")[1].split("</Code>")[0] if "<Code>" in text else ""


def connect(timeout=30):
    raw = socket.create_connection((HOST, PORT), timeout=timeout)
    if URL.scheme != "https":
        return raw
    return ssl.create_default_context(cafile=CA).wrap_socket(raw, server_hostname=HOST)


def send(method, target, headers=(), body=b"", length=True):
    """A request whose path is sent as it is; the answer."""
    headers = {name.lower(): value for name, value in dict(headers).items()}
    head = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if "host" not in headers:
        head.append(f"host: {NETLOC}")
    if length and (body or method in ("PUT", "POST")) and "content-length" not in headers:
        head.append(f"content-length: {len(body)}")
    head.append("connection: close")
    with connect() as sock:
        sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        try:
            sock.sendall(body)
        except OSError:
            pass  # it may have answered already
        response = http.client.HTTPResponse(sock, method=method)
        response.begin()
        return Answer(response)


def chunked(pieces, trailers=()):
    """A body framed as aws-chunked, unsigned."""
    body = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    body += b"0\r\n" + "".join(f"{name}:{value}\r\n" for name, value in trailers).encode()
    return body + b"\r\n"
