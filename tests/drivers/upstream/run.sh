#!/usr/bin/env bash
# Runs drivers' own test suites directly and through the proxy, and compares:
#     tests/drivers/upstream/run.sh [SUITE]... [-- ARGUMENTS FOR pytest]
# What passes directly must pass through the proxy; exceptions.txt lists what cannot, and why.
# PGHERD_MODES="direct transaction" takes only some of the ways; PGHERD_TESTBED names another pgherd-testbed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
scratch=$target/drivers/upstream
testbed=${PGHERD_TESTBED:-$target/debug/pgherd-testbed}
all=(asyncpg psycopg2 sqlalchemy-psycopg sqlalchemy-asyncpg sqlalchemy-psycopg2)

# Seconds for one suite in one mode; one that hangs is ended, and what it did not reach counts as failed.
limit=${PGHERD_SUITE_LIMIT:-600}

fail() { echo "upstream: $*" >&2; exit 1; }

# The tests come with the source distributions, the drivers as wheels.
setup() {
    local python=${PYTHON:-python3} mark=$scratch/requirements.installed
    [ -f "$mark" ] && cmp -s "$here/requirements.txt" "$mark" && return
    echo "upstream: installing the drivers and their tests into $scratch" >&2
    rm -rf "$scratch"
    mkdir -p "$scratch/sdist"
    "$python" -m venv "$scratch/python" || fail "python3 has no venv (Debian: apt-get install python3-venv)"
    local pip=("$scratch/python/bin/pip" --quiet --disable-pip-version-check) name
    "${pip[@]}" install -r "$here/requirements.txt" >&2
    for name in asyncpg psycopg2-binary SQLAlchemy; do
        "${pip[@]}" download --no-deps --no-binary :all: --no-build-isolation --dest "$scratch/sdist" \
            "$(grep "^$name==" "$here/requirements.txt")" >&2
    done
    unpack asyncpg asyncpg tests
    unpack psycopg2 psycopg2 tests
    unpack sqlalchemy sqlalchemy
    cp "$here/requirements.txt" "$mark"
}

# Takes PART (or all) of the source distribution whose name begins with NAME.
unpack() {
    local directory=$1 name=$2 part=${3-} sdist
    sdist=$(compgen -G "$scratch/sdist/$name*.tar.gz") || fail "no source distribution of $name"
    mkdir -p "$scratch/$directory"
    tar xzf "$sdist" -C "$scratch/$directory" --strip-components=1 --wildcards "*/${part:-*}"
}

suites=()
while [ $# -gt 0 ]; do
    case $1 in
        --) shift; break ;;
        *) suites+=("$1") ;;
    esac
    shift
done
[ ${#suites[@]} -gt 0 ] || suites=("${all[@]}")
[ -x "$testbed" ] || fail "$testbed is missing: cargo build -p pgherd-harness -p pgherd-proxy"
setup

failed=()
for suite in "${suites[@]}"; do
    case " ${all[*]} " in *" $suite "*) ;; *) fail "unknown suite $suite; there are: ${all[*]}" ;; esac
    for mode in ${PGHERD_MODES:-direct transaction session}; do
        case $mode in
            direct) way=(--direct) ;;
            *) way=(--pool-mode "$mode" --pool-size 40) ;;
        esac
        result=$scratch/$suite.$mode
        rm -f "$result.xml"
        echo "upstream: $suite, $mode" >&2
        # What fails is judged below, by comparison.
        "$testbed" "${way[@]}" -- timeout --kill-after=10 "$limit" "$here/suite.sh" "$scratch" "$suite" \
            --junitxml="$result.xml" "$@" >"$result.log" 2>&1 || true
        tail -n 1 "$result.log" >&2
        [ "$mode" = direct ] && continue
        "$scratch/python/bin/python" "$here/compare.py" "$here/exceptions.txt" "$suite" "$mode" \
            "$scratch/$suite.direct.xml" "$result.xml" || failed+=("$suite/$mode (see $result.log)")
    done
done
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
