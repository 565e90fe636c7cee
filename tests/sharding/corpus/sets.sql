SELECT id FROM users UNION SELECT user_id FROM orders;
SELECT id FROM users UNION ALL SELECT id FROM orders;
SELECT id FROM users INTERSECT SELECT user_id FROM orders;
SELECT id FROM users EXCEPT SELECT user_id FROM orders;
SELECT user_id FROM orders EXCEPT ALL SELECT user_id FROM items;
SELECT user_id FROM orders INTERSECT ALL SELECT user_id FROM events;
-- ordered
SELECT name FROM users UNION SELECT name FROM countries ORDER BY name;
-- ordered
(SELECT id FROM users ORDER BY id LIMIT 3) UNION ALL (SELECT id FROM orders ORDER BY id DESC LIMIT 2) ORDER BY 1;
SELECT id FROM users WHERE id = 3 UNION ALL SELECT id FROM orders WHERE user_id = 3;
SELECT id FROM users WHERE id = 3 UNION ALL SELECT id FROM orders WHERE user_id = 4;
SELECT NULL UNION SELECT born FROM users;
VALUES (1, 'a'), (2, 'b');
SELECT * FROM (VALUES (1), (2)) v(id) JOIN users USING (id);
SELECT count(*) FROM (SELECT id FROM users UNION SELECT id FROM orders UNION SELECT id FROM items) x;
TABLE users UNION ALL TABLE users;
