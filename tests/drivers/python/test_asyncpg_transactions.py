"""asyncpg: transactions, savepoints, and cursors, which live in them."""

import asyncpg
import pytest


@pytest.fixture
async def table(pg, name):
    await pg.execute(f"CREATE TABLE {name} (n int)")
    return name


async def rows(pg, table):
    return [row["n"] for row in await pg.fetch(f"SELECT n FROM {table} ORDER BY n")]


async def test_commit_and_rollback(pg, table):
    async with pg.transaction():
        await pg.execute(f"INSERT INTO {table} VALUES (1)")
    with pytest.raises(KeyError):
        async with pg.transaction():
            await pg.execute(f"INSERT INTO {table} VALUES (2)")
            raise KeyError
    assert await rows(pg, table) == [1]


async def test_savepoints(pg, table):
    async with pg.transaction():
        await pg.execute(f"INSERT INTO {table} VALUES ($1)", 1)
        for n in range(2, 6):
            with pytest.raises(asyncpg.DivisionByZeroError):
                async with pg.transaction():
                    await pg.execute(f"INSERT INTO {table} VALUES ($1)", n)
                    await pg.fetch("SELECT 1 / $1::int", 0)
        async with pg.transaction():
            await pg.execute(f"INSERT INTO {table} VALUES ($1)", 6)
    assert await rows(pg, table) == [1, 6]


async def test_a_failed_transaction_refuses_statements_until_its_end(pg, table):
    transaction = pg.transaction()
    await transaction.start()
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pg.fetch("SELECT 1/0")
    for _ in range(3):
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await pg.fetch("SELECT 1")
    await transaction.rollback()
    assert await rows(pg, table) == []


async def test_options(pg):
    async with pg.transaction(isolation="serializable", readonly=True, deferrable=True):
        assert await pg.fetchval("SHOW transaction_isolation") == "serializable"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with pg.transaction():
                await pg.execute("CREATE TABLE must_not_be (n int)")


async def test_one_server_connection_serves_the_whole_transaction(pg):
    async with pg.transaction():
        pids = {await pg.fetchval("SELECT pg_backend_pid()") for _ in range(30)}
    assert len(pids) == 1


async def test_a_cursor_iterates_in_portions(pg):
    async with pg.transaction():
        seen = [row[0] async for row in pg.cursor("SELECT generate_series(1, $1::int)", 1000, prefetch=33)]
    assert seen == list(range(1, 1001))


async def test_a_cursor_is_moved_by_hand(pg):
    async with pg.transaction():
        cursor = await pg.cursor("SELECT generate_series(1, 100)")
        assert (await cursor.fetchrow())[0] == 1
        assert await cursor.forward(10) == 10
        assert [row[0] for row in await cursor.fetch(5)] == [12, 13, 14, 15, 16]
        assert len(await cursor.fetch(1000)) == 84
        assert await cursor.fetchrow() is None


async def test_cursors_of_prepared_statements_side_by_side(pg):
    statement = await pg.prepare("SELECT generate_series($1::int, $1::int + 49)")
    async with pg.transaction():
        left, right = await statement.cursor(1), await statement.cursor(1001)
        for n in range(50):
            assert (await left.fetchrow())[0] == 1 + n
            assert await pg.fetchval("SELECT $1::int", n) == n
            assert (await right.fetchrow())[0] == 1001 + n


async def test_a_cursor_outside_a_transaction_is_refused_by_the_driver(pg):
    with pytest.raises(asyncpg.NoActiveSQLTransactionError):
        await pg.cursor("SELECT 1")


async def test_closing_in_the_middle_undoes(pg, table):
    other = await asyncpg.connect()
    transaction = other.transaction()
    await transaction.start()
    await other.execute(f"INSERT INTO {table} VALUES (1)")
    await other.execute(f"LOCK TABLE {table}")
    other.terminate()
    async with pg.transaction():
        await pg.execute("SET LOCAL lock_timeout = '5s'")
        assert await rows(pg, table) == []
