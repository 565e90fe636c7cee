SELECT id, name FROM users WHERE country = 'de' FOR UPDATE;
-- ordered
SELECT id FROM users WHERE active ORDER BY id FOR UPDATE;
-- ordered
SELECT id, name FROM users ORDER BY name, id FOR NO KEY UPDATE NOWAIT;
SELECT * FROM orders WHERE total > 300 FOR SHARE;
SELECT u.id, o.id FROM users u JOIN orders o ON o.user_id = u.id WHERE o.total > 390 FOR UPDATE OF o;
SELECT u.id, o.id FROM users u JOIN orders o ON o.user_id = u.id WHERE o.total > 390 FOR UPDATE OF o FOR KEY SHARE OF u;
SELECT u.id, c.name FROM users u JOIN countries c ON c.code = u.country FOR UPDATE OF u SKIP LOCKED;
SELECT u.id, c.name FROM users u JOIN countries c ON c.code = u.country FOR KEY SHARE;
SELECT * FROM countries WHERE code = 'de' FOR UPDATE;
SELECT name FROM countries FOR SHARE;
SELECT id AS "for" FROM users u FOR UPDATE;
SELECT u.id, o.total FROM users u LEFT JOIN orders o ON o.user_id = u.id AND o.total > 390 FOR UPDATE OF u;
SELECT u.id FROM users u LEFT JOIN orders o ON o.user_id = u.id FOR UPDATE;
SELECT country, count(*) FROM users GROUP BY country FOR UPDATE;
SELECT DISTINCT country FROM users FOR UPDATE;
-- with 3|9
SELECT id FROM users WHERE id IN ($1, $2) FOR UPDATE;
SELECT u.id FROM users u WHERE active AND EXISTS (SELECT FROM orders o WHERE o.user_id = u.id) FOR UPDATE;
-- refused no shard can find alone
SELECT id, (SELECT count(*) FROM orders o WHERE o.user_id = u.id) FROM users u WHERE active FOR UPDATE;
SELECT 1 FOR UPDATE;
SELECT id FROM users FOR UPDATE OF nothing;
SELECT id FROM users WHERE id = 4 LIMIT 1 FOR UPDATE SKIP LOCKED;
-- refused a reference table together
SELECT u.id FROM users u JOIN countries c ON c.code = u.country FOR UPDATE;
-- refused a reference table together
SELECT u.id FROM users u JOIN countries c ON c.code = u.country WHERE u.id = 3 FOR UPDATE;
-- refused LIMIT
SELECT id FROM users ORDER BY id LIMIT 3 FOR UPDATE;
-- refused OFFSET
SELECT id FROM users LIMIT 3 OFFSET 1 FOR UPDATE SKIP LOCKED;
-- refused a view
SELECT id FROM recent_orders FOR UPDATE;
-- refused no shard can find alone
SELECT id FROM users WHERE balance > (SELECT avg(balance) FROM users) FOR UPDATE;
-- refused SKIP LOCKED
SELECT code FROM countries FOR UPDATE SKIP LOCKED;
