#!/usr/bin/env python3
"""Checks a running gateway by real clients; see README.md."""

import sys

import checks_checksums  # noqa: F401  (each registers its checks)
import checks_clients  # noqa: F401
import checks_conditions  # noqa: F401
import checks_listing  # noqa: F401
import checks_multipart  # noqa: F401
import checks_objects  # noqa: F401
import checks_refusals  # noqa: F401
import checks_wire  # noqa: F401
import harness

if __name__ == "__main__":
    sys.exit(harness.run(sys.argv[1:]))
