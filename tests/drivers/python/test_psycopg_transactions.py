"""psycopg 3: transactions, savepoints, and server-side cursors, which live in them."""

import time

import psycopg
import pytest
from psycopg import IsolationLevel, errors


@pytest.fixture
def table(auto, name):
    auto.execute(f"CREATE TABLE {name} (n int)")
    return name


def rows(conn, table):
    return [n for (n,) in conn.execute(f"SELECT n FROM {table} ORDER BY n").fetchall()]


def test_commit_and_rollback(conn, auto, table):
    conn.execute(f"INSERT INTO {table} VALUES (1)")
    assert rows(auto, table) == []
    conn.commit()
    conn.execute(f"INSERT INTO {table} VALUES (2)")
    conn.rollback()
    assert rows(auto, table) == [1]


def test_one_server_connection_serves_the_whole_transaction(conn):
    pids = set()
    for _ in range(30):
        pids.add(conn.execute("SELECT pg_backend_pid()").fetchone())
        time.sleep(0.002)
    assert len(pids) == 1


def test_nested_blocks_are_savepoints(conn, auto, table):
    with conn.transaction():
        conn.execute(f"INSERT INTO {table} VALUES (1)")
        with pytest.raises(errors.DivisionByZero), conn.transaction():
            conn.execute(f"INSERT INTO {table} VALUES (2)")
            conn.execute("SELECT 1/0")
        with conn.transaction(force_rollback=True):
            conn.execute(f"INSERT INTO {table} VALUES (3)")
        with conn.transaction("named"):
            conn.execute(f"INSERT INTO {table} VALUES (4)")
    assert rows(auto, table) == [1, 4]


def test_a_failed_transaction_refuses_statements_until_its_end(conn, table):
    conn.execute(f"INSERT INTO {table} VALUES (1)")
    with pytest.raises(errors.DivisionByZero):
        conn.execute("SELECT 1/0")
    for _ in range(3):
        with pytest.raises(errors.InFailedSqlTransaction):
            conn.execute("SELECT 1")
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    conn.rollback()
    assert rows(conn, table) == []


def test_commit_of_a_failed_transaction_answers_rollback(auto):
    auto.execute("BEGIN")
    with pytest.raises(errors.DivisionByZero):
        auto.execute("SELECT 1/0")
    assert auto.execute("COMMIT").statusmessage == "ROLLBACK"
    assert auto.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_begin_with_options(conn):
    conn.isolation_level = IsolationLevel.SERIALIZABLE
    conn.read_only = True
    conn.deferrable = True
    assert conn.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
    assert conn.execute("SHOW transaction_read_only").fetchone() == ("on",)
    with pytest.raises(errors.ReadOnlySqlTransaction):
        conn.execute("CREATE TABLE must_not_be (n int)")


def test_a_serialization_failure_reaches_the_right_client(table):
    with psycopg.connect() as first, psycopg.connect() as second:
        first.isolation_level = second.isolation_level = IsolationLevel.SERIALIZABLE
        for conn in (first, second):
            conn.execute(f"SELECT sum(n) FROM {table}").fetchone()
        first.execute(f"INSERT INTO {table} VALUES (1)")
        second.execute(f"INSERT INTO {table} VALUES (2)")
        first.commit()
        with pytest.raises(errors.SerializationFailure):
            second.commit()


def test_set_local_ends_with_the_transaction(auto):
    with auto.transaction():
        auto.execute("SET LOCAL statement_timeout = '300ms'")
        with pytest.raises(errors.QueryCanceled), auto.transaction():
            auto.execute("SELECT pg_sleep(5)")
    auto.execute("SELECT pg_sleep(0.4)")


def test_closing_in_the_middle_undoes_and_unlocks(auto, table):
    conn = psycopg.connect()
    conn.execute(f"INSERT INTO {table} VALUES (1)")
    conn.execute(f"LOCK TABLE {table}")
    conn.close()
    with auto.transaction():
        auto.execute("SET LOCAL lock_timeout = '5s'")
        assert rows(auto, table) == []


def test_prepared_statements_across_transactions(conn, table):
    for n in range(10):
        conn.execute(f"INSERT INTO {table} VALUES (%s)", (n,), prepare=True)
        conn.commit() if n % 2 else conn.rollback()
    assert rows(conn, table) == [1, 3, 5, 7, 9]


def test_a_server_side_cursor_fetches_in_portions(conn):
    with conn.cursor("portions") as cur:
        cur.itersize = 70
        cur.execute("SELECT n FROM generate_series(1, 1000) n WHERE n > %s", (0,))
        assert cur.fetchone() == (1,)
        assert cur.fetchmany(5) == [(n,) for n in range(2, 7)]
        assert [n for (n,) in cur] == list(range(7, 1001))


def test_a_scrollable_cursor(conn):
    with conn.cursor("scrolling", scrollable=True) as cur:
        cur.execute("SELECT generate_series(1, 100)")
        cur.scroll(50)
        assert cur.fetchone() == (51,)
        cur.scroll(-10)
        assert cur.fetchone() == (42,)


def test_cursors_side_by_side(conn):
    with conn.cursor("left_one") as left, conn.cursor("right_one", binary=True) as right:
        left.execute("SELECT generate_series(1, 100)")
        right.execute("SELECT generate_series(101, 200)")
        for n in range(1, 101):
            assert left.fetchone() == (n,)
            assert conn.execute("SELECT %s::int", (n,)).fetchone() == (n,)
            assert right.fetchone() == (n + 100,)


def test_a_cursor_of_an_ended_transaction_is_gone(conn):
    cur = conn.cursor("gone")
    cur.execute("SELECT generate_series(1, 100)")
    cur.fetchone()
    conn.commit()
    with pytest.raises(errors.InvalidCursorName):
        cur.fetchone()
