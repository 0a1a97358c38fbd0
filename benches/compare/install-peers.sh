#!/usr/bin/env bash
# Installs what `make bench-compare` measures us beside, from the package indexes, and says what it does:
#
#   Tahoe-LAFS   PyPI, into a virtual environment of its own           about half a minute
#   Garage       crates.io, built here                                 about a quarter of an hour on two cores
#   rclone       the distribution's package: how Garage is spoken to   seconds, as root or by sudo
#
# usage: install-peers.sh [DIRECTORY]     (default: target/peers in this repository)
#
# What is there already in the version wanted is kept, so it may be run again. A peer that cannot be installed is
# said to be so and left out; the comparison then skips it, and this ends with 1.
set -uo pipefail

TAHOE_VERSION=1.20.0
GARAGE_VERSION=2.5.0

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "${1:-$top/target/peers}"
peers=$(cd "${1:-$top/target/peers}" && pwd)
failed=()

tahoe() {
    local env="$peers/tahoe"
    if "$env/bin/tahoe" --version 2>/dev/null | grep -q "$TAHOE_VERSION"; then
        echo "==> Tahoe-LAFS $TAHOE_VERSION is there"
        return
    fi
    echo "==> installing Tahoe-LAFS $TAHOE_VERSION (pip) into $env"
    # Where the distribution leaves ensurepip out, virtualenv does without it.
    python3 -m venv "$env" || python3 -m virtualenv "$env" || return
    "$env/bin/pip" install --quiet --disable-pip-version-check "tahoe-lafs==$TAHOE_VERSION" || return
    "$env/bin/tahoe" --version
}

garage() {
    if "$peers/bin/garage" --version 2>/dev/null | grep -q "$GARAGE_VERSION"; then
        echo "==> Garage $GARAGE_VERSION is there"
        return
    fi
    echo "==> building Garage $GARAGE_VERSION (cargo install) into $peers; its build directory may be deleted afterwards"
    # Started in the peers' directory, so that an empty configuration of cargo's is the only one that applies.
    (cd "$peers" && CARGO_TARGET_DIR="$peers/garage-build" \
        cargo install garage --version "$GARAGE_VERSION" --locked --root "$peers") || return
    "$peers/bin/garage" --version
}

rclone() {
    if type -P rclone >/dev/null; then
        echo "==> rclone is there"
        return
    fi
    echo "==> installing rclone (apt-get)"
    command -v apt-get >/dev/null || return
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends rclone >/dev/null &&
        type -P rclone
}

for peer in rclone tahoe garage; do
    "$peer" || { failed+=("$peer"); echo "error: $peer could not be installed" >&2; }
done
[ ${#failed[@]} -eq 0 ] || exit 1
echo "==> all peers are in $peers; measure with: make bench-compare"
