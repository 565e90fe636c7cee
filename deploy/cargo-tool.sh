#!/usr/bin/env bash
# Prints where a cargo tool is, and builds it first when it is nowhere.
#
#   deploy/cargo-tool.sh cargo-deny
#
# Tools are built once into a folder outside the target folder (PGHERD_TOOLS), which survives
# `cargo clean` and new checkouts.
set -euo pipefail

tool=${1:?usage: cargo-tool.sh TOOL}
home=${PGHERD_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/pgherd-tools}

case $tool in
cargo-deny) version='^0.20' ;;
cargo-fuzz) version='^0.13' ;;
cargo-nextest) version='^0.9.100' ;;
*) echo "cargo-tool.sh: no version is fixed for '$tool'" >&2; exit 2 ;;
esac

if found=$(command -v "$tool"); then
    echo "$found"
    exit
fi
if [ ! -x "$home/bin/$tool" ]; then
    echo "Building $tool (once, some minutes)" >&2
    cargo install --quiet --locked --root "$home" --version "$version" "$tool" >&2
fi
echo "$home/bin/$tool"
