SELECT count(DISTINCT status), count(*) FROM orders;
SELECT count(DISTINCT country) FILTER (WHERE active), count(*), sum(balance), avg(DISTINCT balance), min(DISTINCT name COLLATE "C") FROM users;
SELECT status, count(DISTINCT user_id), sum(total), count(note) FROM orders GROUP BY status;
SELECT count(DISTINCT note), count(*), count(DISTINCT note || 'x') FROM orders WHERE id < 0;
SELECT user_id % 3, count(DISTINCT total), sum(DISTINCT total), max(total) FROM orders GROUP BY 1 HAVING count(DISTINCT status) > 2;
SELECT count(DISTINCT n), count(DISTINCT f), count(DISTINCT ci), count(DISTINCT c), count(DISTINCT arr), count(DISTINCT iv), count(*) FROM edges;
SELECT status, string_agg(DISTINCT note, ',' ORDER BY note), count(*) FROM orders GROUP BY status;
SELECT status, count(*) FROM orders GROUP BY ROLLUP (status);
SELECT status, note, count(*), sum(total), GROUPING(status, note), grouping(note) FROM orders GROUP BY CUBE (status, note);
SELECT note, count(*), sum(total), max(note) FROM orders WHERE id < 0 GROUP BY ROLLUP (note);
SELECT status, note, count(DISTINCT user_id) FROM orders GROUP BY GROUPING SETS ((status), (note), ()) HAVING count(*) > 10;
-- ordered
SELECT country, active, avg(balance), count(*) FROM users GROUP BY ROLLUP (country, active) ORDER BY GROUPING(country, active), country, active;
SELECT date_trunc('month', placed), status, count(*) FROM orders GROUP BY date_trunc('month', placed), ROLLUP (status);
SELECT o.status, u.country, sum(o.total) FROM orders o JOIN users u ON u.id = o.user_id GROUP BY GROUPING SETS ((o.status, u.country), o.status, CUBE (u.country));
SELECT count(*), sum(total) FROM orders GROUP BY ();
SELECT count(*), avg(total) FROM orders WHERE id < 0 GROUP BY GROUPING SETS ((), ());
SELECT status AS s, user_id FROM orders GROUP BY ROLLUP (s, user_id);
SELECT count(*) FILTER (WHERE placed < now()) FROM orders;
SELECT count(*) FROM orders WHERE placed < now() - interval '1 day' AND placed < current_date;
-- ordered
SELECT id FROM users WHERE created < CURRENT_TIMESTAMP AND created < localtimestamp(0) ORDER BY id LIMIT 5;
SELECT id, now() > created AS old FROM users WHERE name <> current_user;
SELECT count(*) AS n, current_date > date '2020-01-01' AS late FROM users;
SELECT now() > max(created), count(*) FROM users;
SELECT count(*) FROM users WHERE now() = statement_timestamp() OR now() IS NOT NULL;
SELECT name FROM users WHERE balance > (SELECT avg(balance) FROM users WHERE active);
SELECT * FROM (SELECT status, count(*) AS n FROM orders GROUP BY status) x JOIN (SELECT status, max(id) AS m FROM orders GROUP BY status) y USING (status);
-- ordered
SELECT status, count(*) FROM orders GROUP BY status UNION ALL SELECT NULL, count(*) FROM users ORDER BY 2, 1;
SELECT DISTINCT country FROM users UNION SELECT code FROM countries;
SELECT DISTINCT country FROM users EXCEPT SELECT code FROM countries WHERE population > 50 INTERSECT SELECT 'de';
WITH x AS (SELECT country, count(*) AS n FROM users GROUP BY country), y AS (SELECT max(n) AS m FROM x) SELECT x.* FROM x, y WHERE n = m;
SELECT code, (SELECT count(*) FROM users) FROM countries;
SELECT u.id FROM users u WHERE u.id > (SELECT count(*) FROM orders o WHERE o.total > u.balance);
SELECT c.code, (SELECT count(*) FROM users WHERE country = c.code) FROM countries c;
SELECT c.name, (SELECT count(*) FROM users WHERE users.country = code) FROM countries c;
SELECT c.name, x.n FROM countries c, LATERAL (SELECT count(*) AS n FROM users u WHERE u.country = c.code) x;
SELECT count(*) FROM users WHERE id IN (SELECT id FROM orders WHERE total > 300 ORDER BY total, id LIMIT 10);
-- with 300|2
SELECT count(*) FROM users WHERE id IN (SELECT id FROM orders WHERE total > $1 ORDER BY id LIMIT $2);
(SELECT id FROM users ORDER BY id LIMIT 3) UNION ALL (SELECT id FROM orders ORDER BY id DESC, user_id LIMIT 3);
SELECT x.s, y.s FROM (SELECT sum(total) AS s FROM orders) x, (SELECT sum(price) AS s FROM items) y;
SELECT x.s FROM (SELECT sum(total) AS s FROM orders WHERE user_id IN (3, 4)) x, countries;
SELECT ARRAY(SELECT DISTINCT quantity FROM items ORDER BY quantity), count(*) FROM users;
SELECT EXISTS (SELECT id FROM orders WHERE total > 1000), count(*) FROM users WHERE id IN (SELECT id FROM items GROUP BY id HAVING count(*) > 0);
SELECT u.id FROM users u JOIN (SELECT id % 10 AS ten, count(*) AS n FROM orders GROUP BY 1) x ON x.ten = u.id % 10 WHERE x.n > 20;
SELECT a.id FROM users a WHERE a.country IN (SELECT country FROM users b WHERE b.id < 3 AND b.id <> (SELECT min(id) FROM users));
SELECT x.country, y.n FROM (SELECT DISTINCT country FROM users) x LEFT JOIN (SELECT country, count(*) AS n FROM users WHERE active GROUP BY country) y ON x.country = y.country;
SELECT (SELECT name FROM users WHERE id = o.user_id), total FROM orders o WHERE total > (SELECT avg(total) * 1.9 FROM orders);
SELECT array_agg(name) FROM (SELECT name FROM users ORDER BY id) x;
SELECT country, string_agg(name, ',') FROM (SELECT country, name FROM users ORDER BY name COLLATE "C" DESC) x GROUP BY country;
WITH x AS (SELECT id FROM orders ORDER BY total, id DESC, user_id) SELECT json_agg(id) FROM x;
SELECT name, row_number() OVER () FROM (SELECT name FROM users ORDER BY balance, id) x;
-- ordered
SELECT * FROM (SELECT id, name FROM users ORDER BY id DESC) x;
