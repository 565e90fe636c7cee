-- Schemas that are on one shard each: `north` and `east` on the first, `south` on the second.
CREATE SCHEMA north;
CREATE SCHEMA east;
CREATE SCHEMA south;
CREATE TYPE north.mood AS ENUM ('good', 'bad');
CREATE TABLE north.sales (id bigint PRIMARY KEY, code char(2) REFERENCES countries, total numeric(10, 2),
  note text COLLATE "en-x-icu", mood north.mood, at timestamptz);
INSERT INTO north.sales SELECT i, (ARRAY['de', 'fr', 'at', NULL])[1 + i % 4], CASE WHEN i % 9 <> 0 THEN i * 1.5 END,
  (ARRAY['a', 'B', 'Ä', 'b', '_', NULL])[1 + i % 6], (ARRAY['good', 'bad'])[1 + i % 2]::north.mood,
  timestamptz '2024-01-01 00:00+00' + i * interval '7 hours' FROM generate_series(1, 40) i;
CREATE TABLE east.sales (id bigint PRIMARY KEY, total numeric(10, 2), note varchar(9));
INSERT INTO east.sales SELECT i, i * 2.25, 'e' || i FROM generate_series(1, 30) i;
CREATE TABLE south.sales (id bigint PRIMARY KEY, total numeric(10, 2), note varchar(9), flags bit(4), list int[]);
INSERT INTO south.sales SELECT i, CASE WHEN i % 5 <> 0 THEN i * 3 END, 's' || i, (i % 16)::bit(4), ARRAY[i, NULL]
  FROM generate_series(1, 25) i;
CREATE VIEW south.large AS SELECT id, total FROM south.sales WHERE total > 30;
CREATE FUNCTION south.double(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';
