-- refused undeclared table logs
SELECT * FROM logs;
-- refused undeclared table logs
SELECT * FROM users JOIN logs ON logs.id = users.id WHERE users.id = 1;
SELECT * FROM recent_orders;
SELECT user_id, count(*) FROM recent_orders GROUP BY user_id;
SELECT u.name, r.total FROM users u JOIN recent_orders r ON r.user_id = u.id WHERE r.total > 300;
SELECT status, sum(total) FROM recent_orders WHERE user_id = 9 GROUP BY status;
SELECT name, n FROM order_counts JOIN users ON users.id = order_counts.user_id;
SELECT * FROM rich_counts WHERE n > 3;
SELECT * FROM big_countries;
SELECT c.name, r.id FROM big_countries c JOIN users u ON u.country = c.code JOIN recent_orders r ON r.user_id = u.id;
SELECT count(*) FROM recent_orders a JOIN recent_orders b ON a.id = b.id + 1;
SELECT users FROM users;
SELECT row_to_json(u) FROM users u;
-- refused system column
SELECT ctid, id FROM users;
-- refused system column
SELECT users.tableoid FROM users;
-- refused TABLESAMPLE
SELECT id FROM users TABLESAMPLE BERNOULLI (100);
SELECT id FROM ONLY users;
-- refused number_of_orders
SELECT number_of_orders();
-- refused number_of_orders
SELECT number_of_orders() FROM users WHERE id = 3;
-- refused SELECT INTO
SELECT * INTO copy FROM users;
-- refused query_to_xml
SELECT query_to_xml('SELECT 1', true, true, '');
SELECT public.users.id FROM users;
-- refused pg_relation_size
SELECT pg_relation_size('users') FROM users;
SELECT relname FROM pg_class, users WHERE relname = name;
SELECT c.relname, u.id FROM pg_catalog.pg_class c JOIN users u ON c.relname = 'users' AND u.id < 3;
-- refused of one shard
SELECT s.relname FROM pg_stat_user_tables s, users;
-- refused EXPLAIN
EXPLAIN SELECT * FROM users;
-- refused nextval
SELECT nextval('numbers') FROM users;
-- refused changes state
SELECT pg_advisory_lock(1);
SELECT count(o) FROM orders o;
SELECT (o).id FROM orders o;
SELECT * FROM nowhere;
-- refused system column
SELECT max(xmin::text) FROM orders;
SELECT o.lower FROM orders o;
SELECT pg_typeof(o.*)::text FROM orders o;
