"""psycopg 3: asynchronous connections and the driver's own pool."""

import asyncio

import psycopg
import pytest
from conftest import until_sleeping
from psycopg import errors
from psycopg_pool import AsyncConnectionPool, ConnectionPool


@pytest.fixture
async def aconn():
    async with await psycopg.AsyncConnection.connect(autocommit=True) as conn:
        yield conn


async def test_statements(aconn):
    for n in range(20):
        cur = await aconn.execute("SELECT %s::int", (n,))
        assert await cur.fetchone() == (n,)


async def test_pipeline(aconn):
    async with aconn.pipeline():
        cursors = [await aconn.execute("SELECT %s::int", (n,)) for n in range(300)]
    assert [(await cur.fetchone())[0] for cur in cursors] == list(range(300))


async def test_copy(aconn, name):
    await aconn.execute(f"CREATE TABLE {name} (n int)")
    async with aconn.cursor() as cur:
        async with cur.copy(f"COPY {name} FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4"])
            for n in range(2000):
                await copy.write_row((n,))
        async with cur.copy(f"COPY {name} TO STDOUT") as copy:
            assert len([row async for row in copy.rows()]) == 2000


async def test_server_side_cursor(aconn):
    async with aconn.transaction(), aconn.cursor("asynchronous") as cur:
        await cur.execute("SELECT generate_series(1, 500)")
        assert [n async for (n,) in cur] == list(range(1, 501))


async def test_a_task_that_is_given_up_cancels_its_query(aconn):
    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(aconn.execute("SELECT pg_sleep(20)"), 0.1)
        cur = await aconn.execute("SELECT 1")
        assert await cur.fetchone() == (1,)


async def test_cancel_safe(aconn, name):
    query = asyncio.create_task(aconn.execute(f"SELECT pg_sleep(20) AS {name}"))
    await asyncio.to_thread(until_sleeping, name)
    await aconn.cancel_safe()
    with pytest.raises(errors.QueryCanceled):
        await query


async def test_more_tasks_than_connections(name):
    async with AsyncConnectionPool(min_size=2, max_size=8) as pool:
        async with pool.connection() as conn:
            await conn.execute(f"CREATE TABLE {name} (task int, n int)")

        async def work(task):
            for n in range(10):
                async with pool.connection() as conn:
                    await conn.execute(f"INSERT INTO {name} VALUES (%s, %s)", (task, n))
                    cur = await conn.execute(f"SELECT count(*) FROM {name} WHERE task = %s", (task,))
                    assert await cur.fetchone() == (n + 1,)

        await asyncio.gather(*(work(task) for task in range(30)))
        async with pool.connection() as conn:
            cur = await conn.execute(f"SELECT count(*) FROM {name}")
            assert await cur.fetchone() == (300,)


async def test_many_clients_at_once():
    async def client(number):
        async with await psycopg.AsyncConnection.connect(autocommit=True) as conn:
            for n in range(10):
                cur = await conn.execute("SELECT %s::int * 1000 + %s::int", (number, n))
                assert await cur.fetchone() == (number * 1000 + n,)

    await asyncio.gather(*(client(number) for number in range(20)))


def test_the_pool_resets_what_a_caller_left(name):
    with ConnectionPool(min_size=1, max_size=1, open=True) as pool:
        with pytest.raises(errors.DivisionByZero), pool.connection() as conn:
            conn.execute(f"CREATE TABLE {name} (n int)")
            conn.execute("SELECT 1/0")
        with pool.connection() as conn:
            assert conn.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,)
        pool.check()
