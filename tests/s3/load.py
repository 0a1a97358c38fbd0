"""Puts and deletes through a gateway from several threads, until it is killed or told to stop, and records each
acknowledged state: a line of JSON {key, etag} after each answer, etag null after a delete. A key whose last request
got no answer is written as {key, open: true}: either state of it is right. Ends when the file STOP is there.

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
        is_delete = chance.random() < 0.2
        size = chance.choice([0, 10, 4_000, 100_000, 1_500_000])
        body = chance.randbytes(size)
        note({"key": key, "open": True})
        try:
            answer = client.call("DELETE", bucket, key) if is_delete else client.call("PUT", bucket, key, body=body)
        except (OSError, http.client.HTTPException):
            # The gateway is gone: the outcome is not known.
            time.sleep(0.2)
            continue
        if answer.status in (200, 204):
            note({"key": key, "etag": None if is_delete else answer.headers["etag"]})
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
