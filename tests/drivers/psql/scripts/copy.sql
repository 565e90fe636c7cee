-- COPY by the server's and by psql's command, with data in the script, in files and from programs; errors in it.
CREATE TABLE rows (n int PRIMARY KEY, word text);
COPY rows FROM STDIN;
1	one
2	\N
3	tab\there
\.
COPY rows FROM STDIN WITH (FORMAT csv, HEADER);
n,word
4,"a ""quoted"" word, with commas"
5,
\.
\copy rows from program 'seq -f %g 100 1099 | sed s/$/,generated/' with (format csv)
TABLE rows ORDER BY n LIMIT 7;
\copy (SELECT * FROM rows ORDER BY n) to rows.bin with (format binary)
\copy rows to pstdout csv header
TRUNCATE rows;
\copy rows from rows.bin with (format binary)
SELECT count(*), sum(n) FROM rows;
COPY rows FROM STDIN;
2000	good
one	bad
2001	never
\.
SELECT count(*) FROM rows;
\copy rows from no-such-file
\copy no_such_table from program 'seq 100000'
COPY rows FROM STDIN;
100	a duplicate
\.
BEGIN;
COPY rows (n) FROM STDIN;
5000
\.
ROLLBACK;
COPY (SELECT 1 / (3 - n) FROM generate_series(1, 5) n) TO STDOUT;
SELECT count(*) FROM rows;
COPY rows FROM STDIN \; SELECT count(*) FROM rows \; COPY (SELECT 'last') TO STDOUT;
6000	among others
\.
