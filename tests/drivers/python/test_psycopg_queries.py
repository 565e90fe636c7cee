"""psycopg 3: statements, their results and their errors."""

import threading
import time

import psycopg
import pytest
from conftest import when_sleeping
from psycopg import errors, sql

MEGABYTE = 1 << 20


def test_parameters_come_back_as_they_went(auto):
    row = auto.execute("SELECT %s::int, %s::text, %s::bytea, %s::bool", (7, "sieben", b"\0\xff7", True)).fetchone()
    assert row == (7, "sieben", b"\0\xff7", True)


@pytest.mark.parametrize("binary", [False, True])
def test_result_formats(auto, binary):
    with auto.cursor(binary=binary) as cur:
        assert cur.execute("SELECT 1::int8, 'x'::text, 1.50::numeric::text").fetchone() == (1, "x", "1.50")
        assert cur.pgresult.fformat(0) == int(binary)


def test_client_side_binding_uses_the_simple_protocol():
    with psycopg.connect(autocommit=True, cursor_factory=psycopg.ClientCursor) as conn:
        cur = conn.execute("SELECT %s; SELECT %s, %s", (1, "it's", None))
        assert cur.fetchall() == [(1,)]
        assert cur.nextset()
        assert cur.fetchall() == [("it's", None)]
        assert not cur.nextset()


def test_statements_without_parameters_may_be_several(auto, name):
    cur = auto.execute(f"CREATE TABLE {name} (n int); INSERT INTO {name} VALUES (1), (2); SELECT sum(n) FROM {name}")
    tags = [cur.statusmessage]
    while cur.nextset():
        tags.append(cur.statusmessage)
    assert tags == ["CREATE TABLE", "INSERT 0 2", "SELECT 1"]
    assert cur.fetchone() == (3,)


def test_an_error_among_several_statements_undoes_them_all(auto, name):
    with pytest.raises(errors.DivisionByZero):
        auto.execute(f"CREATE TABLE {name} (n int); SELECT 1/0; SELECT 2")
    assert auto.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,)


def test_empty_query(auto):
    cur = auto.execute("")
    assert cur.pgresult.status == psycopg.pq.ExecStatus.EMPTY_QUERY
    assert auto.execute("SELECT 1").fetchone() == (1,)


def test_row_counts_and_tags(auto, name):
    auto.execute(f"CREATE TABLE {name} (n int)")
    cur = auto.execute(f"INSERT INTO {name} SELECT generate_series(1, 10)")
    assert (cur.rowcount, cur.statusmessage) == (10, "INSERT 0 10")
    cur = auto.execute(f"UPDATE {name} SET n = n WHERE n > %s", (7,))
    assert (cur.rowcount, cur.statusmessage) == (3, "UPDATE 3")
    cur = auto.execute(f"DELETE FROM {name} WHERE n > %s RETURNING n", (7,))
    assert sorted(cur.fetchall()) == [(8,), (9,), (10,)]


def test_executemany_with_returning(auto, name):
    auto.execute(f"CREATE TABLE {name} (id serial PRIMARY KEY, word text)")
    with auto.cursor() as cur:
        cur.executemany(
            f"INSERT INTO {name} (word) VALUES (%s) RETURNING word", [(f"w{n}",) for n in range(500)], returning=True
        )
        words = [cur.fetchone()[0]]
        while cur.nextset():
            words.append(cur.fetchone()[0])
    assert words == [f"w{n}" for n in range(500)]


def test_an_error_carries_all_its_fields(auto, name):
    auto.execute(f"CREATE TABLE {name} (n int CONSTRAINT {name}_positive CHECK (n > 0))")
    with pytest.raises(errors.CheckViolation) as caught:
        auto.execute(f"INSERT INTO {name} VALUES (%s)", (-1,))
    diag = caught.value.diag
    assert (diag.severity, diag.sqlstate, diag.table_name, diag.constraint_name) == (
        "ERROR",
        "23514",
        name,
        f"{name}_positive",
    )
    assert "Failing row contains (-1)" in diag.message_detail
    with pytest.raises(errors.UndefinedColumn) as caught:
        auto.execute("SELECT nothing_like_it")
    assert caught.value.diag.statement_position == "8"


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT 1/0", "SELECT * FROM no_such_table", "SELECT 'x'::int"])
def test_the_connection_works_after_an_error(auto, statement):
    for _ in range(8):
        with pytest.raises(psycopg.Error):
            auto.execute(statement, prepare=True)
        assert auto.execute("SELECT %s::int", (5,)).fetchone() == (5,)


def test_an_error_while_rows_are_on_their_way(auto):
    with pytest.raises(errors.DivisionByZero):
        auto.execute("SELECT 1 / (50000 - n), repeat('x', 100) FROM generate_series(1, 60000) n")
    assert auto.execute("SELECT 1").fetchone() == (1,)


def test_notices_arrive(auto):
    heard = []
    auto.add_notice_handler(lambda diag: heard.append((diag.severity, diag.message_primary)))
    auto.execute("DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second'; END $$")
    assert heard == [("NOTICE", "first"), ("WARNING", "second")]


@pytest.mark.parametrize("value", ["ä" * (5 * MEGABYTE), bytes(range(256)) * (40 * 1024)], ids=["text", "bytea"])
def test_values_of_ten_megabytes(auto, value):
    with auto.cursor(binary=True) as cur:
        assert cur.execute("SELECT %b", (value,)).fetchone()[0] == value
    assert auto.execute("SELECT %s", (value,)).fetchone()[0] == value


def test_many_rows(auto):
    rows = auto.execute("SELECT n, 'row ' || n FROM generate_series(1, 50000) n").fetchall()
    assert len(rows) == 50000
    assert rows[-1] == (50000, "row 50000")


def test_streaming_row_by_row(auto):
    with auto.cursor() as cur:
        rows = [n for (n,) in cur.stream("SELECT generate_series(1, %s)", (5000,))]
    assert rows == list(range(1, 5001))


def test_many_columns_and_many_parameters(auto):
    wide = auto.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(map(sql.Literal, range(1600)))))
    assert wide.fetchone() == tuple(range(1600))
    many = auto.execute("SELECT " + " + ".join(["%s::int8"] * 3000), [1] * 3000)
    assert many.fetchone() == (3000,)


def test_a_statement_text_of_a_megabyte(auto):
    word = "y" * MEGABYTE
    assert auto.execute(f"SELECT length('{word}')").fetchone() == (MEGABYTE,)


def test_what_the_driver_learns_at_login(auto):
    assert auto.info.server_version >= 130000
    assert auto.info.encoding == "utf-8"
    for parameter in ["server_version", "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings"]:
        assert auto.info.parameter_status(parameter), parameter
    assert auto.info.backend_pid > 0


def test_settings_at_login_are_accepted():
    with psycopg.connect(application_name="suite", options="-c statement_timeout=60s", client_encoding="utf8") as conn:
        assert conn.execute("SELECT 'ä'").fetchone() == ("ä",)


def test_a_wrong_password_is_refused_as_by_postgres():
    with pytest.raises(psycopg.OperationalError, match="password authentication failed for user"):
        psycopg.connect(password="not the password")


def test_tls_is_declined_politely():
    with psycopg.connect(sslmode="prefer", gssencmode="prefer") as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


def test_cancel_ends_the_query_and_nothing_else(auto, name):
    with psycopg.connect(autocommit=True) as other:
        started = time.monotonic()
        cancel = when_sleeping(name, auto.cancel_safe)
        bystander = threading.Thread(target=other.execute, args=("SELECT pg_sleep(0.5)",))
        bystander.start()
        with pytest.raises(errors.QueryCanceled):
            auto.execute(f"SELECT pg_sleep(20) AS {name}")
        assert time.monotonic() - started < 15
        bystander.join()
        cancel.join()
        assert other.execute("SELECT 1").fetchone() == (1,)
    assert auto.execute("SELECT 1").fetchone() == (1,)


def test_cancel_of_an_idle_connection_does_nothing(auto):
    for _ in range(5):
        auto.cancel_safe()
        assert auto.execute("SELECT 1").fetchone() == (1,)


def test_old_style_cancel(auto, name):
    cancel = when_sleeping(name, auto.cancel)
    with pytest.raises(errors.QueryCanceled):
        auto.execute(f"SELECT pg_sleep(20) AS {name}")
    cancel.join()
