"""Puts COUNT objects of 16 KiB from many threads, deletes nine of ten, and reads what is left.

Environment: ENDPOINT, ACCESS_KEY, SECRET_KEY, BUCKET, COUNT."""

import base64
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from client import Client

S3 = Client(os.environ["ENDPOINT"], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"])
BUCKET, COUNT = os.environ["BUCKET"], int(os.environ["COUNT"])


def body(number):
    return f"{number:08}".encode() * 2048


def put(number):
    answer = S3.call("PUT", BUCKET, f"key/{number:05}", body=body(number))
    assert answer.status == 200, answer


def get(number):
    answer = S3.call("GET", BUCKET, f"key/{number:05}")
    assert answer.body == body(number), answer


def delete(numbers):
    keys = "".join(f"<Object><Key>key/{number:05}</Key></Object>" for number in numbers)
    document = f"<Delete><Quiet>true</Quiet>{keys}</Delete>".encode()
    digest = base64.b64encode(hashlib.md5(document).digest()).decode()
    answer = S3.call("POST", BUCKET, query={"delete": ""}, headers={"content-md5": digest}, body=document)
    assert answer.status == 200 and b"<Error>" not in answer.body, answer


gone = [number for number in range(COUNT) if number % 10]
with ThreadPoolExecutor(64) as pool:
    list(pool.map(put, range(COUNT)))
    list(pool.map(delete, [gone[at:at + 1000] for at in range(0, len(gone), 1000)]))
    list(pool.map(get, range(0, COUNT, 10)))
