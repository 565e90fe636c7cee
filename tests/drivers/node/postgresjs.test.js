// postgres.js: statements by tagged templates, which it pipelines on each connection and prepares under names.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import postgres from 'postgres';
import { uniqueName } from './fixture.js';

// A pool of its own for each test, as small as the test says.
function open(t, options = {}) {
  const sql = postgres({ max: 1, onnotice: () => {}, ...options });
  t.after(() => sql.end({ timeout: 5 }));
  return sql;
}

async function createTable(sql, columns) {
  const table = uniqueName('pjs');
  await sql.unsafe(`CREATE TABLE ${table} (${columns})`);
  return table;
}

const usable = async (sql) => assert.equal((await sql`SELECT 1 AS n`)[0].n, 1);

test('parameters come back as they went', async (t) => {
  const sql = open(t);
  const values = {
    int4: 2147483647, float8: 1e-300, bool: false, text: 'Zażółć 🐘 \'"\\', uuid: '12345678-1234-5678-1234-567812345678',
    int8: '9223372036854775807', numeric: '123456789012345678901234567890.12', bytea: Buffer.from([0, 1, 254, 255]),
    timestamptz: new Date('2026-11-30T12:00:00.123Z'), jsonb: { a: [1, null, 'x'] }, 'int4[]': [1, 2, 3],
    'text[]': ['a,b', 'c"d', ''], interval: '1 day 02:03:04', inet: '10.0.0.1', int4range: '[1,5)', date: new Date('2026-01-02'),
  };
  for (let round = 0; round < 2; round++) {
    for (const [type, value] of Object.entries(values)) {
      const parameter = type === 'jsonb' ? sql.json(value) : value;
      const [{ got, nothing }] = await sql`SELECT ${parameter}::${sql.unsafe(type)} AS got, ${null}::${sql.unsafe(type)} AS nothing`;
      assert.deepEqual(got, value, type);
      assert.equal(nothing, null);
    }
  }
});

test('helpers for rows, columns and lists', async (t) => {
  const sql = open(t);
  const table = await createTable(sql, 'n int PRIMARY KEY, word text, list int[]');
  const rows = Array.from({ length: 500 }, (_, n) => ({ n, word: `word ${n}`, list: [n, n + 1] }));
  assert.equal((await sql`INSERT INTO ${sql(table)} ${sql(rows)}`).count, 500);
  await sql`UPDATE ${sql(table)} SET ${sql({ word: 'changed', list: [7] })} WHERE n = ${3}`;
  const got = await sql`SELECT ${sql(['n', 'word', 'list'])} FROM ${sql(table)} WHERE n IN ${sql([1, 3])} ORDER BY n`;
  assert.deepEqual([...got], [rows[1], { n: 3, word: 'changed', list: [7] }]);
  const [{ sum }] = await sql`SELECT sum(n)::int FROM ${sql(table)} WHERE n = ANY (${[10, 20, 30]})`;
  assert.equal(sum, 60);
});

test('many statements at once on one connection, some of them wrong', async (t) => {
  const sql = open(t);
  const settled = await Promise.allSettled(Array.from({ length: 300 }, (_, n) =>
    n % 10 === 3 ? sql`SELECT 1 / (${n}::int - ${n}::int)` : n % 10 === 4 ? sql.unsafe('SELEC 1') : sql`SELECT ${n}::int AS n`));
  for (const [n, { status, value, reason }] of settled.entries()) {
    if (n % 10 === 3) assert.equal(reason.code, '22012');
    else if (n % 10 === 4) assert.equal(reason.code, '42601');
    else assert.deepEqual([status, value[0].n], ['fulfilled', n]);
  }
});

test('hundreds of different statements, prepared and not', async (t) => {
  for (const prepare of [true, false]) {
    const sql = open(t, { prepare, max: 3 });
    for (let round = 0; round < 2; round++) {
      const texts = Array.from({ length: 150 }, (_, n) => sql.unsafe(`SELECT $1::int + ${n} AS sum`, [round], { prepare }));
      for (const [n, rows] of (await Promise.all(texts)).entries()) assert.equal(rows[0].sum, round + n);
    }
  }
});

test('connections whose statements have equal texts', async (t) => {
  const pools = Array.from({ length: 12 }, () => open(t));
  for (let round = 0; round < 5; round++) {
    const got = await Promise.all(pools.map((sql, n) => sql`SELECT ${n}::int * ${round}::int AS product`));
    assert.deepEqual(got.map((rows) => rows[0].product), pools.map((_, n) => n * round));
  }
});

test('a prepared statement after DDL', async (t) => {
  const sql = open(t);
  const other = open(t);
  // Many times: what matters is which server connection each statement meets.
  for (let round = 0; round < 20; round++) {
    const table = await createTable(other, 'n int');
    await other`INSERT INTO ${other(table)} VALUES (1)`;
    const read = () => sql`SELECT * FROM ${sql(table)}`;
    assert.deepEqual([...await read()], [{ n: 1 }]);
    await other.unsafe(`ALTER TABLE ${table} ADD word text DEFAULT 'new'`);
    // The driver parses again by itself.
    assert.deepEqual([...await read()], [{ n: 1, word: 'new' }]);
    assert.deepEqual([...await read()], [{ n: 1, word: 'new' }]);
  }
});

test('forms of results', async (t) => {
  const sql = open(t);
  assert.deepEqual([...await sql`SELECT 1 AS a, 'x' AS b`.values()], [[1, 'x']]);
  const [[raw]] = await sql`SELECT 'abc'`.raw();
  assert.deepEqual(Buffer.from(raw), Buffer.from('abc'));
  const described = await sql`SELECT ${1}::int AS n, 'x'::varchar(7) AS word`.describe();
  assert.deepEqual(described.types, [23]);
  assert.deepEqual(described.columns.map(({ name, type }) => [name, type]), [['n', 23], ['word', 1043]]);
  const several = await sql`SELECT 1 AS a; SELECT 2 AS b; SELECT 3 AS c`.simple();
  assert.deepEqual(several.map((rows) => rows[0]), [{ a: 1 }, { b: 2 }, { c: 3 }]);
  const { command, count } = await sql`SELECT generate_series(1, 10)`;
  assert.deepEqual([command, count], ['SELECT', 10]);
  const seen = [];
  await sql`SELECT generate_series(1, 100) AS n`.forEach(({ n }) => seen.push(n));
  assert.equal(seen.length, 100);
  assert.equal((await sql``.simple().catch(() => [])).length, 0);
  await usable(sql);
});

test('transactions and savepoints', async (t) => {
  const sql = open(t, { max: 3 });
  const table = await createTable(sql, 'n int PRIMARY KEY');
  const numbers = async () => (await sql`SELECT n FROM ${sql(table)} ORDER BY n`).map(({ n }) => n);
  const result = await sql.begin('ISOLATION LEVEL SERIALIZABLE', async (tx) => {
    await tx`INSERT INTO ${tx(table)} VALUES (1)`;
    await assert.rejects(tx.savepoint(async (sp) => {
      await sp`INSERT INTO ${sp(table)} VALUES (2)`;
      await sp`INSERT INTO ${sp(table)} VALUES (1)`;
    }), { code: '23505' });
    await tx.savepoint('named', (sp) => sp`INSERT INTO ${sp(table)} VALUES (3)`);
    assert.deepEqual(await numbers(), []);
    return (await tx`SHOW transaction_isolation`)[0].transaction_isolation;
  });
  assert.equal(result, 'serializable');
  assert.deepEqual(await numbers(), [1, 3]);
  await assert.rejects(sql.begin(async (tx) => {
    await tx`INSERT INTO ${tx(table)} VALUES (4)`;
    throw new Error('changed my mind');
  }), /changed my mind/);
  // All of it in one go.
  await assert.rejects(sql.begin((tx) => [5, 6, 1].map((n) => tx`INSERT INTO ${tx(table)} VALUES (${n})`)), { code: '23505' });
  await sql.begin((tx) => [7, 8, 9].map((n) => tx`INSERT INTO ${tx(table)} VALUES (${n})`));
  assert.deepEqual(await numbers(), [1, 3, 7, 8, 9]);
});

test('two-phase commit', async (t) => {
  const sql = open(t);
  const table = await createTable(sql, 'n int');
  await sql.begin(async (tx) => {
    await tx`INSERT INTO ${tx(table)} VALUES (1)`;
    await tx.prepare(table);
  });
  assert.equal((await sql`SELECT count(*)::int AS n FROM ${sql(table)}`)[0].n, 0);
  await sql.unsafe(`COMMIT PREPARED '${table}'`);
  assert.equal((await sql`SELECT count(*)::int AS n FROM ${sql(table)}`)[0].n, 1);
});

test('a reserved connection keeps its state', async (t) => {
  const sql = open(t, { max: 2 });
  const reserved = await sql.reserve();
  const table = uniqueName('pjs_temp');
  await reserved.unsafe(`CREATE TEMP TABLE ${table} AS SELECT generate_series(1, 10) n`);
  await reserved`SET work_mem = '7MB'`;
  for (let n = 0; n < 5; n++) {
    assert.equal((await reserved`SELECT count(*)::int AS n FROM ${reserved(table)}`)[0].n, 10);
    assert.equal((await reserved`SHOW work_mem`)[0].work_mem, '7MB');
    await usable(sql);
  }
  await reserved`DISCARD ALL`.simple();
  reserved.release();
});

test('a cursor is read in portions, left early, and fails in the middle', async (t) => {
  const sql = open(t);
  const sizes = [];
  for await (const rows of sql`SELECT generate_series(1, ${250}::int) AS n`.cursor(100)) sizes.push(rows.length);
  assert.deepEqual(sizes, [100, 100, 50]);
  for await (const [{ n }] of sql`SELECT generate_series(1, 100000) AS n`.cursor()) if (n === 20) break;
  await usable(sql);
  let count = 0;
  await assert.rejects(sql`SELECT 1 / (50 - n) FROM generate_series(1, 100) n`.cursor(10, (rows) => { count += rows.length; }),
    { code: '22012' });
  assert.equal(count, 40);
  await sql`SELECT generate_series(1, 100) AS n`.cursor(10, () => sql.CLOSE);
  await usable(sql);
});

test('COPY in and out', async (t) => {
  const sql = open(t, { max: 2 });
  const table = await createTable(sql, 'n int, word text');
  // Not many: when the reader is slow the driver waits for ever after the last row, on Postgres itself too.
  const lines = Array.from({ length: 500 }, (_, n) => `${n}\tline ${n}\n`);
  await pipeline(Readable.from(lines), await sql`COPY ${sql(table)} FROM STDIN`.writable());
  const chunks = [];
  for await (const chunk of await sql`COPY (SELECT * FROM ${sql(table)} ORDER BY n) TO STDOUT`.readable()) chunks.push(chunk);
  assert.ok(Buffer.concat(chunks).toString() === lines.join(''));
  await usable(sql);
  assert.equal((await sql`SELECT count(*)::int AS n FROM ${sql(table)}`)[0].n, 500);
});

test('listen, notify, unlisten', async (t) => {
  const sql = open(t);
  const channel = uniqueName('pjs_channel');
  const heard = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const { unlisten } = await sql.listen(channel, (payload) => heard.push(payload) === 50 && done());
  await Promise.all(Array.from({ length: 50 }, (_, n) => sql.notify(channel, `number ${n}`)));
  await all;
  assert.deepEqual(heard, Array.from({ length: 50 }, (_, n) => `number ${n}`));
  await unlisten();
  await sql.notify(channel, 'unheard');
  await usable(sql);
  assert.equal(heard.length, 50);
});

test('a query is cancelled on the server, and no other', async (t) => {
  const [other, watcher] = [open(t), open(t)];
  for (let n = 0; n < 3; n++) {
    // The driver does not say when a cancel is over, and up to 16 Postgres sends its signal twice (to the process, then
    // to its group): a statement that follows on the same connection may be met.
    const sql = open(t);
    const mark = uniqueName('mark');
    const query = sql.unsafe(`SELECT pg_sleep(30) AS ${mark}`);
    const failed = assert.rejects(query, { code: '57014' });
    const survivor = other`SELECT 'other' AS word FROM pg_sleep(0.5)`.execute();
    for (let running = 0; !running;) {
      [{ running }] = await watcher.unsafe(`SELECT count(*)::int AS running FROM pg_stat_activity
        WHERE query LIKE '%AS ${mark}%' AND state = 'active' AND pid <> pg_backend_pid()`);
    }
    query.cancel();
    await failed;
    assert.equal((await survivor)[0].word, 'other');
  }
});

test('values of fifty megabytes', async (t) => {
  const sql = open(t);
  const value = 'pgherd! '.repeat(50 * 1024 * 128);
  const [{ got }] = await sql`SELECT ${value}::text AS got`;
  assert.ok(got === value);
  const bytes = Buffer.from(value.slice(0, 20 << 20));
  assert.ok((await sql`SELECT ${bytes}::bytea AS got`)[0].got.equals(bytes));
});

test('an error carries all its fields, a notice too', async (t) => {
  const notices = [];
  const sql = open(t, { onnotice: (notice) => notices.push(notice) });
  const table = await createTable(sql, 'n int CONSTRAINT positive CHECK (n > 0)');
  await assert.rejects(sql`INSERT INTO ${sql(table)} VALUES (-1)`, {
    name: 'PostgresError', severity: 'ERROR', code: '23514', schema_name: 'public', table_name: table, constraint_name: 'positive',
  });
  await assert.rejects(sql`SELECT 1 + nothing`, { code: '42703', position: '12' });
  await sql.unsafe("DO $$ BEGIN RAISE WARNING 'look' USING HINT = 'there'; END $$");
  assert.deepEqual(notices.map(({ severity, message, hint }) => [severity, message, hint]), [['WARNING', 'look', 'there']]);
});

test('options at login, and parameters that change', async (t) => {
  const sql = open(t, { connection: { application_name: 'suite', search_path: 'pg_catalog', statement_timeout: 60000 } });
  for (let n = 0; n < 5; n++) {
    assert.equal((await sql`SHOW application_name`)[0].application_name, 'suite');
    assert.equal((await sql`SHOW statement_timeout`)[0].statement_timeout, '1min');
  }
  const changed = [];
  const other = open(t, { onparameter: (name, value) => changed.push(`${name}=${value}`), target_session_attrs: 'read-write' });
  await other`SET TIME ZONE 'Asia/Tokyo'`;
  assert.ok(changed.includes('TimeZone=Asia/Tokyo'));
});

test('a pool with more tasks than connections, whose connections are short-lived', async (t) => {
  const sql = open(t, { max: 15, max_lifetime: 1, idle_timeout: 1 });
  const table = await createTable(sql, 'n int');
  await Promise.all(Array.from({ length: 200 }, (_, n) => sql.begin(async (tx) => {
    await tx`INSERT INTO ${tx(table)} VALUES (${n})`;
    if (n % 4 === 0) throw new Error('undo');
  }).catch((error) => assert.equal(error.message, 'undo'))));
  assert.equal((await sql`SELECT count(*)::int AS n FROM ${sql(table)}`)[0].n, 150);
});

test('a wrong password is refused as by Postgres', async (t) => {
  await assert.rejects(open(t, { password: 'wrong' })`SELECT 1`, { code: '28P01' });
});

test('closing lets what runs come to its end', async () => {
  const sql = postgres({ max: 2 });
  const last = sql`SELECT 'last' AS word FROM pg_sleep(0.2)`;
  last.execute();
  await sql.end();
  assert.equal((await last)[0].word, 'last');
  await assert.rejects(sql`SELECT 1`, { code: 'CONNECTION_ENDED' });
});
