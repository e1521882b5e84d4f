#!/usr/bin/env bash
# Runs upstream's conformance tests (v1.37.0) against a fresh cluster of this tree and records each result in conformance/ledger.tsv.
#   conformance.sh                all that may run side by side, then the serial ones
#   conformance.sh FOCUS          the ones whose name matches the regular expression
#   conformance.sh smoke          a small chosen set
# Needs the suite's builder in $UPSTREAM (build.sh, images.sh, e2e.sh), by default beside this repository.
#   PROCS=8  tests side by side      TIMEOUT=60m  for each pass      DATA_DIR=…  where the cluster lives
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
upstream=${UPSTREAM:-$root/../shared/upstream}
[ -x "$upstream/e2e.sh" ] || { echo "conformance.sh: no suite in $upstream; set UPSTREAM" >&2; exit 2; }
focus=${1:-'\[Conformance\]'}
[ "$focus" != smoke ] || focus='\[Conformance\].*(ConfigMap should be consumable from pods in volume \[NodeConformance|should serve a basic endpoint from pods|deployment should support rollover|should provide DNS for the cluster|Secrets should be consumable from pods in env vars|should be able to change the type from ClusterIP to ExternalName|Watchers should receive events)'
data=${DATA_DIR:-/var/lib/coxswain-conformance}
binary=$root/target/x86_64-unknown-linux-gnu/release/coxswain
[ -x "$binary" ] || make build
"$upstream/images.sh" >/dev/null
"$binary" down --purge --data-dir "$data" >/dev/null
"$binary" up --data-dir "$data" --registry-mirror registry.k8s.io=http://127.0.0.1:5055
trap '"$binary" down --purge --data-dir "$data"' EXIT
out=$(mktemp -d)
KUBECONFIG=$data/admin.kubeconfig PROCS=${PROCS:-8} "$upstream/e2e.sh" "$out" "$focus" "${SKIP:-}" || true
scripts/ledger.py "$out/results.tsv" conformance/ledger.tsv "$(git rev-parse --short HEAD)"
