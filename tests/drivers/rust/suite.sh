#!/usr/bin/env bash
# The Rust drivers' suite, a member of the workspace: tests/drivers/run.sh calls `setup` and `run`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# With the whole workspace, so that the features of its dependencies, and what is built, stay the same.
cargo_test() { cargo test --quiet --workspace --test rust_drivers "$@"; }

export RUST_BACKTRACE=0
verb=$1
shift 2
case $verb in
    setup) cargo_test --no-run ;;
    run)
        log=$(mktemp)
        trap 'rm -f "$log"' EXIT
        status=0
        cargo_test -- "$@" 2>&1 | tee "$log" || status=$?
        echo "rust: $(grep -c '^skipped: ' "$log" || true) skipped, exit status $status"
        exit "$status"
        ;;
esac
