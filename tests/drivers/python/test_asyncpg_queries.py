"""asyncpg: statements, prepared statements, errors, cancel by timeout."""

import asyncio

import asyncpg
import pytest
from conftest import until_sleeping

MEGABYTE = 1 << 20


async def test_fetch_in_its_forms(pg):
    assert await pg.fetchval("SELECT $1::int + 1", 41) == 42
    assert tuple(await pg.fetchrow("SELECT $1::text AS a, NULL AS b", "x")) == ("x", None)
    assert [r["n"] for r in await pg.fetch("SELECT generate_series(1, $1::int) AS n", 1000)] == list(range(1, 1001))
    assert await pg.fetchrow("SELECT 1 WHERE false") is None


async def test_execute_without_parameters_is_the_simple_protocol(pg, name):
    tag = await pg.execute(f"CREATE TABLE {name} (n int); INSERT INTO {name} VALUES (1), (2), (3)")
    assert tag == "INSERT 0 3"
    assert await pg.execute(f"UPDATE {name} SET n = n + $1 WHERE n > 1", 10) == "UPDATE 2"


async def test_an_error_among_several_statements_undoes_them_all(pg, name):
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pg.execute(f"CREATE TABLE {name} (n int); SELECT 1/0; SELECT 1")
    assert await pg.fetchval("SELECT to_regclass($1)::text", name) is None


async def test_empty_query(pg):
    assert await pg.fetch("") == []
    assert await pg.fetchval("SELECT 1") == 1


async def test_executemany(pg, name):
    await pg.execute(f"CREATE TABLE {name} (n int, word text)")
    await pg.executemany(f"INSERT INTO {name} VALUES ($1, $2)", [(n, f"w{n}") for n in range(3000)])
    assert await pg.fetchval(f"SELECT sum(n) FROM {name}") == 2999 * 1500


async def test_executemany_is_all_or_nothing(pg, name):
    await pg.execute(f"CREATE TABLE {name} (n int CHECK (n < 2000))")
    with pytest.raises(asyncpg.CheckViolationError):
        await pg.executemany(f"INSERT INTO {name} VALUES ($1)", [(n,) for n in range(3000)])
    assert await pg.fetchval(f"SELECT count(*) FROM {name}") == 0
    with pytest.raises(asyncpg.DataError):
        await pg.executemany(f"INSERT INTO {name} VALUES ($1)", [(1,), ("no number",)])
    assert await pg.fetchval(f"SELECT count(*) FROM {name}") == 0


async def test_fetchmany(pg):
    rows = await pg.fetchmany("SELECT $1::int AS n", [(n,) for n in range(100)])
    assert [row["n"] for row in rows] == list(range(100))


async def test_a_prepared_statement_many_times(pg):
    statement = await pg.prepare("SELECT $1::int * 2 AS twice, $2::text AS word")
    assert [p.name for p in statement.get_parameters()] == ["int4", "text"]
    assert [a.name for a in statement.get_attributes()] == ["twice", "word"]
    for n in range(50):
        assert tuple(await statement.fetchrow(n, str(n))) == (2 * n, str(n))
    assert await statement.fetch(1, "x") and statement.get_statusmsg() == "SELECT 1"


async def test_many_prepared_statements_side_by_side(pg):
    statements = [await pg.prepare(f"SELECT {n} + $1::int") for n in range(150)]
    for turn in range(2):
        for n, statement in enumerate(statements):
            assert await statement.fetchval(turn) == n + turn


async def test_the_statement_cache_evicts():
    conn = await asyncpg.connect(statement_cache_size=5)
    try:
        for turn in range(4):
            for n in range(12):
                assert await conn.fetchval(f"SELECT {n} + $1::int", turn) == n + turn
    finally:
        await conn.close()


async def test_without_a_statement_cache():
    conn = await asyncpg.connect(statement_cache_size=0)
    try:
        for n in range(20):
            assert await conn.fetchval("SELECT $1::int", n) == n
    finally:
        await conn.close()


async def test_connections_whose_statements_have_equal_names():
    conns = [await asyncpg.connect() for _ in range(5)]
    try:
        for turn in range(10):
            got = await asyncio.gather(
                *(conn.fetchrow(f"SELECT {n}, $1::int", turn) for n, conn in enumerate(conns))
            )
            assert [tuple(row) for row in got] == [(n, turn) for n in range(5)]
    finally:
        for conn in conns:
            await conn.close()


async def test_a_statement_is_prepared_again_after_ddl(pg, name):
    await pg.execute(f"CREATE TABLE {name} (n int)")
    await pg.execute(f"INSERT INTO {name} VALUES (1)")
    assert [tuple(row) for row in await pg.fetch(f"SELECT * FROM {name}")] == [(1,)]
    await pg.execute(f"ALTER TABLE {name} ADD m text DEFAULT 'new'")
    for _ in range(3):
        assert [tuple(row) for row in await pg.fetch(f"SELECT * FROM {name}")] == [(1, "new")]


async def test_reload_schema_state(pg, name):
    await pg.execute(f"CREATE TYPE {name} AS ENUM ('a', 'b')")
    assert await pg.fetchval(f"SELECT $1::{name}", "a") == "a"
    await pg.reload_schema_state()
    assert await pg.fetchval(f"SELECT $1::{name}", "b") == "b"


async def test_introspection_of_a_statement(pg):
    plan = await (await pg.prepare("SELECT $1::int")).explain(1)
    assert plan[0]["Plan"]["Node Type"] == "Result"


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT 1/0", "SELECT * FROM no_such_table", "SELECT $1::int"])
async def test_the_connection_works_after_an_error(pg, statement):
    for n in range(6):
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await pg.fetch(statement, *(["x"] if "$1" in statement else []))
        assert await pg.fetchval("SELECT $1::int", n) == n


async def test_an_error_while_rows_are_on_their_way(pg):
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pg.fetch("SELECT 1 / (50000 - n), repeat('x', 100) FROM generate_series(1, 60000) n")
    assert await pg.fetchval("SELECT 1") == 1


async def test_an_error_carries_all_its_fields(pg, name):
    await pg.execute(f"CREATE TABLE {name} (n int CONSTRAINT {name}_unique UNIQUE)")
    with pytest.raises(asyncpg.UniqueViolationError) as caught:
        await pg.execute(f"INSERT INTO {name} VALUES ($1), ($1)", 5)
    error = caught.value
    assert (error.sqlstate, error.table_name, error.constraint_name) == ("23505", name, f"{name}_unique")
    assert error.detail == "Key (n)=(5) already exists."


async def test_notices_reach_the_log_listener(pg):
    heard = []
    pg.add_log_listener(lambda _, message: heard.append(message.message))
    await pg.execute("DO $$ BEGIN RAISE NOTICE 'one'; RAISE NOTICE 'two'; END $$")
    assert heard == ["one", "two"]


@pytest.mark.parametrize("value", ["ä" * (5 * MEGABYTE), bytes(range(256)) * (40 * 1024)], ids=["text", "bytea"])
async def test_values_of_ten_megabytes(pg, value):
    kind = "text" if isinstance(value, str) else "bytea"
    for _ in range(2):
        assert await pg.fetchval(f"SELECT $1::{kind}", value) == value


async def test_a_timeout_cancels_the_query(pg):
    for n in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await pg.fetch("SELECT pg_sleep(20)", timeout=0.1)
        assert await pg.fetchval("SELECT $1::int", n) == n


async def test_a_timeout_in_a_transaction_fails_it_and_only_it(pg, name):
    await pg.execute(f"CREATE TABLE {name} (n int)")
    with pytest.raises(asyncio.TimeoutError):
        async with pg.transaction():
            await pg.execute(f"INSERT INTO {name} VALUES (1)")
            await pg.execute("SELECT pg_sleep(20)", timeout=0.1)
    assert await pg.fetchval(f"SELECT count(*) FROM {name}") == 0


async def test_a_cancelled_task_cancels_its_query_and_no_other(pg, name):
    other = await asyncpg.connect()
    try:
        bystander = asyncio.create_task(other.fetchval("SELECT 7 FROM pg_sleep(0.5)"))
        victim = asyncio.create_task(pg.fetch(f"SELECT pg_sleep(20) AS {name}"))
        await asyncio.to_thread(until_sleeping, name)
        victim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await victim
        assert await bystander == 7
    finally:
        await other.close()
    assert await pg.fetchval("SELECT 1") == 1


async def test_a_wrong_password_is_refused_as_by_postgres():
    with pytest.raises(asyncpg.InvalidPasswordError, match="password authentication failed for user"):
        await asyncpg.connect(password="not the password")


async def test_what_the_driver_learns_at_login(pg):
    assert pg.get_server_version().major >= 13
    assert pg.get_settings().client_encoding == "UTF8"
    assert pg.get_server_pid() > 0


async def test_a_busy_connection_refuses_a_second_query(pg, name):
    await pg.execute(f"CREATE TABLE {name} (n int)")
    other = await asyncpg.connect()
    try:
        async with other.transaction():
            await other.execute(f"LOCK TABLE {name}")
            first = asyncio.create_task(pg.fetchval(f"SELECT count(*) FROM {name}"))
            await asyncio.sleep(0.02)
            with pytest.raises(asyncpg.InterfaceError):
                await pg.fetchval("SELECT 2")
        assert await first == 0
    finally:
        await other.close()
