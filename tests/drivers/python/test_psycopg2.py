"""psycopg2: parameters go into the text, all of it by the simple protocol; its own suite is among the upstream ones."""

import io
import os
import select

import psycopg2
import pytest
from conftest import when_sleeping
from psycopg2 import errors, extensions, extras, pool


@pytest.fixture
def db():
    conn = psycopg2.connect("")
    yield conn
    conn.close()


@pytest.fixture
def cur(db):
    with db.cursor() as cur:
        yield cur


def test_with_blocks_commit_and_roll_back(db, name):
    with db, db.cursor() as cur:
        cur.execute(f"CREATE TABLE {name} (n int)")
    with pytest.raises(errors.DivisionByZero), db, db.cursor() as cur:
        cur.execute(f"INSERT INTO {name} VALUES (1)")
        cur.execute("SELECT 1 / 0")
    with db, db.cursor() as cur:
        cur.execute(f"SELECT count(*) FROM {name}")
        assert cur.fetchone() == (0,)


def test_batches(db, cur, name):
    cur.execute(f"CREATE TABLE {name} (n int, word text)")
    rows = [(n, f"it's {n} %") for n in range(3000)]
    extras.execute_values(cur, f"INSERT INTO {name} VALUES %s", rows)
    extras.execute_batch(cur, f"UPDATE {name} SET word = %s WHERE n = %s", [(f"new {n}", n) for n in range(300)])
    cur.execute(f"SELECT count(*), count(*) FILTER (WHERE word LIKE 'new %%') FROM {name}")
    assert cur.fetchone() == (3000, 300)
    db.commit()


@pytest.mark.parametrize("withhold", [False, True])
def test_named_cursors(db, withhold):
    with db.cursor("numbers", scrollable=True, withhold=withhold) as cur:
        cur.itersize = 100
        cur.execute("SELECT generate_series(1, 1000)")
        if withhold:
            db.commit()
        assert sum(n for (n,) in cur) == 500500
        cur.scroll(10, mode="absolute")
        assert cur.fetchmany(2) == [(11,), (12,)]


def test_copy(db, cur, name):
    cur.execute(f"CREATE TABLE {name} (n int, word text)")
    text = "".join(f"{n}\tline {n}\n" for n in range(20000))
    cur.copy_expert(f"COPY {name} FROM STDIN", io.StringIO(text))
    out = io.StringIO()
    cur.copy_expert(f"COPY (SELECT * FROM {name} ORDER BY n) TO STDOUT", out)
    assert out.getvalue() == text
    with pytest.raises(errors.InvalidTextRepresentation):
        cur.copy_from(io.StringIO("x\ty\n"), name)
    db.rollback()


def test_notifications(db, cur, name):
    db.set_isolation_level(extensions.ISOLATION_LEVEL_AUTOCOMMIT)
    cur.execute(f"LISTEN {name}")
    other = psycopg2.connect("")
    with other, other.cursor() as speaker:
        for n in range(10):
            speaker.execute("SELECT pg_notify(%s, %s)", (name, str(n)))
    while len(db.notifies) < 10:
        assert select.select([db], [], [], 5)[0]
        db.poll()
    assert [note.payload for note in db.notifies] == [str(n) for n in range(10)]
    cur.execute("UNLISTEN *")
    other.close()


def test_two_phases(db, cur, name):
    cur.execute(f"CREATE TABLE {name} (n int)")
    db.commit()
    for n, end in enumerate(("tpc_commit", "tpc_rollback")):
        xid = db.xid(42, f"{name}_{n}", "branch")
        db.tpc_begin(xid)
        cur.execute(f"INSERT INTO {name} VALUES (1)")
        db.tpc_prepare()
        db.reset()
        assert [found for found in db.tpc_recover() if found.gtrid == xid.gtrid]
        db.rollback()
        getattr(db, end)(xid)
    cur.execute(f"SELECT count(*) FROM {name}")
    assert cur.fetchone() == (1,)
    db.rollback()


def test_a_large_object(db):
    data = os.urandom(1 << 20)
    blob = db.lobject(0, "wb")
    blob.write(data)
    blob.seek(1000)
    blob.close()
    db.commit()
    blob = db.lobject(blob.oid, "rb")
    assert blob.read() == data
    blob.unlink()
    db.commit()


def test_cancel_from_another_thread(db, cur, name):
    cancel = when_sleeping(name, db.cancel)
    with pytest.raises(errors.QueryCanceled):
        cur.execute(f"SELECT pg_sleep(30) AS {name}")
    cancel.join()
    db.rollback()
    cur.execute("SELECT 1")


def test_fifty_megabytes(cur):
    text = "pgherd! " * (50 << 17)
    cur.execute("SELECT %s", (text,))
    assert cur.fetchone() == (text,)


def test_the_drivers_pool():
    connections = pool.ThreadedConnectionPool(1, 5, "")
    taken = [connections.getconn() for _ in range(5)]
    for n, conn in enumerate(taken):
        with conn.cursor() as cur:
            cur.execute("SET statement_timeout = %s", (1000 + n,))
            cur.execute("SHOW statement_timeout")
            assert cur.fetchone() in [("1s",), (f"{1000 + n}ms",)]
        connections.putconn(conn)
    connections.closeall()
