"""Puts, conditional puts, deletes and gets on a few keys, through several gateways of one bucket at the same time; then a
checker says whether what was answered is linearizable: whether there is an order of all requests, each between its start
and its answer, in which one bucket alone would have answered the same. A request without an answer, or that was refused as
unavailable, may have had its effect at any time after its start, or never. A read that is marked as possibly outdated
says nothing, and is only counted.

The checker is that of Wing and Gong (1993), for each key by itself, with the memory of Lowe (2017).

Environment: ENDPOINTS (separated by commas), ACCESS_KEY, SECRET_KEY, BUCKET, REQUESTS, KEYS, SEED, and READER, which is
the number of an endpoint that is only read from. Exit code: 3 where no order explains the answers, 1 for any other failure."""

import hashlib
import http.client
import os
import random
import sys
import threading
import time

from client import Client

THREADS = 6
STALE = ("stale",)


class Request:
    def __init__(self, kind, value=None, expected=None):
        self.kind, self.value, self.expected = kind, value, expected
        self.start, self.end, self.said = time.monotonic(), float("inf"), None

    def applied(self, state):
        """The state after it and what it says, if it is made in this one."""
        if self.kind == "get":
            return state, ("is", state)
        if self.kind == "delete":
            return None, ("done",)
        if self.kind == "create" and state is not None:
            return state, ("false",)
        if self.kind == "replace" and state != self.expected:
            return state, ("none",) if state is None else ("false",)
        return self.value, ("done",)


def etag(body):
    return f'"{hashlib.md5(body).hexdigest()}"'


def send(client, bucket, key, request, body):
    if request.kind == "get":
        answer = client.call("GET", bucket, key)
        if answer.headers.get("x-ostrakon-stale") == "true":
            return STALE
        if answer.status == 404:
            return "is", None
        return ("is", answer.headers["etag"]) if answer.status == 200 else None
    headers = {}
    if request.kind == "create":
        headers["if-none-match"] = "*"
    if request.kind == "replace":
        headers["if-match"] = request.expected
    method = "DELETE" if request.kind == "delete" else "PUT"
    answer = client.call(method, bucket, key, headers=headers, body=body)
    known = {200: ("done",), 204: ("done",), 412: ("false",), 404: ("none",)}
    if answer.status not in known and answer.status not in (500, 503):
        # Of the whole program, and not of this thread alone.
        print(f"{request.kind} of {key}: {answer}", flush=True)
        os._exit(1)
    return known.get(answer.status)


def work(number, requests, histories, stale, lock):
    endpoints = os.environ["ENDPOINTS"].split(",")
    at = number % len(endpoints)
    only_reads = str(at) == os.environ.get("READER")
    kinds = ["get"] if only_reads else ["get", "get", "put", "create", "replace", "delete"]
    client = Client(endpoints[at], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"])
    chance = random.Random(f"{os.environ['SEED']}/{number}")
    seen = {}
    for count in range(requests):
        # Reads are much sooner answered than changes, and would all be done before the first of these.
        time.sleep(0.3 if only_reads else 0)
        key = f"{os.environ['SEED']}/{chance.randrange(int(os.environ['KEYS']))}"
        kind = chance.choice(kinds)
        if kind == "replace" and seen.get(key) is None:
            kind = "get"
        body = f"{number}/{count}".encode() if kind in ("put", "create", "replace") else b""
        request = Request(kind, etag(body) if body else None, seen.get(key))
        with lock:
            histories.setdefault(key, []).append(request)
        try:
            request.said = send(client, os.environ["BUCKET"], key, request, body)
        except (OSError, http.client.HTTPException):
            time.sleep(0.3)
        if request.kind == "get" and request.said in (None, STALE):
            # It changes nothing, and said nothing.
            with lock:
                histories[key].remove(request)
                stale.extend([request] if request.said else [])
        elif request.said is not None:
            request.end = time.monotonic()
            if request.said[0] == "is":
                seen[key] = request.said[1]


def linearizable(history):
    """Whether some order explains the history."""
    history = sorted(history, key=lambda request: request.start)
    everything = sum(1 << at for at, request in enumerate(history) if request.said is not None)
    open_states, seen = [(0, None)], set()
    while open_states:
        made, state = open_states.pop()
        if made & everything == everything:
            return True
        # The next is one that started before any that is not made was answered.
        first_end = min((r.end for at, r in enumerate(history) if not made >> at & 1), default=float("inf"))
        for at, request in enumerate(history):
            if made >> at & 1 or request.start > first_end:
                continue
            after, said = request.applied(state)
            if request.said is not None and request.said != said:
                continue
            found = (made | 1 << at, after)
            if found not in seen:
                seen.add(found)
                open_states.append(found)
    return False


def check_the_checker():
    """It finds what is wrong, and nothing in what is right."""
    def history(*entries):
        made = []
        for kind, value, said, start, end in entries:
            request = Request(kind, value)
            request.start, request.end, request.said = start, end, said
            made.append(request)
        return made
    put, got = ("put", "a", ("done",)), lambda state: ("get", None, ("is", state))
    assert linearizable(history((*put, 0, 1), (*got("a"), 2, 3)))
    assert linearizable(history((*put, 0, 3), (*got(None), 1, 2)))
    assert not linearizable(history((*put, 0, 1), (*got(None), 2, 3))), "a stale read"
    assert not linearizable(history(("create", "a", ("done",), 0, 1), ("create", "b", ("done",), 2, 3))), "two creates"
    assert linearizable(history(("put", "a", None, 0, float("inf")), (*got("a"), 5, 6))), "an answer that was lost"


def main():
    check_the_checker()
    histories, stale, lock = {}, [], threading.Lock()
    share = int(os.environ["REQUESTS"]) // THREADS
    work_of = [(number, share, histories, stale, lock) for number in range(THREADS)]
    threads = [threading.Thread(target=work, args=of) for of in work_of]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = [key for key, history in histories.items() if not linearizable(history)]
    for key in wrong:
        for request in sorted(histories[key], key=lambda request: request.start):
            times = f"{request.start:.3f} {request.end:.3f}"
            print(key, times, request.kind, request.value, request.expected, request.said)
    made = [request for history in histories.values() for request in history]
    unanswered = sum(1 for request in made if request.said is None)
    said = f"{len(made)} requests on {len(histories)} keys, {unanswered} of them without an answer"
    print(f"{said}, and {len(stale)} reads marked as possibly outdated")
    sys.exit(3 if wrong else 0)


main()
