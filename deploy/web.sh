#!/usr/bin/env bash
# Builds, tests or checks the dashboard in web/ where Node.js can be had.
#
#   deploy/web.sh build | test | lint
#
# Without it, the control plane is built with a placeholder page, and everything else is the same.
set -euo pipefail

task=${1:?usage: web.sh build|test|lint}
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../web"

skip() {
    echo "Dashboard: $task left out: $1. A placeholder page stands in for it." >&2
    # Where everything must be checked, that is a failure.
    [ -z "${CI-}" ]
    exit
}

# Whether the built script is newer than all sources. Not the page: that may be the placeholder.
up_to_date() {
    local script
    script=$(compgen -G 'dist/assets/*.js' | head -n 1) && [ -n "$script" ] || return
    [ -z "$(find . \( -path ./node_modules -o -path ./dist \) -prune -o \
        -type f -newer "$script" -print -quit)" ]
}

"$here/node.sh" true || skip "there is no Node.js"

# npm writes this file at the end of each installation.
installed=node_modules/.package-lock.json
if [ ! -e "$installed" ] || [ package-lock.json -nt "$installed" ]; then
    echo "Dashboard: installing its packages"
    "$here/node.sh" npm ci --no-audit --no-fund --loglevel=error
fi

if [ "$task" = build ] && up_to_date; then
    exit 0
fi
"$here/node.sh" npm run --silent "$task"
