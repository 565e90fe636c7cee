SELECT * FROM users WHERE id = 7;
SELECT name FROM users WHERE id = '7';
SELECT name FROM users WHERE 7 = id AND active;
-- with 9
SELECT * FROM users WHERE id = $1;
-- with NULL
SELECT * FROM users WHERE id = $1;
-- with 9|20
SELECT * FROM orders WHERE user_id = $1 AND total > $2;
-- with {3,4,5}
SELECT id, name FROM users WHERE id = ANY($1);
-- with {3,4,5}
SELECT count(*), sum(total) FROM orders WHERE user_id = ANY($1);
SELECT * FROM users WHERE id IN (1, 2, 3);
SELECT * FROM users WHERE id = ANY('{1,2,3}');
SELECT * FROM users WHERE id = ANY(ARRAY[4, 5]);
SELECT * FROM users WHERE id = 1 OR id = 2;
SELECT * FROM users WHERE id = 1 OR name = 'Bob 1';
SELECT * FROM users WHERE (id = 1 AND active) OR (id = 2 AND NOT active);
SELECT * FROM users WHERE NOT id = 5;
SELECT * FROM users WHERE id = NULL;
SELECT * FROM users WHERE id IN (3, NULL);
SELECT * FROM users WHERE id = 5.0;
SELECT * FROM users WHERE id = 5::int;
SELECT * FROM users WHERE id = '5'::bigint;
SELECT * FROM users WHERE id = 2 + 3;
SELECT * FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = 8;
SELECT * FROM users u JOIN orders o ON o.user_id = u.id JOIN items i ON i.user_id = o.user_id AND i.order_id = o.id WHERE u.id = 8;
SELECT * FROM users u LEFT JOIN orders o ON o.user_id = u.id AND o.total > 100 WHERE u.id = 8;
SELECT * FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE o.user_id = 8;
SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id AND u.id = 8;
SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id AND o.user_id = 8;
SELECT u.id, o.id FROM users u RIGHT JOIN orders o ON o.user_id = u.id AND o.user_id = 8;
SELECT u.id, o.id FROM users u FULL JOIN orders o ON o.user_id = u.id AND u.id = 8;
SELECT u.id, o.id FROM users u FULL JOIN orders o ON o.user_id = u.id WHERE u.id = 8;
SELECT * FROM orders JOIN items USING (user_id) WHERE user_id = 12;
SELECT * FROM orders LEFT JOIN items USING (user_id) WHERE user_id = 12;
SELECT user_id FROM orders FULL JOIN events USING (user_id) WHERE user_id = 12;
SELECT * FROM users WHERE id = 8 AND EXISTS (SELECT 1 FROM orders o WHERE o.user_id = users.id);
SELECT * FROM users WHERE id = 8 AND EXISTS (SELECT 1 FROM orders o WHERE o.user_id = 9);
SELECT * FROM users WHERE id IN (SELECT user_id FROM orders WHERE user_id = 8);
SELECT (SELECT count(*) FROM orders o WHERE o.user_id = u.id) FROM users u WHERE id = 3;
SELECT u.name, x.total FROM users u, LATERAL (SELECT total FROM orders o WHERE o.user_id = u.id ORDER BY total LIMIT 1) x WHERE u.id = 5;
SELECT * FROM users a, users b WHERE a.id = 3 AND b.id = 4;
SELECT * FROM (SELECT * FROM orders WHERE user_id = 4) o WHERE o.total > 10;
SELECT * FROM (SELECT * FROM orders) o WHERE o.user_id = 4;
WITH o AS (SELECT * FROM orders WHERE user_id = 4) SELECT count(*) FROM o;
WITH orders AS (SELECT 4 AS user_id, 9 AS total) SELECT * FROM orders WHERE user_id = 4;
WITH users AS (SELECT * FROM users WHERE id = 4) SELECT * FROM users WHERE id = 5;
SELECT * FROM orders WHERE (user_id, id) = (8, 1);
SELECT * FROM countries WHERE code = 'de';
SELECT 1, 'x'::text, NULL;
SELECT c.name FROM users u JOIN countries c ON c.code = u.country WHERE u.id = 3;
SELECT * FROM users WHERE id = 100000;
SELECT * FROM orders o WHERE o.user_id = (SELECT 4);
SELECT * FROM users FOR UPDATE LIMIT 0 -- comment
;
SELECT id FROM users WHERE id = 4 FOR UPDATE;
