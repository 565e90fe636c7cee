"""What programs do with psycopg; prints every answer."""

import logging

import psycopg
from psycopg.rows import dict_row

# Whether it warns of an error that it ignores depends on what has been answered by then.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)


def show(what, *answer):
    print(what, *answer, flush=True)


def failure(what, act):
    try:
        show(what, act())
    except psycopg.Error as error:
        show(what, error.sqlstate, error.diag.message_primary, error.diag.constraint_name)


def tables(conn):
    for sql in (
        "SELECT count(*), sum(balance), min(name), max(name) FROM users",
        "SELECT count(*), sum(total), sum(id) FROM orders",
        "SELECT code, name FROM countries ORDER BY code",
    ):
        show("table", conn.execute(sql).fetchall())


with psycopg.connect(autocommit=True, prepare_threshold=2) as conn:
    for key in [7, 8, 9] * 4:
        show("one", conn.execute("SELECT name, balance FROM users WHERE id = %s", (key,)).fetchone())
    with conn.cursor(binary=True, row_factory=dict_row) as cur:
        for low in range(0, 240, 40):
            cur.execute("SELECT id, total, user_id FROM orders WHERE id > %s ORDER BY id LIMIT 3", (low,))
            show("binary", cur.fetchall(), [(it.name, it.type_code, it.precision, it.scale) for it in cur.description])
    show("any", conn.execute("SELECT id, country FROM users WHERE id = ANY(%s) ORDER BY id", ([3, 4, 5, 60],)).fetchall())
    show("groups", conn.execute("SELECT country, count(*), avg(balance) FROM users GROUP BY country ORDER BY 1").fetchall())
    show("join", conn.execute(
        "SELECT u.name, c.name, sum(o.total) FROM users u JOIN orders o ON o.user_id = u.id JOIN countries c ON c.code = u.country"
        " WHERE u.id < 10 GROUP BY u.name, c.name ORDER BY 3 DESC, 1").fetchall())
    for key in range(100, 112):
        row = conn.execute(
            "INSERT INTO users VALUES (%s, %s, 'de', 5) RETURNING id, name", (key, f"new {key}")).fetchone()
        show("insert", row)
    show("update", conn.execute("UPDATE users SET balance = balance + 1 WHERE id = 100 RETURNING balance").fetchall())
    show("delete", conn.execute("DELETE FROM users WHERE id = 111").rowcount)
    failure("unique", lambda: conn.execute("INSERT INTO users VALUES (100, 'x', 'de', 0)"))
    failure("syntax", lambda: conn.execute("SELEC 1"))
    failure("division", lambda: conn.execute("SELECT 1 / 0"))
    failure("nowhere", lambda: conn.execute("SELECT * FROM nowhere"))
    failure("column", lambda: conn.execute("SELECT nothing FROM users WHERE id = 1"))

    with conn.transaction():
        conn.execute("UPDATE users SET balance = balance - 10 WHERE id = 1")
        conn.execute("UPDATE users SET balance = balance + 10 WHERE id = 2")
        show("inside", conn.execute("SELECT id, balance FROM users WHERE id IN (1, 2) ORDER BY id").fetchall())
    try:
        with conn.transaction():
            conn.execute("UPDATE users SET balance = 0 WHERE id IN (1, 2, 3, 4)")
            raise KeyError
    except KeyError:
        show("undone", conn.execute("SELECT sum(balance) FROM users WHERE id < 5").fetchone())
    with conn.transaction():
        conn.execute("UPDATE users SET balance = 77 WHERE id = 5")
        try:
            with conn.transaction():
                conn.execute("UPDATE users SET balance = 78 WHERE id = 6")
                conn.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero:
            show("savepoint", conn.execute("SELECT id, balance FROM users WHERE id IN (5, 6) ORDER BY id").fetchall())

    with conn.cursor() as cur:
        cur.executemany("INSERT INTO orders VALUES (%s, %s, %s)", [(1000 + it, 1 + it, it * 2) for it in range(20)])
        show("many", cur.rowcount)
        cur.executemany("SELECT name FROM users WHERE id = %s", [(it,) for it in range(1, 6)], returning=True)
        names = [cur.fetchone()]
        while cur.nextset():
            names.append(cur.fetchone())
        show("sets", names)
    with conn.pipeline():
        cursors = [conn.execute("SELECT name FROM users WHERE id = %s", (key,)) for key in range(1, 12)]
        show("pipeline", [cur.fetchone() for cur in cursors])
    # Where it is raised depends on what has been answered by then.
    try:
        with conn.pipeline() as pipeline:
            one = conn.execute("SELECT count(*) FROM users")
            pipeline.sync()
            conn.execute("SELECT 1 / 0")
            conn.execute("SELECT 2")
    except psycopg.Error as error:
        show("piped", one.fetchone(), error.sqlstate)
    with conn.transaction(), conn.cursor(name="rows") as cur:
        cur.execute("SELECT id FROM orders WHERE user_id = 7 ORDER BY id")
        show("cursor", cur.fetchmany(2), cur.fetchall())
    show("stream", list(conn.cursor().stream("SELECT id FROM users WHERE id < 20 ORDER BY id")))
    conn.execute("SET TimeZone = 'Asia/Tokyo'")
    show("settings", conn.execute("SHOW TimeZone").fetchone(), conn.info.parameter_status("TimeZone"))
    tables(conn)

with psycopg.connect() as conn:
    conn.execute("INSERT INTO countries VALUES ('is', 'Iceland')")
    conn.execute("UPDATE users SET country = 'is' WHERE id % 7 = 0")
    conn.commit()
    conn.execute("DELETE FROM orders")
    conn.rollback()
    tables(conn)
