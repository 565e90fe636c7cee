WITH d AS (DELETE FROM orders WHERE user_id < 5 RETURNING *) SELECT count(*) FROM d;
WITH d AS (DELETE FROM orders WHERE total > 300 RETURNING id, user_id, status, total) SELECT status, count(*), sum(total) FROM d GROUP BY status;
WITH d AS (DELETE FROM orders RETURNING 1) SELECT count(*) FROM d;
WITH d AS (DELETE FROM orders WHERE user_id < 9 RETURNING *) SELECT * FROM d;
-- ordered
WITH d AS (DELETE FROM orders WHERE user_id < 9 RETURNING *) SELECT d.*, id + 1 AS next FROM d ORDER BY total DESC, id LIMIT 5;
WITH d AS (DELETE FROM users WHERE id < 9 RETURNING *) SELECT * FROM d;
WITH moved AS (DELETE FROM orders WHERE total > 200 RETURNING *) INSERT INTO archive SELECT * FROM moved;
WITH moved AS (DELETE FROM orders WHERE total > 200 RETURNING *) INSERT INTO archive SELECT moved.* FROM moved WHERE status <> 'lost' RETURNING id, total;
WITH moved AS (DELETE FROM orders o USING users u WHERE u.id = o.user_id AND u.active RETURNING o.*) INSERT INTO archive SELECT * FROM moved;
WITH old AS (SELECT id FROM users WHERE NOT active), moved AS (DELETE FROM orders WHERE user_id IN (SELECT id FROM old) RETURNING user_id, note) INSERT INTO notes SELECT * FROM moved;
WITH old AS (SELECT id FROM users WHERE NOT active), moved AS (DELETE FROM orders WHERE user_id IN (SELECT id FROM old) RETURNING user_id, note) SELECT moved.user_id, note, old.id FROM moved JOIN old ON old.id = moved.user_id;
WITH new AS (INSERT INTO notes SELECT id, name FROM users WHERE active RETURNING *) SELECT count(*), min(note) FROM new;
WITH new AS (INSERT INTO notes VALUES (3, 'x'), (4, 'y'), (5, NULL) RETURNING *) SELECT new.note, u.name FROM new JOIN users u ON u.id = new.user_id;
WITH new(a, b) AS (INSERT INTO notes VALUES (3, 'x'), (4, 'y') RETURNING *) SELECT a, b FROM new;
WITH new AS (INSERT INTO accounts (email) VALUES ('a'), ('b'), ('c') RETURNING id, email) INSERT INTO notes SELECT id, email FROM new RETURNING *;
WITH new AS (INSERT INTO accounts (email) VALUES ('a') RETURNING id) INSERT INTO tickets (user_id, title) SELECT id, 'first' FROM new RETURNING id, user_id, title;
WITH new AS (INSERT INTO accounts (email, tags, status, code) VALUES ('a', '{x,y}', 'lost', 7) RETURNING *) SELECT id, email, plan, label, status, tags, code, balance, token IS NULL AS tokenless FROM new;
WITH u AS (UPDATE users SET name = name || '!' WHERE id > 20 RETURNING id, name) SELECT u.name, o.total FROM u JOIN orders o ON o.user_id = u.id;
WITH u AS (UPDATE users SET name = upper(name) RETURNING id, name AS n) UPDATE orders SET note = u.n FROM u WHERE u.id = orders.user_id;
WITH u AS (UPDATE users SET active = NOT active WHERE active RETURNING id) DELETE FROM items USING u WHERE items.user_id = u.id RETURNING items.id;
WITH u AS (UPDATE users SET active = false) DELETE FROM notes;
WITH a AS (DELETE FROM notes WHERE user_id < 4 RETURNING *), b AS (DELETE FROM words WHERE n < 4 RETURNING *) SELECT (SELECT count(*) FROM a) AS a, (SELECT count(*) FROM b) AS b;
WITH a AS (INSERT INTO accounts (email) VALUES ('a'), ('b') RETURNING id), b AS (INSERT INTO notes SELECT id, 'n' FROM a RETURNING user_id, note) INSERT INTO archive (id, user_id, status) SELECT 1, user_id, 'new' FROM b;
WITH a AS (DELETE FROM orders WHERE user_id = 3 RETURNING *), b AS (INSERT INTO archive SELECT * FROM a) SELECT id, total FROM a;
WITH k AS (UPDATE notes SET user_id = user_id + 1 WHERE user_id < 10 RETURNING user_id, note) SELECT user_id, count(*) FROM k GROUP BY user_id;
WITH r AS (UPDATE currencies SET rate = rate * 2 WHERE code <> 'EUR' RETURNING code, rate) SELECT * FROM r;
WITH c AS (INSERT INTO archive SELECT * FROM orders o WHERE total > 250 ON CONFLICT DO NOTHING RETURNING id, user_id) DELETE FROM orders USING c WHERE c.id = orders.id AND c.user_id = orders.user_id;
WITH i AS (INSERT INTO notes VALUES (3, 'x') RETURNING *) UPDATE users SET name = 'y';
WITH d AS (DELETE FROM words RETURNING word, n) SELECT word, n FROM d WHERE n > 25;
WITH d AS (DELETE FROM visits WHERE hits < 5 RETURNING *) SELECT page, hits FROM d;
WITH d AS (DELETE FROM nowhere RETURNING *) SELECT * FROM d;
WITH d AS (DELETE FROM notes RETURNING nothing) SELECT * FROM d;
WITH d AS (DELETE FROM notes RETURNING *) SELECT nothing FROM d;
WITH d AS (DELETE FROM notes) SELECT * FROM d;
WITH d AS (UPDATE orders SET total = 100 / (id - 105) RETURNING id) SELECT count(*) FROM d;
-- with 5|x
WITH d AS (DELETE FROM orders WHERE user_id > $1 RETURNING user_id) INSERT INTO notes SELECT user_id, $2 FROM d;
-- with x|5
WITH d AS (DELETE FROM orders WHERE user_id > $2 RETURNING user_id) INSERT INTO notes SELECT user_id, $1 FROM d;
-- with 5|7
WITH d AS (DELETE FROM orders WHERE user_id = $1 RETURNING user_id, note) INSERT INTO notes SELECT $2, note FROM d RETURNING *;
-- with 17
WITH d AS (DELETE FROM orders WHERE user_id < 5 RETURNING id) SELECT count(*) FROM d WHERE id > $1;
-- refused which another part names
WITH d AS (DELETE FROM notes WHERE user_id < 5 RETURNING *) SELECT count(*) FROM notes;
-- refused which another part names
WITH d AS (DELETE FROM notes WHERE user_id < 5 RETURNING *) INSERT INTO notes SELECT user_id + 1, note FROM d;
-- refused foreign keys point
WITH d AS (DELETE FROM parents WHERE user_id < 5 RETURNING *) DELETE FROM children USING d WHERE children.order_id = d.id;
-- refused foreign keys point
WITH d AS (INSERT INTO children SELECT id + 1000, user_id, id FROM parents RETURNING user_id, order_id) INSERT INTO parents SELECT order_id + 5000, user_id FROM d;
-- refused beside a view
WITH d AS (DELETE FROM items RETURNING user_id) SELECT count(*) FROM recent_orders JOIN d USING (user_id);
-- refused anything but columns
WITH d AS (DELETE FROM items RETURNING id * 2 AS double) SELECT sum(double) FROM d;
-- refused function that may read
WITH d AS (DELETE FROM items RETURNING id) SELECT number_of_orders() FROM d;
