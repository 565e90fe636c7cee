#!/usr/bin/env bash
# The suites of Go's pgx and lib/pq, from Debian's packages alone: tests/drivers/run.sh calls `setup` and `run`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

verb=$1
scratch=$2
shift 2
case $verb in
    setup)
        command -v go >/dev/null || { echo "go is missing (see deploy/packages.sh)" >&2; exit 1; }
        mkdir -p "$scratch"
        # Debian's libraries lie as in a GOPATH; nothing is fetched.
        export GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$scratch/cache CGO_ENABLED=0 GOFLAGS= GOPROXY=off
        unformatted=$(gofmt -l .)
        [ -z "$unformatted" ] || { echo "go: not formatted: $unformatted" >&2; exit 1; }
        go test -c -o "$scratch/suite.test" .
        ;;
    run)
        # Only what failed, or did not hold, is told in full.
        "$scratch/suite.test" -test.v "$@" 2>&1 | awk '
            /^=== / { next }
            /^ *--- PASS/ { if ($0 ~ /^---/) passed++; next }
            /^--- FAIL/ { failed++ }
            /^ *--- SKIP/ { skipped++; next }
            { print }
            END { printf "go: %d passed, %d failed, %d skipped\n", passed, failed, skipped }'
        ;;
esac
