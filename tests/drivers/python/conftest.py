"""What the suites share: names of a test's own, and connections."""

import os
import re
import threading
import time
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


def until_sleeping(mark):
    """Waits until a statement with this mark sleeps on the server: a cancel that comes before meets nothing."""
    running = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE %s"
    end = time.monotonic() + 30
    with psycopg.connect(autocommit=True) as conn:
        while not conn.execute(running, (f"%{mark}%",)).fetchall():
            assert time.monotonic() < end, f"{mark} does not run"
            time.sleep(0.01)


def when_sleeping(mark, act):
    """Does this as soon as a statement with the mark sleeps."""
    thread = threading.Thread(target=lambda: (until_sleeping(mark), act()))
    thread.start()
    return thread


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
