"""Creates a bucket and puts an object right after it; then each of CLIENTS clients puts one small object after the
other, until the file STOP is there. Prints how many objects there are.

Environment: ENDPOINT, ACCESS_KEY, SECRET_KEY, BUCKET, CLIENTS, STOP, READY (a file that is made after the first put).
"""

import os
from concurrent.futures import ThreadPoolExecutor

from client import Client

S3 = Client(os.environ["ENDPOINT"], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"])
BUCKET, STOP = os.environ["BUCKET"], os.environ["STOP"]


def put(key):
    answer = S3.call("PUT", BUCKET, key, body=key.encode())
    assert answer.status == 200, answer


def work(client):
    count = 0
    while not os.path.exists(STOP):
        put(f"{client}/{count}")
        count += 1
    return count


created = S3.call("PUT", BUCKET)
assert created.status == 200, created
put("first")
with open(os.environ["READY"], "w"):
    pass
with ThreadPoolExecutor() as pool:
    print(1 + sum(pool.map(work, range(int(os.environ["CLIENTS"])))))
