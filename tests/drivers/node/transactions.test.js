// node-postgres: transactions by hand, and the driver's own pool.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { connect, createTable } from './fixture.js';

const numbers = async (client, table) =>
  (await client.query(`SELECT n FROM ${table} ORDER BY n`)).rows.map((row) => row.n);

test('commit and rollback', async (t) => {
  const [client, other] = await Promise.all([connect(t), connect(t)]);
  const table = await createTable(client, 'n int');
  await client.query('BEGIN');
  await client.query(`INSERT INTO ${table} VALUES ($1)`, [1]);
  assert.deepEqual(await numbers(other, table), []);
  await client.query('COMMIT');
  await client.query('BEGIN');
  await client.query(`INSERT INTO ${table} VALUES ($1)`, [2]);
  await client.query('ROLLBACK');
  assert.deepEqual(await numbers(other, table), [1]);
});

test('one server connection serves the whole transaction', async (t) => {
  const client = await connect(t);
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const pids = new Set();
  for (let n = 0; n < 30; n++) pids.add((await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
  await client.query('COMMIT');
  assert.equal(pids.size, 1);
});

test('savepoints', async (t) => {
  const client = await connect(t);
  const table = await createTable(client, 'n int');
  await client.query('BEGIN');
  for (let n = 0; n < 6; n++) {
    await client.query('SAVEPOINT here');
    await client.query(`INSERT INTO ${table} VALUES ($1)`, [n]);
    if (n % 2) {
      await assert.rejects(client.query('SELECT 1/0'), { code: '22012' });
      await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
      await client.query('ROLLBACK TO SAVEPOINT here');
    }
  }
  await client.query('COMMIT');
  assert.deepEqual(await numbers(client, table), [0, 2, 4]);
});

test('commit of a failed transaction answers ROLLBACK', async (t) => {
  const client = await connect(t);
  await client.query('BEGIN');
  await assert.rejects(client.query('SELECT 1/0'), { code: '22012' });
  assert.equal((await client.query('COMMIT')).command, 'ROLLBACK');
  assert.equal((await client.query('SELECT 1 AS n')).rows[0].n, 1);
});

test('a whole transaction in one simple query', async (t) => {
  const client = await connect(t);
  const table = await createTable(client, 'n int');
  const results = await client.query(`BEGIN; INSERT INTO ${table} VALUES (1); SELECT n FROM ${table}; COMMIT`);
  assert.deepEqual(results.map((r) => r.command), ['BEGIN', 'INSERT', 'SELECT', 'COMMIT']);
});

test('a client that vanishes leaves no lock and no rows', async (t) => {
  const client = await connect(t);
  const table = await createTable(client, 'n int');
  const gone = new pg.Client();
  gone.on('error', () => {});
  await gone.connect();
  await gone.query(`BEGIN; LOCK TABLE ${table}; INSERT INTO ${table} VALUES (1)`);
  gone.connection.stream.destroy();
  await client.query('BEGIN');
  await client.query("SET LOCAL lock_timeout = '5s'");
  assert.deepEqual(await numbers(client, table), []);
  await client.query('COMMIT');
});

test('the pool: more tasks than connections', async (t) => {
  const pool = new pg.Pool({ max: 8 });
  t.after(() => pool.end());
  const table = await createTable(pool, 'task int, n int');
  await Promise.all(Array.from({ length: 30 }, async (_, task) => {
    for (let n = 0; n < 10; n++) {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await client.query({ name: 'insert', text: `INSERT INTO ${table} VALUES ($1, $2)`, values: [task, n] });
        const { rows } = await client.query(`SELECT count(*)::int AS n FROM ${table} WHERE task = $1`, [task]);
        assert.equal(rows[0].n, n + 1);
        await client.query('COMMIT');
      } finally {
        client.release();
      }
    }
  }));
  assert.equal((await pool.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n, 300);
});

test('many clients at once', async () => {
  await Promise.all(Array.from({ length: 20 }, async (_, number) => {
    const client = new pg.Client();
    await client.connect();
    for (let n = 0; n < 10; n++) {
      const { rows } = await client.query('SELECT $1::int * 1000 + $2::int AS n', [number, n]);
      assert.equal(rows[0].n, number * 1000 + n);
    }
    await client.end();
  }));
});
