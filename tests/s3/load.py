"""Puts, uploads of parts and deletes through a gateway from several threads, until it is killed or told to stop, and
records each acknowledged state: a line of JSON {key, etag} after each answer, etag null after a delete. A key whose last
request got no answer is written as {key, open: true}: either state of it is right. Ends when the file STOP is there.

Environment: ENDPOINT, ACCESS_KEY, SECRET_KEY, BUCKET, LOG, STOP, SEED."""

import http.client
import json
import os
import random
import sys
import threading
import time

from client import Client

THREADS = 8
KEYS = 40
# Bytes of a part that is not the last.
PART = 5 << 20


def upload(client, bucket, key, parts, kind):
    """Uploads parts, and completes or aborts that; returns the last answer."""
    begun = client.call("POST", bucket, key, query={"uploads": ""})
    if begun.status != 200:
        return begun
    query, etags = {"uploadId": begun.texts("UploadId")[0]}, []
    for number, part in enumerate(parts, 1):
        put = client.call("PUT", bucket, key, query={"partNumber": str(number), **query}, body=part)
        if put.status != 200:
            return put
        etags.append((number, put.headers["etag"]))
    if kind == "abort":
        return client.call("DELETE", bucket, key, query=query)
    listed = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in etags)
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    return client.call("POST", bucket, key, query=query, body=body)


def work(number, log, lock, stop):
    client = Client(os.environ["ENDPOINT"], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"])
    chance = random.Random(f"{os.environ['SEED']}/{number}")
    bucket = os.environ["BUCKET"]

    def note(entry):
        with lock:
            log.write(json.dumps(entry) + "\n")
            log.flush()

    while not os.path.exists(stop):
        # Each thread has keys of its own, so that what it was told last is what is there.
        key = f"key-{number}-{chance.randrange(KEYS)}"
        kind = chance.choices(["put", "delete", "upload", "abort"], [12, 4, 3, 1])[0]
        size = chance.choice([0, 10, 4_000, 100_000, 1_500_000])
        body = chance.randbytes(size)
        if kind != "abort":
            note({"key": key, "open": True})
        try:
            if kind == "put":
                answer = client.call("PUT", bucket, key, body=body)
            elif kind == "delete":
                answer = client.call("DELETE", bucket, key)
            else:
                answer = upload(client, bucket, key, [chance.randbytes(PART), body][chance.randrange(2):], kind)
        except (OSError, http.client.HTTPException):
            # The gateway is gone: the outcome is not known.
            time.sleep(0.2)
            continue
        if kind == "abort" and answer.status in (200, 204):
            continue
        if answer.status in (200, 204):
            etag = answer.texts("ETag")[0] if kind == "upload" else answer.headers.get("etag")
            note({"key": key, "etag": etag})
        elif answer.status not in (500, 503):
            # Of the whole program, and not of this thread alone.
            print(f"{key}: {answer}", file=sys.stderr, flush=True)
            os._exit(1)


def main():
    lock, stop = threading.Lock(), os.environ["STOP"]
    with open(os.environ["LOG"], "a") as log:
        threads = [threading.Thread(target=work, args=(number, log, lock, stop)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


main()
