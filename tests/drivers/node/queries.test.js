// node-postgres: statements, their results and their errors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { connect, createTable, uniqueName } from './fixture.js';

const MEGABYTE = 1 << 20;

test('parameters come back as they went', async (t) => {
  const client = await connect(t);
  const { rows } = await client.query('SELECT $1::int AS n, $2::text AS word, $3::bytea AS bytes, $4::text AS nothing', [
    7, 'siebenä 🐘', Buffer.from([0, 255, 7]), null,
  ]);
  assert.deepEqual(rows, [{ n: 7, word: 'siebenä 🐘', bytes: Buffer.from([0, 255, 7]), nothing: null }]);
});

test('results in binary', async (t) => {
  const client = await connect(t);
  const { rows } = await client.query({ text: 'SELECT $1::int4 AS n, $2::bool AS yes', values: [5, true], binary: true });
  assert.deepEqual(rows, [{ n: 5, yes: true }]);
});

test('several statements in one simple query', async (t) => {
  const client = await connect(t);
  const results = await client.query('SELECT 1 AS a; SELECT 2 AS b WHERE false; SELECT 3 AS c');
  assert.deepEqual(results.map((r) => r.rows), [[{ a: 1 }], [], [{ c: 3 }]]);
});

test('an error among several statements undoes them all', async (t) => {
  const client = await connect(t);
  const table = uniqueName('never');
  await assert.rejects(client.query(`CREATE TABLE ${table} (n int); SELECT 1/0; SELECT 2`), { code: '22012' });
  assert.deepEqual((await client.query('SELECT to_regclass($1) AS t', [table])).rows, [{ t: null }]);
});

test('empty query', async (t) => {
  const client = await connect(t);
  assert.deepEqual((await client.query('')).rows, []);
  assert.equal((await client.query('SELECT 1 AS n')).rows[0].n, 1);
});

test('queries wait for their turn in the driver', async (t) => {
  const client = await connect(t);
  const results = await Promise.all(Array.from({ length: 300 }, (_, n) => client.query('SELECT $1::int AS n', [n])));
  assert.deepEqual(results.map((r) => r.rows[0].n), Array.from({ length: 300 }, (_, n) => n));
});

test('named statements are prepared once and run often', async (t) => {
  const client = await connect(t);
  for (let n = 0; n < 30; n++) {
    const { rows } = await client.query({ name: 'twice', text: 'SELECT $1::int * 2 AS n', values: [n] });
    assert.equal(rows[0].n, 2 * n);
  }
});

test('clients whose named statements have equal names', async (t) => {
  const clients = await Promise.all(Array.from({ length: 5 }, () => connect(t)));
  for (let turn = 0; turn < 10; turn++) {
    const results = await Promise.all(
      clients.map((c, n) => c.query({ name: 'same', text: `SELECT ${n} AS who, $1::int AS turn`, values: [turn] })),
    );
    assert.deepEqual(results.map((r) => r.rows[0]), clients.map((_, who) => ({ who, turn })));
  }
});

test('an error in a named statement leaves it usable', async (t) => {
  const client = await connect(t);
  const divide = (by) => client.query({ name: 'divide', text: 'SELECT 10 / $1::int AS n', values: [by] });
  for (let n = 0; n < 5; n++) {
    assert.equal((await divide(5)).rows[0].n, 2);
    await assert.rejects(divide(0), { code: '22012' });
  }
});

test('a named statement that fails to parse can be corrected', async (t) => {
  const client = await connect(t);
  const table = uniqueName('later');
  const read = () => client.query({ name: 'read-later', text: `SELECT n FROM ${table} WHERE n = $1`, values: [1] });
  await assert.rejects(read(), { code: '42P01' });
  await client.query(`CREATE TABLE ${table} (n int)`);
  assert.deepEqual((await read()).rows, []);
});

for (const statement of ['SELEC 1', 'SELECT 1/0', 'SELECT * FROM no_such_table', "SELECT 'x'::int"]) {
  test(`the connection works after an error: ${statement}`, async (t) => {
    const client = await connect(t);
    for (let n = 0; n < 5; n++) {
      await assert.rejects(client.query(statement), pg.DatabaseError);
      await assert.rejects(client.query({ text: statement, queryMode: 'extended' }), pg.DatabaseError);
      assert.equal((await client.query('SELECT $1::int AS n', [n])).rows[0].n, n);
    }
  });
}

test('an error carries all its fields', async (t) => {
  const client = await connect(t);
  const table = await createTable(client, 'n int PRIMARY KEY');
  await client.query(`INSERT INTO ${table} VALUES ($1)`, [1]);
  await assert.rejects(client.query(`INSERT INTO ${table} VALUES ($1)`, [1]), {
    severity: 'ERROR', code: '23505', table, constraint: `${table}_pkey`, detail: 'Key (n)=(1) already exists.',
  });
});

test('an error while rows are on their way', async (t) => {
  const client = await connect(t);
  const query = "SELECT 1 / (50000 - n), repeat('x', 100) FROM generate_series(1, 60000) n";
  await assert.rejects(client.query(query), { code: '22012' });
  assert.equal((await client.query('SELECT 1 AS n')).rows[0].n, 1);
});

test('notices arrive', async (t) => {
  const client = await connect(t);
  const heard = [];
  client.on('notice', (notice) => heard.push(notice.message));
  await client.query("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$");
  assert.deepEqual(heard, ['one', 'two']);
});

test('values of ten megabytes', async (t) => {
  const client = await connect(t);
  const text = 'ä'.repeat(5 * MEGABYTE);
  const bytes = Buffer.alloc(10 * MEGABYTE, 'pgherd');
  const { rows } = await client.query('SELECT $1::text AS text, $2::bytea AS bytes', [text, bytes]);
  assert.ok(rows[0].text === text);
  assert.ok(rows[0].bytes.equals(bytes));
});

test('many rows and many columns', async (t) => {
  const client = await connect(t);
  const many = await client.query("SELECT n, 'row ' || n AS word FROM generate_series(1, 50000) n");
  assert.equal(many.rowCount, 50000);
  assert.deepEqual(many.rows.at(-1), { n: 50000, word: 'row 50000' });
  const columns = Array.from({ length: 1600 }, (_, n) => n);
  const wide = await client.query({ text: `SELECT ${columns.join(', ')}`, rowMode: 'array' });
  assert.deepEqual(wide.rows[0], columns);
});

test('types there and back', async (t) => {
  const client = await connect(t);
  const rows = [
    ['int2', -32768], ['int8', '9007199254740993'], ['float8', 1e-300], ['numeric', '12345678901234567890.123456789'],
    ['bool', false], ['text', ''], ['date', '2026-11-30'], ['timestamptz', new Date(1e12)], ['json', { a: [1, null] }],
    ['jsonb', { b: 'ä' }], ['uuid', '12345678-1234-5678-1234-567812345678'], ['int4[]', [1, null, 3]],
    ['text[]', ['a,b', 'c"d', null]], ['interval', '1 day'], ['inet', '10.0.0.1/8'],
  ];
  for (const [type, value] of rows) {
    const format = type === 'date' || type === 'interval' ? '::text' : '';
    for (let n = 0; n < 2; n++) {
      const got = await client.query({ name: `type-${type}`, text: `SELECT $1::${type}${format} AS value`, values: [value] });
      assert.deepEqual(got.rows[0].value, value, type);
    }
  }
});

test('row descriptions are complete', async (t) => {
  const client = await connect(t);
  const { fields } = await client.query("SELECT 1::int8 AS a, 'x'::varchar(7) AS b");
  assert.deepEqual(fields.map((f) => [f.name, f.dataTypeID, f.dataTypeModifier]), [['a', 20, -1], ['b', 1043, 11]]);
});

test('a query is cancelled on the server, and no other', async (t) => {
  const [victim, bystander, killer] = await Promise.all([connect(t), connect(t), connect(t)]);
  // The public API has no cancel: this is what the driver itself offers to those who need one.
  const other = bystander.query('SELECT 7 AS n FROM pg_sleep(0.5)');
  const mark = uniqueName('mark');
  const query = new pg.Query(`SELECT pg_sleep(20) AS ${mark}`);
  const outcome = new Promise((resolve) => query.once('error', resolve));
  victim.query(query);
  // A cancel that comes before the query meets nothing.
  for (let sleeping = []; sleeping.length === 0;) {
    const { rows } = await killer.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%${mark}%'`);
    sleeping = rows;
  }
  const canceller = new pg.Client();
  // Up to 16 Postgres sends its signal twice (to the process, then to its group), and closes behind the second.
  const over = new Promise((resolve) => canceller.connection.once('end', resolve));
  canceller.cancel(victim, query);
  assert.equal((await outcome).code, '57014');
  await over;
  assert.equal((await other).rows[0].n, 7);
  assert.equal((await victim.query('SELECT 1 AS n')).rows[0].n, 1);
});

test('a wrong password is refused as by Postgres', async () => {
  const client = new pg.Client({ password: 'not the password' });
  await assert.rejects(client.connect(), { code: '28P01', message: /password authentication failed for user/ });
});

test('listen and notify', async (t) => {
  const [listener, sender] = await Promise.all([connect(t), connect(t)]);
  const channel = uniqueName('channel');
  const heard = [];
  const done = new Promise((resolve) => {
    listener.on('notification', ({ payload }) => heard.push(payload) === 3 && resolve());
  });
  await listener.query(`LISTEN ${channel}`);
  for (const payload of ['one', 'two', 'three']) await sender.query('SELECT pg_notify($1, $2)', [channel, payload]);
  await done;
  assert.deepEqual(heard, ['one', 'two', 'three']);
});

test('settings and temporary tables last', async (t) => {
  const client = await connect(t, { application_name: 'suite', statement_timeout: 60000 });
  assert.equal((await client.query('SHOW application_name')).rows[0].application_name, 'suite');
  assert.equal((await client.query('SHOW statement_timeout')).rows[0].statement_timeout, '1min');
  await client.query("SET search_path = 'pg_catalog'; CREATE TEMP TABLE kept (n int)");
  assert.equal((await client.query('SHOW search_path')).rows[0].search_path, 'pg_catalog');
  await client.query('INSERT INTO kept VALUES ($1)', [1]);
  assert.deepEqual((await client.query('SELECT n FROM kept')).rows, [{ n: 1 }]);
});
