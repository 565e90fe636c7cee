-- Orders of languages that libc has.
CREATE COLLATION german (provider = libc, locale = 'de_DE.utf8');
CREATE COLLATION swedish (provider = libc, locale = 'sv_SE.utf8');

CREATE TYPE order_status AS ENUM ('new', 'paid', 'shipped', 'lost', 'archived');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE countries (code char(2) PRIMARY KEY, name text NOT NULL, population integer);
INSERT INTO countries VALUES ('de', 'Deutschland', 84), ('fr', 'France', 68), ('at', 'Österreich', 9),
  ('is', 'Ísland', NULL), ('nl', 'Nederland', 18);
CREATE TABLE users (
  id bigint PRIMARY KEY, name text NOT NULL, email varchar(40), country char(2), born date,
  balance numeric(12, 2), active boolean, rating float8, tags text[], profile jsonb,
  created timestamptz NOT NULL);
INSERT INTO users SELECT i,
  (ARRAY['anna', 'Bob', 'Émile', 'eve', 'Zoë', 'ältere', 'Ole', 'olaf', 'coop', 'co-op'])[1 + i % 10] || ' ' || i,
  CASE WHEN i % 7 <> 0 THEN 'user' || i || '@example.org' END,
  (ARRAY['de', 'fr', 'at', 'is', NULL])[1 + i % 5],
  CASE WHEN i % 11 <> 0 THEN date '1960-01-01' + i * 300 END,
  CASE WHEN i % 6 <> 0 THEN i * 12.5 - 100 END,
  CASE WHEN i % 4 = 0 THEN NULL ELSE i % 4 = 1 END,
  CASE i % 9 WHEN 0 THEN NULL WHEN 1 THEN 'NaN' WHEN 2 THEN '-0'::float8 WHEN 3 THEN 0 WHEN 4 THEN 'infinity'
    ELSE i * 0.25 END,
  CASE WHEN i % 3 <> 0 THEN ARRAY['t' || i % 4, 'a,b', NULL] END,
  CASE WHEN i % 5 <> 0 THEN jsonb_build_object('level', i % 4, 'nick', 'n' || i, 'list', jsonb_build_array(i, i % 2)) END,
  timestamptz '2024-01-01 00:00+00' + i * interval '37 hours'
  FROM generate_series(1, 60) i;
CREATE TABLE orders (
  id bigint, user_id bigint, status order_status NOT NULL, total numeric(10, 2), note text, placed timestamp(3),
  PRIMARY KEY (user_id, id));
INSERT INTO orders SELECT i, 1 + (i * 7) % 63,
  (ARRAY['new', 'paid', 'shipped', 'lost', 'archived'])[1 + i % 5]::order_status,
  CASE WHEN i % 13 <> 0 THEN (i * 17 % 400) + 0.25 END,
  CASE WHEN i % 4 <> 0 THEN (ARRAY['fragile', 'Gift', 'gift', 'été'])[1 + i % 4] END,
  timestamp '2024-02-01 08:00' + i * interval '5 hours 20 minutes'
  FROM generate_series(1, 240) i;
CREATE TABLE items (
  id bigint, user_id bigint, order_id bigint, sku varchar(12), quantity integer NOT NULL, price numeric,
  PRIMARY KEY (user_id, id));
INSERT INTO items SELECT i, 1 + (((i % 240) + 1) * 7) % 63, 1 + i % 240, 'sku-' || i % 17, 1 + i % 6,
  CASE WHEN i % 10 = 0 THEN 1.500 ELSE (i % 50) * 1.1 END
  FROM generate_series(1, 500) i;
CREATE TABLE events (
  id bigint, user_id bigint, kind text COLLATE "C", at timestamptz, span interval, during tstzrange, uid uuid,
  ip inet, flags bit(4), payload bytea, score real, doc json, small smallint, numbers integer[], code positive,
  clock time, price money, short varchar(5), pos point, parent bigint,
  PRIMARY KEY (user_id, id));
INSERT INTO events SELECT i, 1 + (i * 11) % 60, (ARRAY['click', 'View', 'view', 'Öffnen'])[1 + i % 4],
  CASE WHEN i % 17 = 0 THEN 'infinity'::timestamptz ELSE timestamptz '2024-03-01 12:00+00' + i * interval '90 minutes' END,
  i * interval '1 day 3 hours', tstzrange('2024-01-01 00:00+00', timestamptz '2024-01-02 00:00+00' + i * interval '1 hour'),
  ('00000000-0000-0000-0000-' || lpad(to_hex(i * 7919), 12, '0'))::uuid, ('10.0.' || i % 4 || '.' || i % 250)::inet,
  (i % 16)::bit(4), decode(lpad(to_hex(i), 4, '0'), 'hex'), i * 0.5, json_build_object('a', i % 3, 'b', 'x'),
  (i % 100)::smallint, CASE WHEN i % 5 <> 0 THEN ARRAY[i % 3, i % 4, NULL] END, 1 + i % 9, time '08:00' + i * interval '1 minute',
  (i * 1.25)::numeric::money, left('event' || i, 5), point(i, -i), CASE WHEN i > 3 THEN i / 3 END
  FROM generate_series(1, 200) i;
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE edges (
  id bigint, user_id bigint, f float8, r real, n numeric, t text, tx text COLLATE "en-x-icu", ci text COLLATE nocase,
  c char(4), v varchar(6), iv interval, d date, ts timestamp, tz timestamptz, b boolean, by bytea, arr numeric[],
  rng int4range, j jsonb, st order_status, big bigint, PRIMARY KEY (user_id, id));
INSERT INTO edges SELECT i, 1 + (i * 13) % 61,
  (ARRAY['NaN', 'Infinity', '-Infinity', '-0', '0', '1e-300', '1.5', NULL]::float8[])[1 + i % 8],
  (ARRAY['NaN', 'Infinity', '-0', '0', '3.4e38', NULL]::real[])[1 + i % 6],
  (ARRAY['1.0', '1.00', '1', '-0.0', '1e20', '0.000000000000000000001', NULL]::numeric[])[1 + i % 7],
  (ARRAY['', ' ', 'a', 'A', 'ä', 'z', 'Z', 'ß', 'ss', NULL])[1 + i % 10], (ARRAY['a', 'B', 'Ä', 'b', '_', '-a', NULL])[1 + i % 7],
  (ARRAY['one', 'One', 'ONE', 'two', NULL])[1 + i % 5], (ARRAY['a', 'a ', ' a', 'ab', '', NULL])[1 + i % 6],
  (ARRAY['x', 'x ', '', NULL])[1 + i % 4],
  (ARRAY['1 day', '24 hours', '1 mon', '30 days', '-1 day', '0', NULL]::interval[])[1 + i % 7],
  (ARRAY['infinity', '-infinity', '4713-01-01 BC', '2024-02-29', '5874897-12-31', NULL]::date[])[1 + i % 6],
  (ARRAY['infinity', '-infinity', '2024-03-31 02:30', '1969-12-31 23:59:59.999999', NULL]::timestamp[])[1 + i % 5],
  (ARRAY['infinity', '2024-03-31 01:30+00', '2024-10-27 00:30+00', '2024-10-27 01:30+00', NULL]::timestamptz[])[1 + i % 5],
  CASE i % 3 WHEN 0 THEN true WHEN 1 THEN false END, (ARRAY['\x', '\x00', '\xff', '\x00ff', NULL]::bytea[])[1 + i % 5],
  CASE i % 4 WHEN 0 THEN '{}'::numeric[] WHEN 1 THEN ARRAY[1.0, NULL] WHEN 2 THEN ARRAY[1.00, 2] END,
  (ARRAY['empty', '[1,3)', '(,5]', '[2,)', NULL]::int4range[])[1 + i % 5],
  (ARRAY['null', '{}', '[1, 1.0]', '{"a": {"b": null}}', '"x"', NULL]::jsonb[])[1 + i % 6],
  (ARRAY['new', 'archived', NULL]::order_status[])[1 + i % 3],
  (ARRAY[9223372036854775807, -9223372036854775808, 0, NULL])[1 + i % 4]
  FROM generate_series(1, 150) i;
CREATE TABLE logs (id bigint, line text);
CREATE VIEW recent_orders AS SELECT * FROM orders WHERE placed > '2024-03-01';
CREATE VIEW order_counts AS SELECT user_id, count(*) AS n FROM orders GROUP BY user_id;
CREATE VIEW rich_counts AS SELECT c.* FROM order_counts c JOIN users u ON u.id = c.user_id AND u.balance > 100;
CREATE VIEW big_countries AS SELECT code, name FROM countries WHERE population > 50;
CREATE VIEW totals AS SELECT status, sum(total) AS total FROM orders GROUP BY status;
CREATE FUNCTION twice(x integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 2 * x';
CREATE FUNCTION number_of_orders() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM orders';
CREATE TABLE placement (key bigint) PARTITION BY HASH (key);
CREATE SEQUENCE numbers;
