"""A client of S3 from Python's standard library alone: requests signed by AWS Signature Version 4, and nothing done for
the caller, so that a test sees what the gateway answers."""

import datetime
import hashlib
import hmac
import http.client
import urllib.parse
import xml.etree.ElementTree as ElementTree

UNSIGNED = "UNSIGNED-PAYLOAD"


def quoted(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


class Answer:
    def __init__(self, response, body):
        self.status, self.body = response.status, body
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def xml(self):
        """The answer's document, without namespaces."""
        root = ElementTree.fromstring(self.body)
        for element in root.iter():
            element.tag = element.tag.rsplit("}", 1)[-1]
        return root

    def texts(self, path):
        return [element.text or "" for element in self.xml().findall(path)]

    @property
    def code(self):
        found = self.texts("Code") if self.body.startswith(b"<") else []
        return found[0] if found else ""

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r}"


class Client:
    def __init__(self, endpoint, key, secret, region="us-east-1"):
        parts = urllib.parse.urlsplit(endpoint)
        self.host, self.key, self.secret, self.region = parts.netloc, key, secret, region

    def call(self, method, bucket="", key=None, query=None, headers=None, body=b"", timeout=120):
        """Sends a signed request, and returns the answer whatever its status."""
        path = "/" + bucket + ("" if key is None else "/" + key)
        target, headers = self.signed(method, path, query or {}, headers or {}, body)
        return self.send(method, target, headers, body, timeout)

    def send(self, method, target, headers, body=b"", timeout=120):
        connection = http.client.HTTPConnection(self.host, timeout=timeout)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def signed(self, method, path, query, headers, body):
        moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        said = headers.get("x-amz-content-sha256")
        hashed = said or hashlib.sha256(body).hexdigest()
        headers = {**headers, "host": self.host, "x-amz-date": moment, "x-amz-content-sha256": hashed}
        if body or method in ("PUT", "POST"):
            headers.setdefault("content-length", str(len(body)))
        names = sorted(name.lower() for name in headers)
        lower = {name.lower(): " ".join(str(value).split()) for name, value in headers.items()}
        scope, signature = self._sign(method, path, query, [(name, lower[name]) for name in names], hashed, moment)
        credential = f"{self.key}/{scope}"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return self._target(path, query), headers

    def presigned(self, method, bucket, key, seconds, query=None):
        """A target that anyone may request for so long."""
        moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        path = f"/{bucket}/{key}"
        query = {
            **(query or {}),
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.key}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
        }
        _, signature = self._sign(method, path, query, [("host", self.host)], UNSIGNED, moment)
        return self._target(path, {**query, "X-Amz-Signature": signature})

    def _target(self, path, query):
        text = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in query.items())
        return quoted(path, "-_.~/") + ("?" + text if text else "")

    def _sign(self, method, path, query, headers, hashed, moment):
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        pairs = sorted((quoted(name), quoted(value)) for name, value in query.items())
        request = "\n".join([
            method,
            quoted(path, "-_.~/"),
            "&".join(f"{name}={value}" for name, value in pairs),
            "".join(f"{name}:{value}\n" for name, value in headers),
            ";".join(name for name, _ in headers),
            hashed,
        ])
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return scope, hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
