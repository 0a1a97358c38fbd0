"""Puts small and large objects, one in parts, whose keys, metadata, tags and bytes are words that are searched for then.

Environment: ENDPOINT, ACCESS_KEY, SECRET_KEY, BUCKET, KEY, METADATA, BODY."""

import os

from client import Client

S3 = Client(os.environ["ENDPOINT"], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"])
BUCKET, KEY, BODY = (os.environ[name] for name in ("BUCKET", "KEY", "BODY"))
HEADERS = {"x-amz-meta-note": os.environ["METADATA"], "x-amz-tagging": f"tag={os.environ['METADATA']}"}


def put(key, body):
    answer = S3.call("PUT", BUCKET, key, body=body, headers=HEADERS)
    assert answer.status == 200, answer


small, large = BODY.encode() * 3, BODY.encode() * 60_000
put(f"{KEY}/small", small)
put(f"{KEY}/large", large)
begun = S3.call("POST", BUCKET, f"{KEY}/parts", query={"uploads": ""}, headers=HEADERS)
query = {"uploadId": begun.texts("UploadId")[0]}
part = S3.call("PUT", BUCKET, f"{KEY}/parts", query={"partNumber": "1", **query}, body=large)
assert part.status == 200, part
for key, body in ((f"{KEY}/small", small), (f"{KEY}/large", large)):
    answer = S3.call("GET", BUCKET, key)
    assert answer.body == body and answer.headers["x-amz-meta-note"] == os.environ["METADATA"], answer
