// node-postgres: cursors (portals with a row limit), query streams and COPY streams.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { connect, createTable } from './fixture.js';

const lines = (count) => Readable.from((function* () {
  for (let n = 0; n < count; n++) yield Buffer.from(`${n}\tline ${n}\n`);
})());

const usable = async (client) => assert.equal((await client.query('SELECT 1 AS n')).rows[0].n, 1);

test('a cursor is read in portions', async (t) => {
  const client = await connect(t);
  await client.query('BEGIN');
  const cursor = client.query(new Cursor('SELECT generate_series(1, $1::int) AS n', [250]));
  const sizes = [];
  let next = 1;
  for (let rows = await cursor.read(100); rows.length; rows = await cursor.read(100)) {
    sizes.push(rows.length);
    for (const { n } of rows) assert.equal(n, next++);
  }
  await client.query('COMMIT');
  assert.deepEqual(sizes, [100, 100, 50]);
});

test('a cursor outside a transaction lives until it is closed', async (t) => {
  const client = await connect(t);
  for (let n = 0; n < 5; n++) {
    const cursor = client.query(new Cursor('SELECT generate_series(1, 1000) AS n'));
    assert.equal((await cursor.read(10)).length, 10);
    assert.equal((await cursor.read(10))[0].n, 11);
    await cursor.close();
    await usable(client);
  }
});

test('a cursor that fails in the middle', async (t) => {
  const client = await connect(t);
  const cursor = client.query(new Cursor('SELECT 1 / (50 - n) FROM generate_series(1, 100) n'));
  await assert.rejects(async () => {
    for (let n = 0; n < 10; n++) await cursor.read(20);
  }, { code: '22012' });
  await cursor.close();
  await usable(client);
});

test('a query stream gives all rows in order', async (t) => {
  const client = await connect(t);
  const stream = client.query(new QueryStream('SELECT generate_series(1, $1::int) AS n', [5000], { batchSize: 70 }));
  let next = 1;
  for await (const { n } of stream) assert.equal(n, next++);
  assert.equal(next, 5001);
  await usable(client);
});

test('a query stream that is left early', async (t) => {
  const client = await connect(t);
  for (let n = 0; n < 3; n++) {
    const stream = client.query(new QueryStream('SELECT generate_series(1, 100000) AS n'));
    for await (const row of stream) if (row.n === 150) break;
    await usable(client);
  }
});

test('COPY in and out', async (t) => {
  const client = await connect(t);
  const table = await createTable(client, 'n int, word text');
  const copy = client.query(copyFrom(`COPY ${table} FROM STDIN`));
  await pipeline(lines(5000), copy);
  assert.equal(copy.rowCount, 5000);
  const chunks = [];
  const out = client.query(copyTo(`COPY (SELECT * FROM ${table} ORDER BY n) TO STDOUT`));
  for await (const chunk of out) chunks.push(chunk);
  const expected = Array.from({ length: 5000 }, (_, n) => `${n}\tline ${n}\n`).join('');
  assert.ok(Buffer.concat(chunks).toString() === expected);
  await usable(client);
});

test('COPY of bad data is an error and nothing more', async (t) => {
  const client = await connect(t);
  const table = await createTable(client, 'n int, word text');
  const source = Readable.from([Buffer.from('1\tone\n'), Buffer.from('two\ttwo\n')]);
  await assert.rejects(pipeline(source, client.query(copyFrom(`COPY ${table} FROM STDIN`))), { code: '22P02' });
  await usable(client);
  assert.equal((await client.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n, 0);
});

test('COPY that the program gives up', async (t) => {
  const client = await connect(t);
  const table = await createTable(client, 'n int, word text');
  const source = new PassThrough();
  const copy = client.query(copyFrom(`COPY ${table} FROM STDIN`));
  source.write('1\tone\n');
  setTimeout(() => source.destroy(new Error('given up')), 50);
  await assert.rejects(pipeline(source, copy));
  await usable(client);
  assert.equal((await client.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n, 0);
});

test('COPY of a missing table', async (t) => {
  const client = await connect(t);
  await assert.rejects(pipeline(lines(10), client.query(copyFrom('COPY no_such_table FROM STDIN'))), { code: '42P01' });
  await usable(client);
});

test('COPY out to a slow reader', async (t) => {
  const client = await connect(t);
  const source = client.query(copyTo("COPY (SELECT repeat('x', 999) FROM generate_series(1, 10000)) TO STDOUT"));
  let size = 0;
  let chunks = 0;
  const sink = new Writable({
    highWaterMark: 1,
    write(chunk, _, done) {
      size += chunk.length;
      chunks++ % 20 ? done() : setTimeout(done, 2);
    },
  });
  await pipeline(source, sink);
  assert.equal(size, 10_000_000);
  await usable(client);
});

test('COPY inside a transaction', async (t) => {
  const client = await connect(t);
  const table = await createTable(client, 'n int, word text');
  await client.query('BEGIN');
  const copy = client.query(copyFrom(`COPY ${table} FROM STDIN`));
  copy.end('1\tone\n');
  await once(copy, 'finish');
  await client.query('ROLLBACK');
  assert.equal((await client.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n, 0);
});
