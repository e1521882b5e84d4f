#!/usr/bin/env bash
# Checks the dependencies with cargo-deny: licences, banned and doubled crates, where they come from, and known
# vulnerabilities where their database can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
# It is a tool of the builder's: neither the static flags nor the target of the product are for it.
unset RUSTFLAGS CARGO_BUILD_TARGET
if ! command -v cargo-deny >/dev/null; then
    echo "lint.sh: installing cargo-deny; this takes some minutes, once" >&2
    cargo install --locked cargo-deny
fi
cargo deny --locked check licenses bans sources
if timeout 60 cargo deny fetch db >/dev/null 2>&1; then
    cargo deny --locked check advisories
else
    echo "lint.sh: advisories were NOT checked: their database cannot be reached from here" >&2
fi
