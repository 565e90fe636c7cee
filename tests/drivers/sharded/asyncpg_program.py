"""What programs do with asyncpg; prints every answer."""

import asyncio

import asyncpg


def show(what, *answer):
    print(what, *answer, flush=True)


async def failure(what, act):
    try:
        show(what, await act)
    except asyncpg.PostgresError as error:
        show(what, error.sqlstate, error.message, error.constraint_name)


async def main():
    conn = await asyncpg.connect(ssl=False)
    statement = await conn.prepare("SELECT name, balance FROM users WHERE id = $1")
    show("types", [it.name for it in statement.get_parameters()], [(it.name, it.type.name) for it in statement.get_attributes()])
    for key in (7, 8, 9, 60, 61):
        show("one", await statement.fetchrow(key))
    show("rows", await conn.fetch("SELECT id, total FROM orders ORDER BY total DESC, id LIMIT 5 OFFSET 2"))
    show("any", await conn.fetch("SELECT id, country FROM users WHERE id = ANY($1::bigint[]) ORDER BY id", [3, 4, 5, 60]))
    show("groups", await conn.fetch("SELECT country, count(*), sum(balance), array_agg(id ORDER BY id) FROM users GROUP BY 1 ORDER BY 1"))
    show("value", await conn.fetchval("SELECT count(*) FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id AND total > $1)", 100))
    show("status", await conn.execute("INSERT INTO users VALUES ($1, $2, $3, $4)", 200, "two hundred", "at", 1))
    await conn.executemany("INSERT INTO orders VALUES ($1, $2, $3)", [(2000 + it, 1 + it, it) for it in range(30)])
    show("many", await conn.fetchval("SELECT count(*) FROM orders"))
    await failure("unique", conn.execute("INSERT INTO users VALUES (200, 'x', 'de', 0)"))
    await failure("syntax", conn.fetch("SELEC 1"))
    await failure("nowhere", conn.fetch("SELECT * FROM nowhere"))
    async with conn.transaction():
        await conn.execute("UPDATE users SET balance = balance - 5 WHERE id = 1")
        await conn.execute("UPDATE users SET balance = balance + 5 WHERE id = 2")
        rows = [row["id"] async for row in conn.cursor("SELECT id FROM orders ORDER BY id", prefetch=50)]
        show("cursor", len(rows), rows[:3], rows[-1])
        cursor = await conn.cursor("SELECT id FROM orders WHERE user_id = 3 ORDER BY id")
        show("fetched", await cursor.fetch(2), await cursor.fetchrow())
    try:
        async with conn.transaction():
            await conn.execute("UPDATE users SET balance = 0")
            raise KeyError
    except KeyError:
        show("undone", await conn.fetchval("SELECT sum(balance) FROM users"))
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        show("isolation", await conn.fetchval("SHOW transaction_isolation"), await conn.fetchval("SELECT count(*) FROM users"))
    rows = await conn.fetch("UPDATE users SET balance = balance + 1 WHERE id BETWEEN 20 AND 24 RETURNING id, balance")
    show("returning", sorted(map(tuple, rows)))
    await conn.reset()
    await conn.close()

    async with asyncpg.create_pool(min_size=2, max_size=4, ssl=False) as pool:
        answers = await asyncio.gather(*(pool.fetchval("SELECT sum(total) FROM orders WHERE user_id = $1", key) for key in range(1, 30)))
        show("pool", answers)
        show("table", await pool.fetchrow("SELECT count(*), sum(balance) FROM users"), await pool.fetchrow("SELECT count(*), sum(total) FROM orders"))


asyncio.run(main())
