"""Small puts before, beside and after STALLED puts of 1 GiB whose clients send a part and then next to nothing. Says
how many small puts were answered in a second each time.

Environment: ENDPOINT, ACCESS_KEY, SECRET_KEY, BUCKET, STALLED, SECONDS (of each measurement), and LEAST: it fails where
those beside the stalled ones are a smaller part of what they were without them."""

import http.client
import os
import re
import sys
import threading
import time

from client import UNSIGNED, Client

CLIENTS = 5
SMALL = 4096
LARGE = 1 << 30
# What of a large body is sent, and after it a byte at a time: too few to get on, often enough not to be given up.
PART = 300_000
TRICKLE = 10
# How often a rate is measured again that is too low.
AGAIN = 2
# Nothing takes longer, or it takes forever.
PATIENCE = 60

S3 = Client(os.environ["ENDPOINT"], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"])
BUCKET, STALLED = os.environ["BUCKET"], int(os.environ["STALLED"])
SECONDS, LEAST = float(os.environ["SECONDS"]), float(os.environ["LEAST"])


def in_flight():
    text = S3.send("GET", "/metrics", {"host": S3.host}).body.decode()
    return int(re.search(r"^ostrakon_gateway_requests_in_flight (\d+)$", text, re.MULTILINE)[1])


def until(what, ready):
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s, {in_flight()} requests are in flight"
        time.sleep(0.05)


def rate(name):
    """Small puts that are answered in a second, by a few clients of which each waits for its answers."""
    began, counts, failed = time.monotonic(), [0] * CLIENTS, []

    def work(number):
        try:
            while time.monotonic() < began + SECONDS:
                key = f"{name}/{number}/{counts[number]}"
                answer = S3.call("PUT", BUCKET, key, body=os.urandom(SMALL), timeout=PATIENCE)
                assert answer.status == 200, answer
                counts[number] += 1
        except Exception as why:
            failed.append(f"a small put {name}: {why!r}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        print(failed[0])
        # Threads of stalled clients would keep the program alive.
        os._exit(1)
    return sum(counts) / (time.monotonic() - began), sum(counts)


def stalled(number):
    """A client that has sent a part of its body."""
    headers = {"x-amz-content-sha256": UNSIGNED, "content-length": str(LARGE)}
    target, headers = S3.signed("PUT", f"/{BUCKET}/stalled/{number}", {}, headers, b"")
    connection = http.client.HTTPConnection(S3.host, timeout=PATIENCE)
    connection.putrequest("PUT", target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(os.urandom(PART))
    return connection


def trickle(connections, stop):
    while not stop.wait(TRICKLE):
        for connection in connections:
            connection.send(b"x")


def main():
    before, count = rate("before")
    connections, stop = [stalled(number) for number in range(STALLED)], threading.Event()
    until("all large puts are begun", lambda: in_flight() >= STALLED)
    threading.Thread(target=trickle, args=(connections, stop), daemon=True).start()
    beside, more = rate("beside")
    for again in range(AGAIN):
        # The machine may have had other work meanwhile.
        if beside < LEAST * before:
            better, further = rate(f"beside-{again}")
            beside, more = max(beside, better), more + further
    left = in_flight()
    assert left >= STALLED, f"only {left} of {STALLED} large puts are still in flight"
    stop.set()
    for connection in connections:
        connection.close()
    until("nothing is left of those that vanished", lambda: in_flight() == 0)
    after, last = rate("after")
    listed = S3.call("GET", BUCKET, query={"list-type": "2", "prefix": "stalled/"})
    assert listed.texts("KeyCount") == ["0"], listed
    said = f"{before:.1f} small puts a second before, {beside:.1f} beside {STALLED} stalled ones, {after:.1f} after"
    print(f"{count + more + last} {said}")
    sys.exit(0 if beside >= LEAST * min(before, after) else 1)


main()
