"""SQLAlchemy over asyncpg and psycopg's asynchronous side."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext import asyncio as sa_asyncio
from test_sqlalchemy import url


@pytest.fixture(params=["asyncpg", "psycopg"])
async def engine(request):
    engine = sa_asyncio.create_async_engine(url(request.param), pool_size=3, max_overflow=5, pool_pre_ping=True)
    yield engine
    await engine.dispose()


@pytest.fixture
async def table(engine, name):
    table = sa.Table(name, sa.MetaData(), sa.Column("n", sa.Integer, primary_key=True), sa.Column("word", sa.Text))
    async with engine.begin() as conn:
        await conn.run_sync(table.create)
    return table


async def test_many_rows_and_savepoints(engine, table):
    async with sa_asyncio.AsyncSession(engine) as session, session.begin():
        await session.execute(sa.insert(table), [{"n": n, "word": f"word {n}"} for n in range(2000)])
        with pytest.raises(exc.IntegrityError):
            async with session.begin_nested():
                await session.execute(sa.insert(table).values(n=1))
        returned = await session.scalars(sa.insert(table).returning(table.c.n), [{"n": n} for n in range(2000, 2100)])
        assert sorted(returned) == list(range(2000, 2100))
    async with engine.connect() as conn:
        assert await conn.scalar(sa.select(sa.func.count()).select_from(table)) == 2100


async def test_streams(engine):
    async with engine.connect() as conn:
        result = await conn.stream(sa.text("SELECT generate_series(1, 1050) AS n"), execution_options={"yield_per": 100})
        assert [len(part) async for part in result.partitions(100)] == [100] * 10 + [50]
        result = await conn.stream(sa.text("SELECT generate_series(1, 100000) AS n"))
        async for (number,) in result:
            if number == 250:
                break
        await result.close()
        assert await conn.scalar(sa.text("SELECT 1")) == 1


async def test_reflection(engine, table):
    async with engine.connect() as conn:
        columns = await conn.run_sync(lambda sync: sa.inspect(sync).get_columns(table.name))
        assert [column["name"] for column in columns] == ["n", "word"]


async def test_ddl_invalidates_the_statement_cache(engine, table):
    statement = sa.text(f"SELECT * FROM {table.name}")
    async with engine.connect() as conn:
        for n in range(3):
            try:
                result = await conn.execute(statement)
            except exc.NotSupportedError:
                # So SQLAlchemy documents it for asyncpg: the first one fails and clears the cache.
                assert n > 0 and engine.dialect.driver == "asyncpg"
                await conn.rollback()
                result = await conn.execute(statement)
            assert list(result.keys()) == ["n", "word"] + [f"c{m}" for m in range(n)]
            await conn.execute(sa.text(f"ALTER TABLE {table.name} ADD c{n} int"))
            await conn.commit()


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT"])
async def test_isolation_levels(engine, level):
    async with engine.connect() as conn:
        conn = await conn.execution_options(isolation_level=level)
        wanted = "READ COMMITTED" if level == "AUTOCOMMIT" else level
        assert (await conn.scalar(sa.text("SHOW transaction_isolation"))).upper() == wanted


async def test_a_task_that_is_given_up_leaves_a_usable_pool(engine):
    async def sleep():
        async with engine.connect() as conn:
            await conn.execute(sa.text("SELECT pg_sleep(30)"))

    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sleep(), 0.2)
    async with engine.connect() as conn:
        assert await conn.scalar(sa.text("SELECT 1")) == 1


async def test_more_tasks_than_connections(engine, table):
    async def work(n):
        async with sa_asyncio.AsyncSession(engine) as session:
            await session.execute(sa.insert(table).values(n=n, word=f"task {n}"))
            mine = await session.scalar(sa.select(table.c.word).where(table.c.n == n))
            await (session.rollback() if n % 5 == 0 else session.commit())
            return mine

    assert await asyncio.gather(*(work(n) for n in range(100))) == [f"task {n}" for n in range(100)]
    async with engine.connect() as conn:
        assert await conn.scalar(sa.select(sa.func.count()).select_from(table)) == 80
