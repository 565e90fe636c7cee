#!/usr/bin/env bash
# Programs of several drivers, on one Postgres with all rows and over shards: each must print the same.
# tests/drivers/run.sh calls `setup` and `run`, with `pgherd-testbed --shards`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

verb=$1
scratch=$2
drivers=$(dirname "$scratch")
shift 2

# Each on one line: a name, then the command.
programs() {
    echo "psycopg $drivers/python/bin/python $here/psycopg_program.py"
    echo "asyncpg $drivers/python/bin/python $here/asyncpg_program.py"
    echo "node env NODE_NO_WARNINGS=1 $(command -v node) $drivers/node/sharded_program.js"
    echo "jdbc java -Xmx256m -XX:TieredStopAtLevel=1 -cp /usr/share/java/postgresql.jar:/usr/share/java/scram-client.jar:/usr/share/java/scram-common.jar:/usr/share/java/saslprep.jar:/usr/share/java/stringprep.jar:$scratch JdbcProgram"
}

case $verb in
    setup)
        mkdir -p "$scratch"
        cp "$here/sharded_program.js" "$drivers/node/"
        javac -proc:none -cp /usr/share/java/postgresql.jar -d "$scratch" "$here/JdbcProgram.java"
        ;;
    run)
        [ -n "${PGHERD_SHARDS-}" ] || { echo "sharded: left out: there are no shards without the proxy" >&2; exit 0; }
        failed=
        while read -r name command; do
            [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
            # shellcheck disable=SC2086 # the command's words
            PGHOST=$DIRECT_PGHOST PGPORT=$DIRECT_PGPORT PGDATABASE=$DIRECT_PGDATABASE $command >"$scratch/$name.one" 2>&1 || {
                echo "sharded: $name fails on one Postgres:" >&2; tail -n 20 "$scratch/$name.one" >&2; failed+=" $name"; continue
            }
            # shellcheck disable=SC2086
            $command >"$scratch/$name.shards" 2>&1 || echo "ended with $?" >>"$scratch/$name.shards"
            if diff -u "$scratch/$name.one" "$scratch/$name.shards" >&2; then
                echo "sharded: $name: $(wc -l <"$scratch/$name.one") lines, the same"
            else
                failed+=" $name"
            fi
        done < <(programs)
        [ -z "$failed" ] || { echo "sharded: other answers over shards:$failed" >&2; exit 1; }
        ;;
esac
