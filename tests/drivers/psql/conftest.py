"""What the suites of Postgres's own programs share: each runs on Postgres itself and on the way under test."""

import os
import subprocess
import uuid

import pytest

MODE = os.environ.get("PGHERD_MODE", "direct")


def pytest_report_header():
    return f"PGHERD_MODE={MODE}"


# Debian's wrappers in the PATH do not know all of the programs.
PROGRAMS = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip()


def environment(way, **more):
    """The environment for a program: "direct" leads to Postgres itself, "tested" where the run leads."""
    environ = {key: text for key, text in os.environ.items() if not key.startswith("PG") or key == "PGHERD_PG_BIN"}
    prefix = "DIRECT_" if way == "direct" else ""
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"):
        environ[name] = os.environ[prefix + name]
    environ["PATH"] += os.pathsep + PROGRAMS
    return environ | {"PSQLRC": "/dev/null", "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "10"} | more


def program(way, *command, input=None, cwd=None, **more):
    """Runs a program to its end; its output is bytes."""
    environ = environment(way, **more)
    return subprocess.run(command, input=input, cwd=cwd, env=environ, capture_output=True, timeout=80)


def succeed(way, *command, **more):
    """The output of a program that must succeed."""
    done = program(way, *command, **more)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr.decode()[-3000:]}"
    return done.stdout


def superuser():
    return {"PGUSER": os.environ["DIRECT_SUPERUSER"], "PGPASSWORD": os.environ["DIRECT_SUPERUSER_PASSWORD"]}


@pytest.fixture
def database():
    """Makes databases of the test's own, on Postgres itself. They stay: pooled connections may still be in them."""

    def make():
        name = f"own_{uuid.uuid4().hex[:8]}"
        owner = os.environ["PGUSER"]
        succeed("direct", "psql", "-Xqc", f"CREATE DATABASE {name} OWNER {owner}", PGDATABASE="postgres", **superuser())
        return name

    return make
