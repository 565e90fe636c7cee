"""psycopg 3: COPY in both directions, and what ends it early."""

import psycopg
import pytest
from psycopg import errors

ROWS = [(n, f"line {n}\twith\\specials", None if n % 3 else n / 4) for n in range(5000)]


@pytest.fixture
def table(conn, name):
    conn.execute(f"CREATE TABLE {name} (n int, word text, ratio float8)")
    conn.commit()
    return name


def test_rows_in_and_out_as_text(conn, table):
    with conn.cursor() as cur:
        with cur.copy(f"COPY {table} FROM STDIN") as copy:
            for row in ROWS:
                copy.write_row(row)
        assert cur.rowcount == len(ROWS)
        with cur.copy(f"COPY {table} TO STDOUT") as copy:
            copy.set_types(["int4", "text", "float8"])
            assert list(copy.rows()) == ROWS


def test_rows_in_and_out_as_binary(auto, table):
    with auto.cursor() as cur:
        with cur.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text", "float8"])
            for row in ROWS:
                copy.write_row(row)
        with cur.copy(f"COPY {table} TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "text", "float8"])
            assert list(copy.rows()) == ROWS


def test_blocks_of_any_size(auto, table):
    data = b"".join(b"%d\tblock\t0.5\n" % n for n in range(3000))
    for size in [1, 7, 8191, 100_000]:
        part = data if size > 7 else data[:600]
        part = part[: part.rindex(b"\n") + 1]
        with auto.cursor() as cur:
            with cur.copy(f"COPY {table} FROM STDIN") as copy:
                for start in range(0, len(part), size):
                    copy.write(part[start : start + size])
            assert cur.rowcount == part.count(b"\n")


def test_twenty_megabytes(auto, table):
    line = b"1\t" + b"x" * 1000 + b"\t2\n"
    with auto.cursor() as cur:
        with cur.copy(f"COPY {table} FROM STDIN") as copy:
            for _ in range(20):
                copy.write(line * 1000)
        assert cur.rowcount == 20_000
        with cur.copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as copy:
            assert sum(len(block) for block in copy) == 20_000 * len(line)


def test_no_rows(auto, table):
    with auto.cursor() as cur:
        with cur.copy(f"COPY {table} FROM STDIN"):
            pass
        assert cur.rowcount == 0
        with cur.copy(f"COPY {table} TO STDOUT") as copy:
            assert list(copy) == []


def test_bad_data_is_an_error_and_nothing_more(auto, table):
    with pytest.raises(errors.InvalidTextRepresentation) as caught:
        with auto.cursor() as cur, cur.copy(f"COPY {table} FROM STDIN") as copy:
            for n in range(20_000):
                copy.write(b"%d\tx\t1\n" % n if n != 50 else b"fifty\tx\t1\n")
    assert "line 51" in caught.value.diag.context
    assert auto.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_an_exception_in_the_program_fails_the_copy(auto, table):
    with pytest.raises(ZeroDivisionError):
        with auto.cursor() as cur, cur.copy(f"COPY {table} FROM STDIN") as copy:
            copy.write_row(ROWS[0])
            1 / 0
    assert auto.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_copy_out_that_is_left_early(auto):
    with pytest.raises(ZeroDivisionError):
        with auto.cursor() as cur:
            with cur.copy("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT") as copy:
                for _ in copy:
                    1 / 0
    assert auto.execute("SELECT 1").fetchone() == (1,)


def test_an_error_during_copy_out(auto):
    with pytest.raises(errors.DivisionByZero):
        with auto.cursor() as cur, cur.copy("COPY (SELECT 1/(1000-n) FROM generate_series(1, 2000) n) TO STDOUT") as copy:
            list(copy)
    assert auto.execute("SELECT 1").fetchone() == (1,)


def test_copy_of_a_missing_table(auto):
    with pytest.raises(errors.UndefinedTable):
        with auto.cursor() as cur, cur.copy("COPY no_such_table FROM STDIN") as copy:
            copy.write(b"1\n")
    assert auto.execute("SELECT 1").fetchone() == (1,)


def test_from_one_connection_into_another(auto, conn, table):
    with auto.cursor() as source, conn.cursor() as target:
        with source.copy("COPY (SELECT n, 'w' || n, 0.5 FROM generate_series(1, 3000) n) TO STDOUT") as out:
            with target.copy(f"COPY {table} FROM STDIN") as into:
                for block in out:
                    into.write(block)
    conn.commit()
    assert auto.execute(f"SELECT count(*), max(n) FROM {table}").fetchone() == (3000, 3000)


def test_copies_in_a_transaction_with_savepoints(conn, table):
    with conn.transaction():
        with conn.cursor() as cur, cur.copy(f"COPY {table} FROM STDIN") as copy:
            copy.write_row((1, "kept", None))
        with pytest.raises(psycopg.Error), conn.transaction():
            with conn.cursor() as cur, cur.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(b"nonsense\n")
    assert conn.execute(f"SELECT n, word FROM {table}").fetchall() == [(1, "kept")]
