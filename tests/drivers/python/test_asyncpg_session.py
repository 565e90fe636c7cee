"""asyncpg: state that lives as long as the session, which a pool has to keep for the client."""

import asyncio

import asyncpg
import pytest


async def test_listen_and_notify(pg, name):
    heard = asyncio.Queue()

    def listener(_conn, _pid, _channel, payload):
        heard.put_nowait(payload)

    await pg.add_listener(name, listener)
    other = await asyncpg.connect()
    try:
        async with other.transaction():
            for n in range(3):
                await other.execute("SELECT pg_notify($1, $2)", name, str(n))
    finally:
        await other.close()
    assert [await asyncio.wait_for(heard.get(), 5) for _ in range(3)] == ["0", "1", "2"]
    await pg.remove_listener(name, listener)


async def test_temporary_tables(pg, name):
    await pg.execute(f"CREATE TEMP TABLE {name} (n int)")
    await pg.copy_records_to_table(name, records=[(n,) for n in range(10)], schema_name="pg_temp")
    assert await pg.fetchval(f"SELECT sum(n) FROM {name}") == 45


async def test_settings_given_at_login():
    conn = await asyncpg.connect(server_settings={"application_name": "suite", "search_path": "pg_catalog"})
    try:
        assert await conn.fetchval("SHOW application_name") == "suite"
        assert await conn.fetchval("SHOW search_path") == "pg_catalog"
    finally:
        await conn.close()


async def test_settings_last_until_the_pool_takes_the_connection_back():
    async with asyncpg.create_pool(min_size=1, max_size=1) as pool:
        async with pool.acquire() as conn:
            await conn.execute("SET statement_timeout = '300ms'")
            with pytest.raises(asyncpg.QueryCanceledError):
                await conn.execute("SELECT pg_sleep(5)")
        async with pool.acquire() as conn:
            assert await conn.fetchval("SHOW statement_timeout") == "0"


async def test_advisory_locks(pg):
    await pg.execute("SELECT pg_advisory_lock(4712)")
    other = await asyncpg.connect()
    try:
        assert await other.fetchval("SELECT pg_try_advisory_lock(4712)") is False
    finally:
        await other.close()
    assert await pg.fetchval("SELECT pg_advisory_unlock(4712)") is True


async def test_a_terminated_backend_is_told(pg):
    terminated = asyncio.Event()
    pg.add_termination_listener(lambda _conn: terminated.set())
    # In a transaction, so that in every pool mode the backend is this client's.
    await pg.execute("BEGIN")
    pid = await pg.fetchval("SELECT pg_backend_pid()")
    other = await asyncpg.connect()
    try:
        assert await other.fetchval("SELECT pg_terminate_backend($1)", pid) is True
    finally:
        await other.close()
    await asyncio.wait_for(terminated.wait(), 5)
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await pg.fetchval("SELECT 1")
