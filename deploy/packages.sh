#!/usr/bin/env bash
# The one list of Debian packages that pgherd needs, by purpose.
#
#   deploy/packages.sh PURPOSE...      build, demo, test, bench
#
# Installs what is missing when run as root; otherwise prints the command that does, and exits 1.
# Services that a package would start (Postgres, HAProxy, PgBouncer) are not started.
set -euo pipefail

# === What is needed ===
# One line each: purposes (comma separated) | shell test that holds when it is there | package
needs() {
    cat <<'LIST'
build,demo,test,bench | command -v cc                       | build-essential
build,demo,test,bench | command -v clang                    | clang
build,demo,test,bench | has_libclang                        | libclang-dev
demo,test,bench       | postgres_has initdb                 | postgresql
demo,test,bench       | postgres_has pgbench                | postgresql
demo,test,bench       | command -v psql                     | postgresql-client
demo,test,bench       | command -v haproxy                  | haproxy
demo,test,bench       | command -v setpriv                  | util-linux
demo                  | command -v curl                     | curl
test                  | command -v ip                       | iproute2
test                  | command -v nft                      | nftables
test                  | command -v patroni                  | patroni
test                  | command -v etcd                     | etcd-server
test                  | /usr/bin/python3 -c 'import etcd'   | python3-etcd
test                  | has_locale sv_SE.utf8               | locales-all
test                  | has_libpq_headers                   | libpq-dev
test                  | python_has_venv                     | python3-venv
test                  | ruby -e 'require "pg"'              | ruby-pg
test                  | ruby -e 'require "active_record"'   | ruby-activerecord
test                  | ruby -e 'require "minitest"'        | ruby-minitest
test                  | command -v javac                    | default-jdk-headless
test                  | has_jar postgresql                  | libpostgresql-jdbc-java
test                  | has_jar HikariCP                    | libhikaricp-java
test                  | has_jar slf4j-nop                   | libslf4j-java
test                  | has_jar junit-platform-console      | junit5
test                  | command -v go                       | golang-go
test                  | has_go github.com/jackc/pgx/v4      | golang-github-jackc-pgx-v4-dev
test                  | has_go github.com/lib/pq            | golang-github-lib-pq-dev
build,demo            | has_node_or_venv                    | python3-venv
bench                 | command -v pgbouncer                | pgbouncer
LIST
}

# Debian keeps the server programs out of the PATH, in a directory per version.
postgres_has() {
    command -v "$1" >/dev/null && return
    compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

# With a virtual environment there is a Node.js as well: see node.sh.
has_node_or_venv() { "$(dirname "$0")/node.sh" --installed || python_has_venv; }
# bindgen loads it: it reads the headers of Postgres's parser.
has_libclang() { compgen -G "/usr/lib/llvm-*/lib/libclang*.so*" >/dev/null; }
has_libpq_headers() { [ -e "$(pg_config --includedir)/libpq-fe.h" ]; }
# grep reads all: with -q it would end locale early, which counts as a failure.
has_locale() { locale -a | grep -x "$1"; }
has_jar() { [ -e "/usr/share/java/$1.jar" ]; }
has_go() { [ -d "/usr/share/gocode/src/$1" ]; }
python_has_venv() { python3 -c 'import venv, ensurepip'; }

# === Which of it is missing ===
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
# Some of these live in sbin, which is not in every user's PATH.
PATH=$PATH:/usr/sbin:/sbin

missing=()
for purpose in "$@"; do
    known=0
    while IFS='|' read -r purposes there package; do
        case ",${purposes// /}," in *",$purpose,"*) ;; *) continue ;; esac
        known=1
        package=${package// /}
        case " ${missing[*]-} " in *" $package "*) continue ;; esac
        eval "$there" >/dev/null 2>&1 || missing+=("$package")
    done < <(needs)
    [ "$known" = 1 ] || { echo "packages.sh: unknown purpose '$purpose'" >&2; exit 2; }
done
[ ${#missing[@]} -gt 0 ] || exit 0

# === Get it ===
if ! command -v apt-get >/dev/null; then
    echo "Missing, by Debian's names: ${missing[*]}. This is no Debian: install what matches here." >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "Missing Debian packages. As root:" >&2
    echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

echo "Installing Debian packages: ${missing[*]}"
# Debian starts a service as soon as it is installed; a policy that says 101 forbids that.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 </dev/null; then
    echo "apt-get failed; its last lines:" >&2
    tail -n 20 "$log" >&2
    rm -f "$log"
    exit 1
fi
rm -f "$log"
