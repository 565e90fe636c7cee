-- Types as psql shows them.
SELECT 1::int2, 2::int4, 3::int8, 1.5::float4, 'NaN'::float8, 12345.678::numeric, true, 'x'::"char", 'name'::name;
SELECT '2026-11-30'::date, '12:34:56.789'::time, '12:34:56+02'::timetz, 'infinity'::timestamptz, '1 mon -2 days'::interval;
SELECT '{"a": [1, null]}'::jsonb, '<a/>'::xml, '10.0.0.0/8'::cidr, '::1'::inet, '08:00:2b:01:02:03'::macaddr, B'101';
SELECT ARRAY[[1, 2], [3, NULL]], ROW(1, 'a b', NULL), int4range(1, 5), '{[1,2),[5,6)}'::int4multirange, '(1,2)'::point;
SELECT 'a fat cat'::tsvector, 'fat & cat'::tsquery, '16/B374D848'::pg_lsn, 'pg_class'::regclass, '\xdeadbeef'::bytea;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b mood);
CREATE DOMAIN small AS int CHECK (VALUE < 10);
SELECT ROW(1, 'happy')::pair, ARRAY['sad', 'happy']::mood[], 7::small;
SELECT 70::small;
\dT+ mood
\x auto
SELECT repeat('wide ', 60) AS wide, E'two\nlines' AS lines;
\pset null '(null)'
SELECT NULL AS n, '' AS empty;
SELECT repeat('long', 1000000) \g /dev/null
SELECT length(repeat('long', 1000000));
