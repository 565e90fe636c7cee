#!/usr/bin/env bash
# Inside pgherd-testbed: prepares what a driver's test suite expects of its server, and runs it:
#     suite.sh SCRATCH SUITE ARGUMENTS FOR pytest
set -euo pipefail

scratch=$1 suite=$2
shift 2
# The suites make roles, databases and extensions.
export PGUSER=$DIRECT_SUPERUSER PGPASSWORD=$DIRECT_SUPERUSER_PASSWORD PGDATABASE=postgres
export PYTHONDONTWRITEBYTECODE=1

directly() { PGHOST=$DIRECT_PGHOST PGPORT=$DIRECT_PGPORT psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 "$@"; }

tests=()
case $suite in
    asyncpg)
        cd "$scratch/asyncpg"
        # One looks at the style of the driver's source.
        tests=(tests --deselect tests/test__sourcecode.py)
        ;;
    psycopg2)
        cd "$scratch/psycopg2"
        directly -c "CREATE DATABASE psycopg2_test"
        directly -d psycopg2_test -c "CREATE EXTENSION hstore"
        tests=(tests)
        ;;
    sqlalchemy-*)
        cd "$scratch/sqlalchemy"
        directly -c "CREATE DATABASE test"
        directly -d test -c "CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2" \
            -c "CREATE EXTENSION hstore; CREATE EXTENSION citext" \
            -c "ALTER DATABASE test SET default_text_search_config = 'pg_catalog.english'"
        # Without what only looks at generated SQL.
        tests=(test/dialect/test_suite.py test/dialect/postgresql
            --deselect test/dialect/postgresql/test_compiler.py
            --dburi "postgresql+${suite#sqlalchemy-}://$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/test")
        ;;
esac
exec "$scratch/python/bin/python" -m pytest "${tests[@]}" -q --tb=short --timeout=60 --maxfail=0 \
    -p no:cacheprovider -o junit_family=xunit1 "$@"
