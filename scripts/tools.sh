#!/usr/bin/env bash
# Builds the unmodified kubectl that the tests run, from its published Go module, once; kept in the user's cache.
# Where Go is missing or too old, its toolchain comes from the Go module proxy too.
set -euo pipefail
cache=${COXSWAIN_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/coxswain/tools}
mkdir -p "$cache"
[ -x "$cache/kubectl" ] && exit 0
here=$(cd "$(dirname "$0")/.." && pwd)
wanted=1.26.0
go=$(command -v go || true)
new_enough() { [ -n "$go" ] && [ "$(printf '%s\ngo%s\n' "$("$go" env GOVERSION)" "$wanted" | sort -V | head -1)" = "go$wanted" ]; }
if ! new_enough; then
    command -v unzip >/dev/null || { apt-get update -q >/dev/null; DEBIAN_FRONTEND=noninteractive apt-get install -qy unzip >/dev/null; }
    curl -fsSL -o "$cache/go.zip" "https://proxy.golang.org/golang.org/toolchain/@v/v0.0.1-go$wanted.linux-amd64.zip"
    unzip -q "$cache/go.zip" -d "$cache/go" && rm "$cache/go.zip"
    go=$cache/go/golang.org/toolchain@v0.0.1-go$wanted.linux-amd64/bin/go
    chmod -R u+x "$(dirname "$go")" "$(dirname "$go")/../pkg/tool"
fi
stamp="-s -w -X k8s.io/component-base/version.gitVersion=v1.37.0 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37 -X k8s.io/client-go/pkg/version.gitVersion=v1.37.0"
(cd "$here/tests/tools" && CGO_ENABLED=0 GOFLAGS=-mod=mod "$go" build -ldflags "$stamp" -o "$cache/kubectl" .)
echo "built $cache/kubectl"
