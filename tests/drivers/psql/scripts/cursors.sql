-- Cursors by hand and of psql's own, with and without hold.
BEGIN;
DECLARE numbers SCROLL CURSOR FOR SELECT generate_series(1, 10) n;
FETCH 3 FROM numbers;
FETCH BACKWARD 1 FROM numbers;
MOVE LAST FROM numbers;
FETCH PRIOR FROM numbers;
COMMIT;
FETCH numbers;
DECLARE kept CURSOR WITH HOLD FOR SELECT generate_series(1, 5) n;
FETCH 2 FROM kept;
SELECT 'between';
FETCH ALL FROM kept;
CLOSE kept;
FETCH kept;
\set FETCH_COUNT 10
SELECT n, repeat('x', n) FROM generate_series(1, 35) n;
SELECT 1 / (25 - n) FROM generate_series(1, 50) n;
SELECT 'after';
\set FETCH_COUNT 0
