// What the suites share: connections that end with their test, names of a test's own, and neighbours that
// make server connections change hands.
import { after, before } from 'node:test';
import { randomBytes } from 'node:crypto';
import pg from 'pg';

const names = [];

// A name for a test's own table, type or channel.
export function uniqueName(stem) {
  names.push(`${stem}_${randomBytes(4).toString('hex')}`);
  return names.at(-1);
}

// A connected client that is closed when the test `t` ends.
export async function connect(t, config = {}) {
  const client = new pg.Client(config);
  client.on('error', () => {});
  await client.connect();
  t.after(() => client.end());
  return client;
}

// A table of the test's own.
export async function createTable(client, columns) {
  const table = uniqueName('node');
  await client.query(`CREATE TABLE ${table} (${columns})`);
  return table;
}

// Clients that run statements all the time and check that each reply is theirs: under transaction pooling the
// server connections thus change hands between any two transactions of a test, as they do under real load.
async function neighbour(number, stop) {
  const client = new pg.Client();
  await client.connect();
  try {
    for (let n = 0; !stop.aborted; n++) {
      const text = `neighbour ${number} says ${n}`;
      const { rows } = await client.query('SELECT $1::text AS said', [text]);
      if (rows[0].said !== text) throw new Error(`${rows[0].said} instead of ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
  } finally {
    await client.end();
  }
}

const stop = new AbortController();
let neighbours;

before(() => {
  neighbours = Promise.all([neighbour(1, stop.signal), neighbour(2, stop.signal)]);
  neighbours.catch(() => {}); // told in after()
});

after(async () => {
  stop.abort();
  await neighbours;
  const client = new pg.Client();
  await client.connect();
  for (const name of names) {
    await client.query(`DROP TABLE IF EXISTS ${name}`);
  }
  await client.end();
});
