// What programs do with node-postgres; prints every answer.
import pg from 'pg';
import Cursor from 'pg-cursor';

const show = (what, answer) => console.log(what, JSON.stringify(answer));
const failure = (what, promise) =>
  promise.then((it) => show(what, it.rows), (error) => show(what, [error.code, error.message, error.constraint]));

const client = new pg.Client();
await client.connect();
const named = { name: 'user', text: 'SELECT name, balance FROM users WHERE id = $1' };
for (const key of [7, 8, 9, 7, 8, 9]) show('named', (await client.query({ ...named, values: [key] })).rows);
const full = await client.query('SELECT id, total, user_id FROM orders WHERE total > $1 ORDER BY total, id LIMIT 4', [50]);
show('fields', [full.command, full.rowCount, full.rows, full.fields.map((it) => [it.name, it.dataTypeID, it.dataTypeModifier, it.format])]);
show('binary', (await client.query({ text: 'SELECT id, balance FROM users WHERE id < $1 ORDER BY id', values: [4], binary: true })).rows);
const several = await client.query('SELECT count(*) FROM users; SELECT max(total) FROM orders; SELECT 3');
show('several', several.map((it) => it.rows));
show('text', (await client.query("SELECT country, string_agg(name, ',' ORDER BY id) FROM users WHERE id < 12 GROUP BY country ORDER BY country")).rows);
show('queued', (await Promise.all([1, 2, 3, 4, 5, 6].map((key) => client.query('SELECT name FROM users WHERE id = $1', [key])))).map((it) => it.rows));
show('insert', (await client.query("INSERT INTO users VALUES (300, 'a', 'de', 1), (301, 'b', 'at', 2), (302, 'c', 'fr', 3)")).rowCount);
await failure('unique', client.query("INSERT INTO users VALUES (300, 'x', 'de', 0)"));
await failure('syntax', client.query('SELEC 1'));
await failure('type', client.query('SELECT name FROM users WHERE id = $1', ['x']));
await client.query('BEGIN');
await client.query('UPDATE users SET balance = balance - $1 WHERE id = $2', [10, 300]);
await client.query('UPDATE users SET balance = balance + $1 WHERE id = $2', [10, 301]);
await failure('failed', client.query('SELECT 1 / 0'));
await failure('aborted', client.query('SELECT 1'));
show('rollback', (await client.query('ROLLBACK')).command);
show('after', (await client.query('SELECT id, balance FROM users WHERE id >= 300 ORDER BY id')).rows);
await client.query('BEGIN');
const cursor = client.query(new Cursor('SELECT id FROM orders ORDER BY id'));
show('cursor', [await cursor.read(3), await cursor.read(2)]);
await cursor.close();
show('commit', (await client.query('COMMIT')).command);
show('delete', (await client.query('DELETE FROM users WHERE id >= 300')).rowCount);
show('table', (await client.query('SELECT count(*), sum(balance) FROM users')).rows);
await client.end();

const pool = new pg.Pool({ max: 5 });
const keys = Array.from({ length: 40 }, (_, it) => it + 1);
const answers = await Promise.all(keys.map((key) => pool.query('SELECT count(*), sum(total) FROM orders WHERE user_id = $1', [key])));
show('pool', answers.map((it) => it.rows[0]));
await pool.end();
