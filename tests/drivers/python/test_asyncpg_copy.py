"""asyncpg: COPY in and out, as text, CSV and binary."""

import asyncio
import io

import asyncpg
import pytest

ROWS = [(n, f"line {n}\t\\", None if n % 3 else n / 4) for n in range(5000)]


@pytest.fixture
async def table(pg, name):
    await pg.execute(f"CREATE TABLE {name} (n int, word text, ratio float8)")
    return name


async def test_records_go_in_as_binary(pg, table):
    assert await pg.copy_records_to_table(table, records=ROWS) == "COPY 5000"
    assert [tuple(row) for row in await pg.fetch(f"SELECT * FROM {table} ORDER BY n")] == ROWS


async def test_an_asynchronous_source(pg, table):
    async def records():
        for row in ROWS:
            if row[0] % 500 == 0:
                await asyncio.sleep(0)
            yield row

    assert await pg.copy_records_to_table(table, records=records(), columns=["n", "word", "ratio"]) == "COPY 5000"


@pytest.mark.parametrize("form", ["text", "csv", "binary"])
async def test_out_of_a_table_and_into_another(pg, table, form):
    await pg.copy_records_to_table(table, records=ROWS)
    data = io.BytesIO()
    assert await pg.copy_from_table(table, output=data, format=form) == "COPY 5000"
    data.seek(0)
    await pg.execute(f"TRUNCATE {table}")
    assert await pg.copy_to_table(table, source=data, format=form) == "COPY 5000"
    assert [tuple(row) for row in await pg.fetch(f"SELECT * FROM {table} ORDER BY n")] == ROWS


async def test_the_result_of_a_query_goes_out(pg):
    data = io.BytesIO()
    tag = await pg.copy_from_query("SELECT n, n * $1 FROM generate_series(1, 3) n", 10, output=data, format="csv")
    assert (tag, data.getvalue()) == ("COPY 3", b"1,10\n2,20\n3,30\n")


async def test_twenty_megabytes(pg, table):
    source = io.BytesIO(b"".join(b"%d\t%s\t1\n" % (n, b"x" * 1000) for n in range(20_000)))
    assert await pg.copy_to_table(table, source=source) == "COPY 20000"
    size = 0

    async def measure(block):
        nonlocal size
        size += len(block)

    assert await pg.copy_from_table(table, output=measure) == "COPY 20000"
    assert size == len(source.getvalue())


async def test_bad_data_is_an_error_and_nothing_more(pg, table):
    source = io.BytesIO(b"".join(b"%d\tx\t1\n" % n for n in range(20_000)).replace(b"\n50\t", b"\nfifty\t"))
    with pytest.raises(asyncpg.InvalidTextRepresentationError) as caught:
        await pg.copy_to_table(table, source=source)
    assert "line 51" in caught.value.context
    assert await pg.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_record_that_cannot_be_encoded_fails_the_copy(pg, table):
    with pytest.raises(TypeError):
        await pg.copy_records_to_table(table, records=[(1, "a", 1.0), ("one", "b", 1.0)])
    assert await pg.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_sink_that_fails_ends_the_copy(pg):
    async def sink(_):
        raise KeyError

    with pytest.raises(KeyError):
        await pg.copy_from_query("SELECT repeat('x', 1000) FROM generate_series(1, 50000)", output=sink)
    assert await pg.fetchval("SELECT 1") == 1


async def test_a_copy_that_is_given_up_fails(pg, table):
    async def trickle():
        for n in range(1000):
            await asyncio.sleep(0.02)
            yield (n, "x", None)

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(pg.copy_records_to_table(table, records=trickle()), 0.2)
    assert await pg.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_copies_in_a_transaction_with_savepoints(pg, table):
    async with pg.transaction():
        await pg.copy_records_to_table(table, records=ROWS[:10])
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            async with pg.transaction():
                await pg.copy_to_table(table, source=io.BytesIO(b"x\ty\tz\n"))
        await pg.copy_records_to_table(table, records=ROWS[10:20])
    assert await pg.fetchval(f"SELECT count(*) FROM {table}") == 20
