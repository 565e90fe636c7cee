"""psycopg 3: prepared statements, automatic and forced."""

import psycopg
import pytest
from psycopg import errors


def test_prepared_after_five_executions(auto):
    for n in range(50):
        assert auto.execute("SELECT %s::int + 1", (n,)).fetchone() == (n + 1,)
    assert len(auto._prepared._names) == 1


def test_forced(auto):
    for n in range(20):
        assert auto.execute("SELECT %s::text || '!'", (str(n),), prepare=True).fetchone() == (f"{n}!",)


def test_never(auto):
    auto.prepare_threshold = None
    for n in range(20):
        assert auto.execute("SELECT %s::int", (n,)).fetchone() == (n,)


def test_many_connections_with_statements_of_equal_names():
    # Every connection calls its first statement _pg3_0: the names say nothing about the texts.
    conns = [psycopg.connect(autocommit=True) for _ in range(5)]
    try:
        for turn in range(10):
            for number, conn in enumerate(conns):
                got = conn.execute(f"SELECT {number}, %s::int", (turn,), prepare=True).fetchone()
                assert got == (number, turn)
    finally:
        for conn in conns:
            conn.close()


def test_one_text_with_other_parameter_types_is_another_statement(auto):
    for _ in range(3):
        assert auto.execute("SELECT pg_typeof(%s)::text", (1,), prepare=True).fetchone() == ("smallint",)
        assert auto.execute("SELECT pg_typeof(%s)::text", (1.5,), prepare=True).fetchone() == ("double precision",)
        assert auto.execute("SELECT pg_typeof(%s)::text", (True,), prepare=True).fetchone() == ("boolean",)


def test_old_statements_are_closed(auto):
    auto.prepared_max = 3
    for turn in range(3):
        for n in range(10):
            assert auto.execute(f"SELECT {n} * %s", (turn,), prepare=True).fetchone() == (n * turn,)


def test_a_statement_prepared_in_a_transaction_survives_its_rollback(conn):
    for _ in range(3):
        assert conn.execute("SELECT %s::int", (1,), prepare=True).fetchone() == (1,)
        conn.rollback()


def test_an_error_in_execution_leaves_the_statement(auto):
    for n in [1, 0, 2, 0, 5]:
        if n:
            assert auto.execute("SELECT 10 / %s::int", (n,), prepare=True).fetchone() == (10 // n,)
        else:
            with pytest.raises(errors.DivisionByZero):
                auto.execute("SELECT 10 / %s::int", (n,), prepare=True)


def test_an_error_in_preparation_is_told_each_time(auto, name):
    for _ in range(3):
        with pytest.raises(errors.UndefinedTable):
            auto.execute(f"SELECT * FROM {name} WHERE n = %s", (1,), prepare=True)
    auto.execute(f"CREATE TABLE {name} (n int)")
    assert auto.execute(f"SELECT * FROM {name} WHERE n = %s", (1,), prepare=True).fetchall() == []


@pytest.mark.parametrize("statement", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_statements_come_back_after(auto, statement):
    for _ in range(3):
        assert auto.execute("SELECT %s::int", (1,), prepare=True).fetchone() == (1,)
        auto.execute(statement)


def test_executemany_prepares(auto, name):
    auto.execute(f"CREATE TABLE {name} (n int)")
    with auto.cursor() as cur:
        for _ in range(3):
            cur.executemany(f"INSERT INTO {name} VALUES (%s)", [(n,) for n in range(100)])
    assert auto.execute(f"SELECT count(*), sum(n) FROM {name}").fetchone() == (300, 3 * 4950)


def test_a_changed_table_is_seen(auto, name):
    auto.execute(f"CREATE TABLE {name} (n int)")
    auto.execute(f"INSERT INTO {name} VALUES (1)")
    for _ in range(3):
        assert auto.execute(f"SELECT n FROM {name} WHERE n = %s", (1,), prepare=True).fetchone() == (1,)
    auto.execute(f"ALTER TABLE {name} ADD m int DEFAULT 2")
    assert auto.execute(f"SELECT n FROM {name} WHERE n = %s", (1,), prepare=True).fetchone() == (1,)
