#!/usr/bin/env bash
# The suites of Ruby's pg and of ActiveRecord, from Debian's packages: tests/drivers/run.sh calls `setup` and `run`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

verb=$1
shift 2
case $verb in
    setup)
        ruby -e 'require "pg"; require "active_record"; require "minitest"' ||
            { echo "ruby: packages are missing (see deploy/packages.sh)" >&2; exit 1; }
        ;;
    run) exec ruby -W:no-deprecated -I. -e 'Dir["./*_test.rb"].sort.each { |file| require file }' -- "$@" ;;
esac
