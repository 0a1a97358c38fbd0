"""Puts or gets objects of many sizes. DO says what: `put` puts them, `get` checks that all are right, `stale` that they
are while too few validators respond, and that nothing can be put, `back` that puts succeed again within ten seconds.

Environment: ENDPOINT, ACCESS_KEY, SECRET_KEY, BUCKET, FILE (bytes to put), DO."""

import os
import sys
import time

from client import Client

S3 = Client(os.environ["ENDPOINT"], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"])
BUCKET = os.environ["BUCKET"]
SIZES = [0, 1, 1_000, 65_536, 100_000, 1_048_577, 3_000_000]


def bodies():
    with open(os.environ["FILE"], "rb") as file:
        content = file.read()
    return {f"size/{size}": content[:size] for size in SIZES if size <= len(content)}


def put(key, body):
    return S3.call("PUT", BUCKET, key, body=body)


def wrong(text):
    print(text)
    sys.exit(1)


def get_all(is_stale):
    for key, body in bodies().items():
        answer = S3.call("GET", BUCKET, key)
        if answer.status != 200 or answer.body != body:
            wrong(f"{key}: {answer}")
        if is_stale and answer.headers.get("x-ostrakon-stale") != "true":
            wrong(f"{key} is not marked: {answer}")


def main():
    what = os.environ["DO"]
    if what == "put":
        for key, body in bodies().items():
            answer = put(key, body)
            if answer.status != 200:
                wrong(f"{key}: {answer}")
    elif what == "get":
        get_all(False)
    elif what == "stale":
        get_all(True)
        started = time.monotonic()
        answer = put("late", b"x")
        if answer.status != 503 or "retry-after" not in answer.headers:
            wrong(f"a put without a quorum: {answer}")
        print(f"a put was refused after {time.monotonic() - started:.1f} s; ", end="")
    elif what == "back":
        started = time.monotonic()
        while put("late", b"x").status != 200:
            if time.monotonic() - started > 60:
                wrong("no put succeeds")
            time.sleep(0.5)
        print(f"a put succeeded after {time.monotonic() - started:.1f} s; ", end="")
        get_all(False)
    print(f"{len(bodies())} objects are all right")


main()
