#!/usr/bin/env bash
# Runs the drivers' suites directly, through a transaction pool and through a session pool:
#     tests/drivers/run.sh [SUITE]... [-- ARGUMENTS FOR pytest, node --test, ...]
# PGHERD_MODES=sharded is another way, over three shards: every table that a suite makes has a key by one of its columns, and refusals.txt lists what is refused.
# A suite is a folder here; those with a suite.sh bring their own `setup SCRATCH` and `run SCRATCH ARGUMENTS`.
# PGHERD_MODES="transaction" takes only some of the ways; PGHERD_TESTBED names another pgherd-testbed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
scratch=$target/drivers
testbed=${PGHERD_TESTBED:-$target/debug/pgherd-testbed}

fail() { echo "drivers: $*" >&2; exit 1; }

# Few server connections in the transaction pool, so that they change hands; one for each client in the session pool.
pool_size() { case $1 in transaction) echo 6 ;; *) echo 60 ;; esac; }

# By which columns the suites' tables are sharded, and which are reference tables.
over_shards=(--shards 3 --key n=int --key a=int --key id=bigint --key v=text --key value=text --key t=text
    --reference person --reference pet --reference schema_migrations --reference ar_internal_metadata
    --reference _sqlx_migrations)

# Seconds for one suite, far more than it needs on a busy machine; one that hangs is ended and counts as failed.
limit=300

# The mark says for which versions the installation was made.
installed() { [ -f "$2" ] && cmp -s "$1" "$2"; }

setup_python() {
    local python=${PYTHON:-python3} mark=$scratch/python/requirements.installed
    installed "$here/python/requirements.txt" "$mark" && return
    command -v "$python" >/dev/null || fail "python3 is missing (Debian: apt-get install python3 python3-venv)"
    echo "drivers: installing the Python drivers into $scratch/python" >&2
    rm -rf "$scratch/python"
    "$python" -m venv "$scratch/python" || fail "python3 has no venv (Debian: apt-get install python3-venv)"
    "$scratch/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt" >&2
    cp "$here/python/requirements.txt" "$mark"
}

# Node looks for packages in the folders above a file, so the suite is run from a copy beside them.
setup_node() {
    local mark=$scratch/node/package-lock.installed
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        fail "node and npm are missing (Debian: apt-get install nodejs npm)"
    fi
    mkdir -p "$scratch/node"
    rm -f "$scratch"/node/*.js
    cp "$here"/node/*.js "$here"/node/package*.json "$here"/node/.npmrc "$scratch/node/"
    installed "$here/node/package-lock.json" "$mark" && return
    echo "drivers: installing the Node drivers into $scratch/node" >&2
    (cd "$scratch/node" && npm ci --no-audit --no-fund --loglevel=error >&2)
    cp "$here/node/package-lock.json" "$mark"
}

setup_c() {
    command -v pg_config >/dev/null || fail "libpq's headers are missing (Debian: apt-get install libpq-dev)"
    mkdir -p "$scratch/c"
    cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wno-missing-field-initializers -Werror -O1 -g -I"$(pg_config --includedir)" "$here"/c/*.c \
        -L"$(pg_config --libdir)" -lpq -o "$scratch/c/suite"
}

# psql and its kin are driven by pytest, which the Python suites bring along.
setup_psql() { setup_python; }

run_c() { "$@"; }
run_psql() { (cd "$here/psql" && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/python "$@"); }
run_python() { (cd "$here/python" && PYTHONDONTWRITEBYTECODE=1 "$@"); }
run_node() { (cd "$scratch/node" && "$@"); }

# What fails over shards must be listed.
judge_refusals() {
    local log=$scratch/$suite.sharded.log status=0 whole=("${command[@]}")
    [ "$suite" != node ] || whole=(node --test --test-reporter=tap "${command[@]:2}")
    "$within" "$testbed" "${way[@]}" -- timeout --kill-after=10 "$limit" "${whole[@]}" >"$log" 2>&1 || status=$?
    python3 "$here/refusals.py" "$suite" "$log" "$status" || { tail -n 40 "$log" >&2; return 1; }
}

all=(python node c psql ruby java go rust sharded)
suites=()
while [ $# -gt 0 ]; do
    case $1 in
        --) shift; break ;;
        *) [ -d "$here/$1" ] || fail "no suite $1; there are: ${all[*]}"; suites+=("$1") ;;
    esac
    shift
done
[ ${#suites[@]} -gt 0 ] || suites=("${all[@]}")
[ -x "$testbed" ] || fail "$testbed is missing: cargo build -p pgherd-harness -p pgherd-proxy"

# One way through one suite; in CI a second time if the first failed, as nextest's profile does there: the machine is
# shared, and Postgres has races of its own. What needed it is named at the end.
run_once() { "$within" "$testbed" "${way[@]}" -- timeout --kill-after=10 "$limit" "${command[@]}"; }
run_way() {
    run_once && return
    [ "${CI:-}" = true ] || return 1
    echo "drivers: $suite, $mode failed; once more" >&2
    run_once && flaky+=("$suite/$mode")
}

failed=() flaky=()
for suite in "${suites[@]}"; do
    mkdir -p "$scratch"
    # Its programs are written with the drivers of others.
    [ "$suite" != sharded ] || { setup_python; setup_node; }
    if [ -x "$here/$suite/suite.sh" ]; then
        "$here/$suite/suite.sh" setup "$scratch/$suite" || fail "$suite cannot be set up"
    else
        "setup_$suite"
    fi
    case $suite in
        python) command=("$scratch/python/bin/python" -m pytest "$@") ;;
        node) command=(node --test "$@") ;;
        c) command=("$scratch/c/suite" "$@") ;;
        psql) command=("$scratch/python/bin/python" -m pytest "$@") ;;
        *) command=("$here/$suite/suite.sh" run "$scratch/$suite" "$@") ;;
    esac
    for mode in ${PGHERD_MODES:-direct transaction session}; do
        case $mode in
            direct) way=(--direct) ;;
            sharded) way=(--pool-mode transaction --pool-size 12 "${over_shards[@]}") ;;
            *) way=(--pool-mode "$mode" --pool-size "$(pool_size "$mode")" --logs) ;;
        esac
        if [ "$mode" = sharded ] && [ "$suite" = psql ]; then
            echo "drivers: psql, sharded: left out, as its tests make databases of their own" >&2
            continue
        fi
        if [ "$suite" = sharded ]; then
            # It speaks to one Postgres by itself.
            [ "$mode" != direct ] && [ "$mode" != sharded ] || continue
            way+=(--shards 3)
        fi
        echo "drivers: $suite, $mode" >&2
        within=env
        [ "$(type -t "run_$suite")" != function ] || within=run_$suite
        case $mode in
            sharded) judge_refusals || failed+=("$suite/$mode") ;;
            *) run_way || failed+=("$suite/$mode") ;;
        esac
    done
done
[ ${#flaky[@]} -eq 0 ] || echo "drivers: FLAKY, passed the second time: ${flaky[*]}" >&2
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
