INSERT INTO users (id, name, created) VALUES (200, 'new', '2024-01-01');
INSERT INTO users (id, name, created) VALUES (200, 'a', '2024-01-01'), (201, 'b', '2024-01-01'), (202, 'c), (', '2024-01-01') RETURNING id, name;
-- with 300|301
INSERT INTO users (id, name, created) VALUES ($1, 'a', '2024-01-01'), ($2, 'b', '2024-01-01');
INSERT INTO orders VALUES (900, 4, 'new', 1.5), (901, 5, 'paid', 2.5), (902, 6, 'paid', (3 + 4) * 2);
INSERT INTO orders (id, user_id, status) VALUES (7, 50, 'new') ON CONFLICT (user_id, id) DO UPDATE SET total = 5 RETURNING total;
INSERT INTO users (id, name, created) VALUES (3, 'dup', '2024-01-01');
-- refused without its sharding key
INSERT INTO orders (id, status) VALUES (7, 'new');
INSERT INTO orders (id, user_id, status) VALUES (7, 1 + 1, 'new');
INSERT INTO orders (id, user_id, status) VALUES (7, 50, 'new') ON CONFLICT DO NOTHING;

INSERT INTO orders SELECT * FROM orders;
UPDATE users SET name = 'x' WHERE id = 5;
UPDATE users SET name = name || '!', balance = balance * 2 WHERE id = 5 RETURNING *;
UPDATE users SET active = NOT active;
UPDATE orders SET total = total + 1 WHERE status = 'paid' RETURNING id, total;
UPDATE orders SET note = u.name FROM users u WHERE u.id = orders.user_id AND u.id = 5;
UPDATE users SET name = c.name FROM countries c WHERE c.code = users.country;
UPDATE users SET name = 'x' WHERE id IN (1, 2, 3);
UPDATE users SET id = 900 WHERE id = 5;
UPDATE orders SET note = u.name FROM users u WHERE u.id = orders.user_id;
UPDATE users SET created = current_timestamp;
UPDATE users SET created = now();
UPDATE users SET created = now() - now() + timestamptz '2024-01-01 00:00+00' WHERE id = 4;
UPDATE countries SET population = 1;
DELETE FROM orders WHERE user_id = 5;
DELETE FROM orders WHERE total > 200;
DELETE FROM items USING orders o WHERE o.user_id = items.user_id AND o.id = items.order_id AND o.user_id = 9;
DELETE FROM orders WHERE user_id IN (5, 6) RETURNING user_id, id;
DELETE FROM events;
DELETE FROM users WHERE id NOT IN (SELECT user_id FROM orders);
TRUNCATE orders;
TRUNCATE users, items;
TRUNCATE notes RESTART IDENTITY CASCADE;
TRUNCATE parents;
-- refused undeclared table logs
TRUNCATE logs;
TRUNCATE nowhere;
