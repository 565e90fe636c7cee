"""What the suites share: names of a test's own, and neighbours that make server connections change hands."""

import os
import re
import threading
import uuid

import asyncpg
import psycopg
import pytest

MODE = os.environ.get("PGHERD_MODE", "direct")


def pytest_report_header():
    return f"PGHERD_MODE={MODE}"


def pytest_sessionstart():
    try:
        psycopg.connect(connect_timeout=10).close()
    except psycopg.OperationalError as error:
        pytest.exit(f"no server to test against (are PGHOST, PGPORT, PGUSER, PGPASSWORD set?): {error}", returncode=3)


def pytest_collection_modifyitems(items):
    if MODE != "transaction":
        return
    skip = pytest.mark.skip(reason="needs one server session for the client's whole life")
    for item in items:
        if item.get_closest_marker("session_state"):
            item.add_marker(skip)


class Neighbours:
    """Clients that run statements all the time and check that each reply is theirs.

    Under transaction pooling the server connections thus change hands between any two
    transactions of a test, as they do under real load.
    """

    def __init__(self, clients=2):
        self._stop = threading.Event()
        self._failures = []
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        try:
            with psycopg.connect(autocommit=True) as conn:
                count = 0
                while not self._stop.wait(0.004):
                    count += 1
                    text = f"neighbour {number} says {count}"
                    got = conn.execute("SELECT %s::text", (text,)).fetchone()[0]
                    assert got == text, f"{got!r} instead of {text!r}"
        except Exception as failure:  # reported by stop(), in the main thread
            self._failures.append(failure)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self._failures, f"a neighbour failed: {self._failures}"


@pytest.fixture(scope="session", autouse=True)
def neighbours():
    neighbours = Neighbours()
    yield
    neighbours.stop()


@pytest.fixture(scope="session")
def names():
    """Every name given out; what has one of them is dropped when no test holds a lock on it any more."""
    names = []
    yield names
    with psycopg.connect(autocommit=True) as conn:
        for name in names:
            kind = conn.execute(
                "SELECT CASE relkind WHEN 'r' THEN 'TABLE' WHEN 'c' THEN 'TYPE' END FROM pg_class WHERE relname = %(name)s"
                " UNION ALL SELECT 'TYPE' FROM pg_type WHERE typname = %(name)s AND typtype = 'e'",
                {"name": name},
            ).fetchone()
            if kind:
                conn.execute(f"DROP {kind[0]} {name}")


@pytest.fixture
def name(request, names):
    """A name for the test's own table, type or channel."""
    stem = re.sub(r"\W+", "_", request.node.name).lower().strip("_")[:30]
    names.append(f"{stem}_{uuid.uuid4().hex[:8]}")
    return names[-1]


@pytest.fixture
def conn():
    """A psycopg connection as most programs have it: a transaction begins with the first statement."""
    with psycopg.connect() as conn:
        yield conn
        if not conn.broken:
            conn.rollback()


@pytest.fixture
async def pg():
    """An asyncpg connection with the driver's own defaults."""
    conn = await asyncpg.connect()
    yield conn
    await conn.close(timeout=5)


@pytest.fixture
def auto():
    """A psycopg connection in autocommit mode."""
    with psycopg.connect(autocommit=True) as conn:
        yield conn
