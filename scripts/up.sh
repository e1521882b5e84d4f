#!/usr/bin/env bash
# Starts the cluster, deploys the sample, and shows it answering: by its service's address, by a port of the node, by its name.
#   up.sh BINARY DATA_DIR
set -euo pipefail
binary=$1 data=$2
cache=${COXSWAIN_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/coxswain/tools}
"$binary" up --data-dir "$data"
export KUBECONFIG=$data/admin.kubeconfig
kubectl=$cache/kubectl
"$kubectl" apply -f "$(dirname "$0")/../crates/coxswain/tests/sample.yaml"
"$kubectl" rollout status deployment/hello --timeout=60s
ip=$("$kubectl" get service hello -o 'jsonpath={.spec.clusterIP}')
node=$("$kubectl" get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
show() { printf '%-46s ' "$1"; shift; curl -fsS --retry 5 --retry-all-errors --retry-delay 1 --max-time 5 "$@" | tr -d '\n ' | cut -c1-110; echo; }
show "http://$ip (the service)" "http://$ip"
show "http://$node:30080 (a port of the node)" "http://$node:30080"
show "http://hello.default.svc (a name, from a pod)" "http://$node:30080/fetch?url=http://hello.default.svc.cluster.local"
echo
echo "export KUBECONFIG=$KUBECONFIG"
