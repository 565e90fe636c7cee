"""asyncpg: the driver's own pool, with many tasks on few connections."""

import asyncio

import asyncpg
import pytest


async def test_more_tasks_than_connections(name):
    async with asyncpg.create_pool(min_size=2, max_size=8) as pool:
        await pool.execute(f"CREATE TABLE {name} (task int, n int)")

        async def work(task):
            for n in range(10):
                async with pool.acquire() as conn, conn.transaction():
                    await conn.execute(f"INSERT INTO {name} VALUES ($1, $2)", task, n)
                    assert await conn.fetchval(f"SELECT count(*) FROM {name} WHERE task = $1", task) == n + 1

        await asyncio.gather(*(work(task) for task in range(30)))
        assert await pool.fetchval(f"SELECT count(*) FROM {name}") == 300


async def test_the_pools_own_queries():
    async with asyncpg.create_pool(min_size=5, max_size=5) as pool:
        got = await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(200)))
        assert got == list(range(200))


async def test_a_failed_task_leaves_a_usable_connection():
    async with asyncpg.create_pool(min_size=1, max_size=1) as pool:
        for n in range(5):
            with pytest.raises(asyncpg.DivisionByZeroError):
                async with pool.acquire() as conn, conn.transaction():
                    await conn.fetch("SELECT 1/0")
            with pytest.raises(asyncio.TimeoutError):
                await pool.fetch("SELECT pg_sleep(20)", timeout=0.05)
            assert await pool.fetchval("SELECT $1::int", n) == n


async def test_connections_are_replaced_after_some_queries():
    async with asyncpg.create_pool(min_size=1, max_size=2, max_queries=5) as pool:
        for n in range(30):
            assert await pool.fetchval("SELECT $1::int", n) == n


async def test_many_clients_at_once():
    async def client(number):
        conn = await asyncpg.connect()
        try:
            for n in range(10):
                assert await conn.fetchval("SELECT $1::int * 1000 + $2::int", number, n) == number * 1000 + n
        finally:
            await conn.close()

    await asyncio.gather(*(client(number) for number in range(20)))
