SELECT * FROM totals;
SELECT * FROM public.totals AS t WHERE t.total > 100;
-- ordered
SELECT t.status, t.total FROM totals t ORDER BY t.total DESC;
SELECT x, y FROM totals t(x, y);
TABLE totals;
SELECT state, n, sum FROM status_counts WHERE n > 10;
SELECT * FROM top_orders;
SELECT count(*), sum(total) FROM top_orders;
SELECT o.*, u.name FROM top_orders o JOIN users u ON u.id = o.user_id;
SELECT kind, count(*), max(id) FROM people GROUP BY kind;
SELECT * FROM kinds;
SELECT place, count(*) FROM ranked WHERE place < 20 GROUP BY place;
SELECT * FROM on_views;
SELECT a.status FROM totals a, totals b WHERE a.total < b.total;
SELECT total FROM totals WHERE status = 'paid';
SELECT (SELECT max(total) FROM totals), count(*) FROM users;
WITH totals AS (SELECT 1 AS one) SELECT * FROM totals;
WITH t AS (SELECT * FROM totals) SELECT count(*) FROM t;
SELECT u.id FROM users u WHERE EXISTS (SELECT FROM totals t WHERE t.total < u.balance * 40);
SELECT "n n", "order" FROM "Odd name";
SELECT "Odd name"."n n" FROM "Odd name";
SELECT * FROM calls;
SELECT * FROM newest;
SELECT status FROM totals UNION SELECT status FROM orders;
-- with 9000
SELECT status FROM totals WHERE total > $1;
SELECT totals.total FROM totals NATURAL JOIN newest;
SELECT status, total, placed FROM totals LEFT JOIN newest USING (status);
SELECT * FROM recent_counts;
SELECT row_to_json(t) FROM (SELECT * FROM totals) t;
SELECT status, count(*) FROM recent_orders r JOIN totals t USING (status) WHERE r.total > t.total / 50 GROUP BY status;
SELECT * FROM nowhere, totals;
SELECT nothing FROM totals;
-- refused view
SELECT * FROM escaped;
-- refused a whole row of a view
SELECT totals FROM totals;
-- refused with its schema
SELECT public.totals.total FROM public.totals;
-- refused materialized view
SELECT * FROM kept_totals;
-- refused undeclared table logs
SELECT * FROM of_logs;
