-- Variables, conditions, generated statements, and what \d asks the catalogs.
CREATE TABLE fruit (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE NOT NULL, price numeric(8, 2) DEFAULT 1.5 CHECK (price > 0));
CREATE INDEX ON fruit (price) WHERE price > 10;
CREATE VIEW dear AS SELECT * FROM fruit WHERE price > 10;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2;
COMMENT ON TABLE fruit IS 'what grows';
INSERT INTO fruit (name, price) VALUES ('apple', 2), ('melon', 12.25), ('dürian', 40) RETURNING *;
\d fruit
\d+ dear
\dt
\df twice
\dn
\sf twice
\sv dear
\dx
SELECT count(*) AS fruits, max(price) AS dearest FROM fruit \gset all_
\echo :all_fruits :all_dearest
SELECT format('SELECT %s AS n, twice(%s)', n, n) FROM generate_series(1, 3) n \gexec
SELECT 'a' AS r, 'x' AS c, 1 AS v UNION ALL SELECT 'b', 'y', 2 \crosstabview
\if :{?all_fruits}
SELECT :'all_fruits' AS quoted, twice(:all_fruits);
\else
SELECT 'never';
\endif
SELECT 1 AS one \g (format=csv)
SELECT 1 AS a, 2 AS b \gx
\gdesc
SELECT now() AS at, 'x'::varchar(7) AS word, ARRAY[1.5] AS list, NULL AS nothing \gdesc
SELECT 1 \; SELECT 2 \; SELECT 3;
\set SHOW_ALL_RESULTS off
SELECT 1 \; SELECT 2 \; SELECT 3;
\timing off
EXPLAIN (COSTS off) SELECT * FROM fruit WHERE id = 1;
