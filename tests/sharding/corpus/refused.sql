-- refused undeclared table logs
SELECT * FROM logs;
-- refused undeclared table logs
SELECT * FROM users JOIN logs ON logs.id = users.id WHERE users.id = 1;
-- refused view
SELECT * FROM recent_orders;
-- refused whole row
SELECT users FROM users;
SELECT row_to_json(u) FROM users u;
-- refused system column
SELECT ctid, id FROM users;
-- refused system column
SELECT users.tableoid FROM users;
-- refused FOR UPDATE
SELECT id FROM users FOR UPDATE;
-- refused FOR UPDATE
SELECT id FROM users FOR SHARE;
-- refused TABLESAMPLE
SELECT id FROM users TABLESAMPLE BERNOULLI (100);
SELECT id FROM ONLY users;
-- refused number_of_orders
SELECT number_of_orders();
-- refused number_of_orders
SELECT number_of_orders() FROM users WHERE id = 3;
-- refused data-modifying
WITH x AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM x;
-- refused SELECT INTO
SELECT * INTO copy FROM users;
-- refused query_to_xml
SELECT query_to_xml('SELECT 1', true, true, '');
SELECT public.users.id FROM users;
-- refused pg_relation_size
SELECT pg_relation_size('users') FROM users;
-- refused system tables
SELECT relname FROM pg_class, users WHERE relname = name;
-- refused EXPLAIN
EXPLAIN SELECT * FROM users;
-- refused nextval
SELECT nextval('numbers');
-- refused changes state
SELECT pg_advisory_lock(1);
SELECT count(o) FROM orders o;
SELECT (o).id FROM orders o;
SELECT * FROM nowhere;
-- refused system column
SELECT max(xmin::text) FROM orders;
SELECT o.lower FROM orders o;
-- refused whole row
SELECT pg_typeof(o.*) FROM orders o;
