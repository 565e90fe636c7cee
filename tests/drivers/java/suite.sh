#!/usr/bin/env bash
# JDBC's suite, with Debian's packages of driver, pool and JUnit: tests/drivers/run.sh calls `setup` and `run`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

classpath=
for jar in postgresql scram-client scram-common saslprep stringprep HikariCP slf4j-api slf4j-nop opentest4j apiguardian-api \
    picocli univocity-parsers open-test-reporting-events open-test-reporting-schema \
    junit-jupiter-api junit-jupiter-engine junit-jupiter-params \
    junit-platform-commons junit-platform-engine junit-platform-launcher junit-platform-console junit-platform-reporting; do
    path=/usr/share/java/$jar.jar
    [ ! -e "$path" ] || classpath+=$path:
done

verb=$1
scratch=$2
shift 2
case $verb in
    setup)
        command -v javac >/dev/null || { echo "java: javac is missing (see deploy/packages.sh)" >&2; exit 1; }
        # As a build would: only when something has changed.
        [ ! -d "$scratch/classes" ] || [ -n "$(find "$here" -newer "$scratch/classes")" ] || exit 0
        rm -rf "$scratch/classes"
        mkdir -p "$scratch/classes"
        javac -Xlint:all,-processing,-classfile,-try,-path -Werror -proc:none -cp "$classpath" -d "$scratch/classes" "$here"/*.java
        touch "$scratch/classes"
        ;;
    run)
        # Failures in full, the rest as numbers.
        exec java -Xmx1g -XX:TieredStopAtLevel=1 -cp "$classpath$scratch/classes" \
            org.junit.platform.console.ConsoleLauncher --disable-banner --disable-ansi-colors \
            --scan-classpath "$scratch/classes" --include-classname '.*Test' --details=summary "$@"
        ;;
esac
