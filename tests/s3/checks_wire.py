"""What no client sends, and what happens on the wire: limits, stalls, other origins, health."""

import os
import time

from harness import *  # noqa: F403


@check
def health_and_metrics_need_no_signature():
    same(send("GET", "/healthz").body, b"ok\n")
    same(send("GET", "/readyz").status, 200)
    text = send("GET", "/metrics").body.decode()
    assert "ostrakon_gateway_requests_total" in text and text.endswith("# EOF\n"), text[-200:]
    assert SECRET not in text and "conf-" not in text
    # A bucket may be called so.
    same(Signed("PUT", "/metrics").send().status, 200)
    same(Signed("GET", "/metrics").send().body.count(b"ListBucketResult"), 2)
    same(Signed("DELETE", "/metrics").send().status, 204)


@check
def answers_have_an_id():
    assert send("GET", "/").headers["x-amz-request-id"] != send("GET", "/").headers["x-amz-request-id"]


@check
def headers_are_bounded():
    same(send("GET", "/", {"x-large": "x" * 100_000}).status, 431)
    same(send("GET", "/", {f"x-{number}": "x" for number in range(200)}).status, 431)
    assert send("GET", "/" + "x" * 100_000).status in (414, 431)


@check
def xml_is_bounded():
    with Bucket("xml") as bucket:
        body = b"<Delete>" + b" " * (9 * MIB) + b"</Delete>"
        answer = Signed(
            "POST", f"/{bucket}", query=[("delete", "")], headers={"content-md5": b64md5(body)}, body=body
        ).send()
        assert answer.status in (400, 413), answer.status
        for body in [
            b"",
            b"<",
            b"<Delete>",
            b"<Other></Other>",
            b"<!DOCTYPE x [<!ENTITY a 'b'>]><Delete>&a;</Delete>",
            b"\xff\xfe",
            b"<Delete><Object></Object></Delete>",
            b"<a>" * 10000,
        ]:
            answer = Signed(
                "POST", f"/{bucket}", query=[("delete", "")], headers={"content-md5": b64md5(body)}, body=body
            ).send()
            same(answer.status, 400, repr(body[:30]))


@check
def early_answers_arrive():
    with Bucket("early") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"x")
        for _ in range(3):
            answer = Signed(
                "PUT", f"/{bucket}/k", headers={"if-none-match": "*"}, payload="UNSIGNED-PAYLOAD", body=bytes(16 * MIB)
            ).send()
            same(answer.status, 412)
        same(
            Signed("PUT", f"/{bucket}/k", secret="wrong", payload="UNSIGNED-PAYLOAD", body=bytes(16 * MIB))
            .send()
            .status,
            403,
        )


@check
def a_body_that_ends_early_is_not_stored():
    with Bucket("cut") as bucket:
        request = Signed("PUT", f"/{bucket}/k", payload="UNSIGNED-PAYLOAD")
        with connect() as sock:
            head = f"PUT {request.target} HTTP/1.1\r\ncontent-length: 1000000\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            sock.sendall(head.encode() + b"\r\n" + b"x" * 500000)
        time.sleep(1)
        refused(404, s3().head_object, Bucket=bucket, Key="k")


@check
def a_body_that_stalls_ends():
    if not SLOW:
        raise Skip("S3_SLOW is not set")
    with Bucket("stalls") as bucket:
        request = Signed("PUT", f"/{bucket}/k", payload="UNSIGNED-PAYLOAD")
        with connect(timeout=90) as sock, connect(timeout=90) as silent:
            head = f"PUT {request.target} HTTP/1.1\r\ncontent-length: 1000\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            began = time.monotonic()
            sock.sendall(head.encode() + b"\r\n" + b"x" * 500)
            silent.sendall(b"GET / HT")
            answer = sock.recv(65536)
            assert b" 400 " in answer.split(b"\r\n")[0] and b"RequestTimeout" in answer, answer
            assert 55 < time.monotonic() - began < 75
            assert silent.recv(65536)[:12] in (b"", b"HTTP/1.1 408"), "a head that stalls ends too"
        refused(404, s3().head_object, Bucket=bucket, Key="k")


@check
def a_client_that_takes_nothing_is_left():
    if not SLOW:
        raise Skip("S3_SLOW is not set")
    with Bucket("deaf") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=bytes(64 * MIB))
        request = Signed("GET", f"/{bucket}/k")
        with connect(timeout=90) as sock:
            head = f"GET {request.target} HTTP/1.1\r\n" + "".join(
                f"{name}: {value}\r\n" for name, value in request.headers.items()
            )
            sock.sendall(head.encode() + b"\r\n")
            time.sleep(75)
            received = 0
            try:
                while piece := sock.recv(MIB):
                    received += len(piece)
            except ConnectionResetError:
                pass
            assert received < 64 * MIB, "it was still sent"


@check
def continue_is_answered():
    with Bucket("continue") as bucket:
        request = Signed("PUT", f"/{bucket}/k", payload="UNSIGNED-PAYLOAD")
        with connect() as sock:
            head = f"PUT {request.target} HTTP/1.1\r\ncontent-length: 4\r\nexpect: 100-continue\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            sock.sendall(head.encode() + b"\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
            sock.sendall(b"body")
            assert b" 200 " in sock.recv(1000).split(b"\r\n")[0]


@check
def a_length_is_required():
    with Bucket("lengths") as bucket:
        request = Signed(
            "PUT",
            f"/{bucket}/k",
            payload="UNSIGNED-PAYLOAD",
            unsigned={"transfer-encoding": "chunked"},
            body=b"4\r\nbody\r\n0\r\n\r\n",
        )
        same(request.send(length=False).code(), "MissingContentLength")


@check
def connections_are_kept():
    with Bucket("kept") as bucket:
        with connect() as sock:
            for number in range(5):
                request = Signed("PUT", f"/{bucket}/k{number}", payload="UNSIGNED-PAYLOAD")
                head = f"PUT {request.target} HTTP/1.1\r\ncontent-length: 4\r\n"
                head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
                sock.sendall(head.encode() + b"\r\nbody")
                assert b" 200 " in sock.recv(4096).split(b"\r\n")[0]


@check
def other_origins():
    rules = {
        "CORSRules": [
            {
                "AllowedOrigins": ["https://*.example.org"],
                "AllowedMethods": ["PUT", "GET"],
                "AllowedHeaders": ["x-amz-*", "Content-Type"],
                "ExposeHeaders": ["ETag"],
                "MaxAgeSeconds": 60,
            },
            {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]},
        ]
    }
    with Bucket("origins") as bucket:
        refused("NoSuchCORSConfiguration", s3().get_bucket_cors, Bucket=bucket)
        ask = {"origin": "https://a.example.org", "access-control-request-method": "PUT"}
        same(send("OPTIONS", f"/{bucket}/k", ask).status, 403)
        s3().put_bucket_cors(Bucket=bucket, CORSConfiguration=rules)
        same(s3().get_bucket_cors(Bucket=bucket)["CORSRules"], rules["CORSRules"])
        answer = send("OPTIONS", f"/{bucket}/k", {**ask, "access-control-request-headers": "X-Amz-Date, content-type"})
        same(
            (answer.status, answer.headers["access-control-allow-origin"], answer.headers["access-control-max-age"]),
            (200, "https://a.example.org", "60"),
        )
        assert "PUT" in answer.headers["access-control-allow-methods"] and "Origin" in answer.headers["vary"]
        same(send("OPTIONS", f"/{bucket}/k", {**ask, "access-control-request-headers": "x-other"}).status, 403)
        same(send("OPTIONS", f"/{bucket}/k", {**ask, "origin": "https://b.org"}).status, 403)
        same(send("OPTIONS", f"/{bucket}/k", {}).status, 400)
        same(send("OPTIONS", "/conf-none-such/k", ask).status, 403)
        put = Signed("PUT", f"/{bucket}/k", headers={"origin": "https://a.example.org"}, body=b"x").send()
        same(
            (put.status, put.headers["access-control-allow-origin"], put.headers["access-control-expose-headers"]),
            (200, "https://a.example.org", "ETag"),
        )
        got = Signed("GET", f"/{bucket}/k", unsigned={"origin": "https://b.org"}).send()
        same((got.status, got.headers["access-control-allow-origin"]), (200, "*"))
        assert "access-control-allow-origin" not in Signed("GET", f"/{bucket}/k").send().headers
        bad = {"CORSRules": [{"AllowedOrigins": ["*"], "AllowedMethods": ["PATCH"]}]}
        refused("InvalidRequest", s3().put_bucket_cors, Bucket=bucket, CORSConfiguration=bad)
        s3().delete_bucket_cors(Bucket=bucket)
        refused("NoSuchCORSConfiguration", s3().get_bucket_cors, Bucket=bucket)
        same(send("OPTIONS", f"/{bucket}/k", ask).status, 403)


@check
def who_waits_for_100_and_gets_another_answer_is_closed():
    with Bucket("expects") as bucket:
        s3().put_object(Bucket=bucket, Key="k", Body=b"x")
        for length, more in [(0, {}), (5, {"if-none-match": "*"})]:
            request = Signed("PUT", f"/{bucket}/k", headers=more, payload="UNSIGNED-PAYLOAD")
            with connect() as sock:
                head = f"PUT {request.target} HTTP/1.1\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n"
                head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
                sock.sendall(head.encode() + b"\r\n")
                answer = b""
                while piece := sock.recv(65536):
                    answer += piece
                assert b"connection: close" in answer.lower() and b" 100 " not in answer.split(b"\r\n")[0], answer
