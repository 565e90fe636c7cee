"""psycopg 3: state that lives as long as the session, which a pool has to keep for the client."""

import threading

import psycopg
import pytest
from psycopg import errors


def test_listen_and_notify(auto, name):
    auto.execute(f"LISTEN {name}")
    with psycopg.connect(autocommit=True) as other:
        timer = threading.Timer(0.1, lambda: [other.execute(f"NOTIFY {name}, '{n}'") for n in range(3)])
        timer.start()
        heard = [note.payload for note in auto.notifies(timeout=30, stop_after=3)]
        timer.join()
    assert heard == ["0", "1", "2"]
    auto.execute(f"UNLISTEN {name}")


def test_temporary_tables(auto, name):
    auto.execute(f"CREATE TEMP TABLE {name} (n int)")
    auto.execute(f"INSERT INTO {name} VALUES (1)")
    assert auto.execute(f"SELECT n FROM {name}").fetchone() == (1,)


def test_settings_last(auto):
    auto.execute("SET statement_timeout = '300ms'")
    with pytest.raises(errors.QueryCanceled):
        auto.execute("SELECT pg_sleep(5)")
    auto.execute("SET TIME ZONE 'Asia/Kathmandu'")
    assert auto.info.parameter_status("TimeZone") == "Asia/Kathmandu"
    assert auto.execute("SELECT set_config('pgherd.test', 'kept', false)").fetchone() == ("kept",)
    assert auto.execute("SELECT current_setting('pgherd.test')").fetchone() == ("kept",)


def test_settings_given_at_login():
    with psycopg.connect(application_name="suite", options="-c search_path=pg_catalog") as conn:
        assert conn.execute("SHOW application_name").fetchone() == ("suite",)
        assert conn.execute("SHOW search_path").fetchone() == ("pg_catalog",)


def test_advisory_locks(auto):
    auto.execute("SELECT pg_advisory_lock(4711)")
    with psycopg.connect(autocommit=True) as other:
        assert other.execute("SELECT pg_try_advisory_lock(4711)").fetchone() == (False,)
    assert auto.execute("SELECT pg_advisory_unlock(4711)").fetchone() == (True,)


def test_a_cursor_with_hold(conn):
    with conn.cursor("held", withhold=True) as cur:
        cur.execute("SELECT generate_series(1, 10)")
        conn.commit()
        assert cur.fetchmany(3) == [(1,), (2,), (3,)]


def test_statements_prepared_in_sql(auto):
    auto.execute("PREPARE plus (int) AS SELECT $1 + 1")
    for n in range(3):
        assert auto.execute(f"EXECUTE plus({n})").fetchone() == (n + 1,)
    auto.execute("DEALLOCATE plus")


@pytest.mark.session_state
def test_a_connection_keeps_its_backend(auto):
    assert len({auto.execute("SELECT pg_backend_pid()").fetchone() for _ in range(50)}) == 1


def test_a_terminated_backend_is_told(conn):
    # In a transaction, so that in every pool mode the backend is this client's.
    (pid,) = conn.execute("SELECT pg_backend_pid()").fetchone()
    with psycopg.connect(autocommit=True) as other:
        assert other.execute("SELECT pg_terminate_backend(%s)", (pid,)).fetchone() == (True,)
    with pytest.raises(psycopg.OperationalError):
        conn.execute("SELECT pg_sleep(1)")
        conn.execute("SELECT 1")
    assert conn.broken
