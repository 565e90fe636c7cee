#!/usr/bin/env bash
# Runs fuzz targets with libFuzzer, each for FUZZ_SECONDS (60):
#     tests/fuzz/run.sh [TARGET]...
#     tests/fuzz/run.sh TARGET FILE       replays one input
# What is found in passing is kept below target/fuzz/corpus and built upon by the next run. A failing input is
# stored below target/fuzz/crashes; it becomes a file in tests/fuzz/corpus, which `make test` runs, and a unit test.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
scratch=${CARGO_TARGET_DIR:-$root/target}/fuzz
seconds=${FUZZ_SECONDS:-60}
# Sanitizers and coverage are unstable options; nothing of the code under test is.
export RUSTC_BOOTSTRAP=1

fail() { echo "fuzz: $*" >&2; exit 1; }

mapfile -t all < <(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' "$here/runner/Cargo.toml")
triple=$(rustc -vV | sed -n 's/^host: //p')
"$("$root/deploy/cargo-tool.sh" cargo-fuzz)" fuzz build --fuzz-dir "$here/runner" --target-dir "$scratch" --target "$triple"
program() { echo "$scratch/$triple/release/$1"; }

if [ $# = 2 ] && [ -f "$2" ]; then
    exec "$(program "$1")" "$2"
fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")

crashed=()
for target in "${targets[@]}"; do
    [ -x "$(program "$target")" ] || fail "no target $target; there are: ${all[*]}"
    mkdir -p "$scratch/corpus/$target" "$scratch/crashes/$target"
    echo "fuzz: $target, $seconds s" >&2
    # A target that needs a second for one input, or half a gigabyte, has found something, too.
    log=$scratch/$target.log
    if "$(program "$target")" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=4096 \
        -print_final_stats=1 -artifact_prefix="$scratch/crashes/$target/" \
        "$scratch/corpus/$target" "$here/corpus/$target" >"$log" 2>&1; then
        grep -E 'number_of_executed_units|new_units_added' "$log" | sed 's/^/    /' >&2
    else
        grep -aE 'panicked at|ERROR: |Test unit written' -A 2 "$log" | head -n 20 >&2 || tail -n 20 "$log" >&2
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        echo "fuzz: $target failed; replay: tests/fuzz/run.sh $target ${input:-(see $log)}" >&2
        crashed+=("$target")
    fi
done
[ ${#crashed[@]} -eq 0 ] || fail "failed: ${crashed[*]}"
