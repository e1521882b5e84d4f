#!/usr/bin/env bash
# Installs what building and testing need from Debian's packages; what is there already is left alone. Rust is expected.
set -euo pipefail
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need cc gcc
need ip iproute2
need curl curl
need git git
need nsenter util-linux
# The images of the runtime's tests are made of it.
[ -x /bin/busybox ] || missing+=(busybox-static)
command -v cargo >/dev/null || { echo "setup.sh: Rust is needed (https://rustup.rs)" >&2; exit 1; }
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qy "${missing[@]}" >/dev/null
fi
