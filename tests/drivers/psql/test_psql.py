"""psql: each script says the same, byte for byte, on Postgres itself and on the way under test."""

import difflib
import hashlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import MODE, environment, program, succeed

SCRIPTS = Path(__file__).parent / "scripts"
VERSION = int(re.search(rb"(\d+)", succeed("direct", "psql", "--version")[len("psql (PostgreSQL) ") - 1:]).group(1))


def told(way, script, database, directory, *arguments):
    """All that psql says about a script, with the numbers that differ by nature made equal."""
    done = program(
        way, "psql", "-X", "-e", "-d", database, "-f", str(script), *arguments, cwd=directory,
    )
    text = done.stdout + done.stderr
    text = re.sub(rb"(server process with PID) \d+", rb"\1 N", text)
    text = text.replace(database.encode(), b"DATABASE")
    text = re.sub(rb"(LASTOID|lo_import|lo_unlink|object|oid =|lo_get\(|lo_open\() ?\d+", rb"\1 N", text)
    return done.returncode, text.decode().splitlines()


def scripts():
    for path in sorted(SCRIPTS.glob("*.sql")):
        name, *since = path.name.removesuffix(".sql").split(".")
        missing = bool(since) and VERSION < int(since[0])
        marks = [pytest.mark.skip(reason=f"psql {VERSION} lacks what this needs")] if missing else []
        yield pytest.param(path, id=name, marks=marks)


@pytest.mark.parametrize("arguments", [["-v", "VERBOSITY=verbose"], ["-1"]], ids=["verbose", "single-transaction"])
@pytest.mark.parametrize("script", list(scripts()))
def test_a_script_says_the_same(script, arguments, database, tmp_path):
    heard = {}
    for way in ("direct", "tested"):
        directory = tmp_path / way
        directory.mkdir()
        (directory / "blob.in").write_bytes(b"a large object\0" * 30000)
        heard[way] = told(way, script, database(), directory, *arguments)
        written = sorted((path.name, path.read_bytes()) for path in directory.iterdir())
        heard[way] += (written,)
    (status, direct, files), tested = heard["direct"], heard["tested"]
    assert direct, "psql said nothing"
    if tested[1] != direct:
        pytest.fail("\n".join(difflib.unified_diff(direct, tested[1], "on Postgres", "tested", lineterm="", n=2)))
    assert (tested[0], tested[2]) == (status, files)


@pytest.mark.parametrize("command, status", [
    (["-c", "SELECT 1", "-c", "SELECT 2"], 0),
    (["-c", "SELECT 1; SELECT 1 / 0; SELECT 2"], 1),
    (["-v", "ON_ERROR_STOP=1", "-c", "SELECT 1 / 0", "-c", "SELECT 2"], 1),
    (["-f", "no-such-file"], 1),
    (["-d", "no_such_database", "-c", "SELECT 1"], 2),
    (["-U", "nobody", "-c", "SELECT 1"], 2),
    (["-l"], 0),
])
def test_exit_status(command, status):
    direct, tested = (program(way, "psql", "-X", *command) for way in ("direct", "tested"))
    assert (direct.returncode, tested.returncode) == (status, status)
    if "-l" not in command:
        assert tested.stdout == direct.stdout


def test_statements_from_a_pipe_are_answered_as_they_come():
    env = environment("tested")
    psql = subprocess.Popen(["psql", "-XAtq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, bufsize=0)
    for n in range(50):
        psql.stdin.write(f"SELECT {n};\n".encode())
        assert psql.stdout.readline() == f"{n}\n".encode()
    psql.stdin.close()
    assert psql.wait(10) == 0


def interrupted(script, ready, *arguments):
    """Runs a script, waits until `ready` stands in its output or the catalog, and presses Ctrl-C."""
    psql = subprocess.Popen(["psql", "-XAtq", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=environment("tested"), bufsize=0)
    psql.stdin.write(script.encode())
    psql.stdin.close()
    psql.stdin = None
    end = time.monotonic() + 30
    while not ready(psql):
        assert time.monotonic() < end
        time.sleep(0.02)
    psql.send_signal(signal.SIGINT)
    out, err = psql.communicate(timeout=30)
    return psql.returncode, out.decode(), err.decode()


def test_ctrl_c_cancels_the_statement():
    mark = f"mark_{os.getpid()}"

    def running(_):
        query = f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%AS {mark}%' AND pid <> pg_backend_pid() AND state = 'active'"
        return succeed("direct", "psql", "-XAtqc", query).strip() == b"1"

    _, out, err = interrupted(f"SELECT pg_sleep(30) AS {mark};\nSELECT 'never';\n", running, "-v", "ON_ERROR_STOP=1")
    assert "canceling statement due to user request" in err
    assert out == ""


def test_watch_runs_until_ctrl_c():
    seen = []

    def three_times(psql):
        seen.append(psql.stdout.readline().decode().strip())
        return seen.count("again") == 3

    # Not from a pipe: there psql reads no more after an interrupt.
    status, _, _ = interrupted("SELECT 'again' \\watch 0.05\n", three_times)
    assert status in (0, 3)


def test_fifty_megabytes_in_and_out():
    text = hashlib.sha512(b"seed").hexdigest() * (50 * 1024 * 1024 // 128)
    script = f"SELECT md5('{text}'), length('{text[:1000]}');\nSELECT repeat('{text[:1024]}', {50 * 1024});\n".encode()
    out = succeed("tested", "psql", "-XAtq", input=script).split(b"\n")
    assert out[0] == f"{hashlib.md5(text.encode()).hexdigest()}|1000".encode()
    assert out[1] == text[:1024].encode() * 50 * 1024


def test_connection_strings():
    host, port, user = (os.environ[name] for name in ("PGHOST", "PGPORT", "PGUSER"))
    database, password = os.environ["PGDATABASE"], os.environ["PGPASSWORD"]
    for options, name, wanted in [("application_name=uri", "application_name", b"uri\n"),
                                  ("options=-csearch_path%3Dpg_catalog", "search_path", b"pg_catalog\n"),
                                  ("client_encoding=LATIN1", "client_encoding", b"LATIN1\n"),
                                  ("sslmode=prefer&gssencmode=disable", "work_mem", b"4MB\n")]:
        uri = f"postgresql://{user}:{password}@{host}:{port}/{database}?{options}"
        assert succeed("tested", "psql", "-XAtc", f"SHOW {name}", uri) == wanted, (MODE, options)
    assert succeed("tested", "pg_isready").endswith(b"accepting connections\n")
