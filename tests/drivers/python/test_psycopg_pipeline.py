"""psycopg 3 in libpq's pipeline mode."""

import pytest
from psycopg import errors


def test_replies_come_in_order(auto):
    with auto.pipeline():
        cursors = [auto.execute("SELECT %s::int", (n,)) for n in range(1000)]
    assert [cur.fetchone()[0] for cur in cursors] == list(range(1000))


def test_a_reply_can_be_read_in_the_middle(auto):
    with auto.pipeline():
        for n in range(20):
            cur = auto.execute("SELECT %s::int", (n,))
            auto.execute("SELECT 'unread'")
            assert cur.fetchone() == (n,)


def test_sync_in_the_middle(auto):
    with auto.pipeline() as pipeline:
        first = auto.execute("SELECT 1")
        pipeline.sync()
        second = auto.execute("SELECT 2")
        pipeline.sync()
        pipeline.sync()
        assert (first.fetchone(), second.fetchone()) == ((1,), (2,))


def test_an_error_ends_the_batch_up_to_the_sync(auto, name):
    auto.execute(f"CREATE TABLE {name} (n int)")
    with pytest.raises(errors.DivisionByZero), auto.pipeline() as pipeline:
        auto.execute(f"INSERT INTO {name} VALUES (1)")
        pipeline.sync()
        auto.execute(f"INSERT INTO {name} VALUES (2)")
        auto.execute("SELECT 1/0")
        auto.execute(f"INSERT INTO {name} VALUES (3)")
        pipeline.sync()
    assert auto.execute(f"SELECT n FROM {name}").fetchall() == [(1,)]


def test_work_goes_on_after_an_error(auto):
    with auto.pipeline() as pipeline:
        for n in range(3):
            with pytest.raises(errors.DivisionByZero):
                auto.execute("SELECT 1/0").fetchone()
            pipeline.sync()
            assert auto.execute("SELECT %s::int", (n,)).fetchone() == (n,)


def test_statement_prepared_after_an_error_is_not_thought_prepared(auto):
    text = "SELECT %s::text AS never_ran"
    with pytest.raises(errors.DivisionByZero), auto.pipeline():
        auto.execute("SELECT 1/0", prepare=True)
        auto.execute(text, ("x",), prepare=True)
    for _ in range(3):
        assert auto.execute(text, ("x",), prepare=True).fetchone() == ("x",)


def test_prepared_statements_in_pipelines(auto):
    for _ in range(3):
        with auto.pipeline():
            cursors = [auto.execute(f"SELECT {n % 5}, %s::int", (n,), prepare=True) for n in range(100)]
        assert [cur.fetchone() for cur in cursors] == [(n % 5, n) for n in range(100)]


def test_evictions_in_a_pipeline(auto):
    auto.prepared_max = 2
    with auto.pipeline():
        cursors = [auto.execute(f"SELECT {n % 7}, %s::int", (n,), prepare=True) for n in range(70)]
    assert [cur.fetchone() for cur in cursors] == [(n % 7, n) for n in range(70)]


def test_transactions_in_a_pipeline(auto, name):
    auto.execute(f"CREATE TABLE {name} (n int)")
    with auto.pipeline():
        with auto.transaction():
            auto.execute(f"INSERT INTO {name} VALUES (1)")
        with pytest.raises(errors.DivisionByZero), auto.transaction():
            auto.execute(f"INSERT INTO {name} VALUES (2)")
            auto.execute("SELECT 1/0").fetchone()
        with auto.transaction():
            auto.execute(f"INSERT INTO {name} VALUES (3)")
    assert auto.execute(f"SELECT n FROM {name} ORDER BY n").fetchall() == [(1,), (3,)]


def test_executemany_in_a_pipeline(auto, name):
    auto.execute(f"CREATE TABLE {name} (n int)")
    with auto.pipeline(), auto.cursor() as cur:
        cur.executemany(f"INSERT INTO {name} VALUES (%s)", [(n,) for n in range(1000)])
        total = auto.execute(f"SELECT count(*), sum(n) FROM {name}")
    assert total.fetchone() == (1000, 499500)


def test_large_replies_and_parameters_in_a_pipeline(auto):
    value = "z" * 500_000
    with auto.pipeline():
        cursors = [auto.execute("SELECT %s::text, repeat('a', 300000)", (value,)) for _ in range(8)]
    assert all(cur.fetchone() == (value, "a" * 300_000) for cur in cursors)


def test_without_autocommit(conn, name):
    with conn.pipeline():
        conn.execute(f"CREATE TABLE {name} (n int)")
        conn.execute(f"INSERT INTO {name} VALUES (1)")
        conn.rollback()
        cur = conn.execute("SELECT to_regclass(%s)", (name,))
    assert cur.fetchone() == (None,)
