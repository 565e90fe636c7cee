UPDATE users SET balance = balance + 1 WHERE id IN (SELECT user_id FROM orders WHERE total > 300);
UPDATE users SET balance = 0 WHERE NOT EXISTS (SELECT FROM orders o WHERE o.user_id = users.id);
UPDATE users SET balance = (SELECT sum(total) FROM orders o WHERE o.user_id = users.id);
UPDATE users SET balance = (SELECT sum(total) FROM orders) WHERE id < 5 RETURNING id, balance;
UPDATE users SET balance = balance + (SELECT max(balance) FROM users);
UPDATE users SET name = u.name FROM users u WHERE u.id = users.id + 1;
UPDATE users AS x SET name = y.name || x.name FROM users y WHERE y.id = x.id + 1 AND y.id < 10 RETURNING x.id, x.name, y.id;
UPDATE orders SET note = u.name FROM users u WHERE u.id = orders.user_id;
UPDATE orders o SET note = u.name FROM users u WHERE u.id = o.user_id AND u.active RETURNING o.id, u.id;
UPDATE orders SET note = i.sku FROM items i WHERE i.user_id = orders.user_id AND i.order_id = orders.id AND i.quantity = 3 AND i.id % 7 = 0;
UPDATE orders SET note = i.sku FROM items i WHERE i.order_id = orders.id AND i.id < 200 AND i.id % 240 = orders.id;
UPDATE orders SET note = c.name FROM users u JOIN countries c ON c.code = u.country WHERE u.id = orders.user_id;
UPDATE orders SET status = 'archived', placed = '2024-01-01' WHERE total > (SELECT avg(total) FROM orders) RETURNING id;
-- refused LIMIT
UPDATE orders SET note = 'x' WHERE id IN (SELECT id FROM orders ORDER BY total DESC NULLS LAST LIMIT 5);
-- refused LIMIT
DELETE FROM orders WHERE id IN (SELECT id FROM items LIMIT 5);
UPDATE users SET tags = (SELECT array_agg(sku ORDER BY id) FROM items i WHERE i.user_id = users.id);
UPDATE users SET created = now();
UPDATE users SET created = now() - interval '1 second' WHERE id IN (1, 2, 3, 4);
UPDATE users SET created = current_timestamp, name = current_user RETURNING id;
UPDATE users SET name = to_char(date '2024-03-01', 'Month') || random() * 0;
UPDATE accounts SET token = gen_random_uuid();
UPDATE accounts SET token = DEFAULT, plan = DEFAULT, created = '2024-01-01' WHERE id > 20;
UPDATE accounts SET plan = 'late', created = DEFAULT WHERE id = 3;
UPDATE accounts SET (plan, email) = ('x', 'y') WHERE id > 5 RETURNING id, plan, email, label;
UPDATE accounts SET (plan, email) = (SELECT name, left(email, 20) FROM users u WHERE u.id = accounts.id) WHERE id > 5;
UPDATE accounts SET tags[2] = 'b', balance = balance + 1;
UPDATE accounts SET balance = 1 / (id - 7);
UPDATE accounts SET code = -1;
UPDATE notes SET note = note || '!' RETURNING *;
UPDATE notes SET note = 'x' WHERE user_id IS NULL;
WITH big AS (SELECT user_id FROM orders GROUP BY 1 HAVING sum(total) > 500) UPDATE users SET name = 'big' WHERE id IN (SELECT user_id FROM big) RETURNING id;
WITH one AS (SELECT 3 AS k) DELETE FROM users USING one WHERE id = one.k;
WITH one AS (SELECT * FROM users WHERE id = 3) DELETE FROM orders USING one WHERE user_id = one.id;
WITH d AS (DELETE FROM orders WHERE user_id = 3 RETURNING *) SELECT count(*) FROM d;
WITH d AS (UPDATE users SET name = 'x' WHERE id = 3 RETURNING *) SELECT d.name, o.id FROM d JOIN orders o ON o.user_id = d.id WHERE o.user_id = 3;
WITH i AS (INSERT INTO notes VALUES (3, 'x') RETURNING *) UPDATE users SET name = 'y' WHERE id = 3 RETURNING name;
WITH i AS (INSERT INTO notes SELECT user_id, note FROM orders WHERE user_id = 3 RETURNING *) SELECT * FROM i;
-- with 5|x
UPDATE users SET name = $2 WHERE id > $1 AND created < now();
-- with 5|x
UPDATE users SET name = $2 WHERE id IN (SELECT user_id FROM orders WHERE total > $1);
UPDATE users SET name = 'x' WHERE id = 5 AND id = 6;
UPDATE users SET name = 'x' WHERE false;
UPDATE users SET nothing = 1;
UPDATE users SET id = 5, name = 'same' WHERE id = 5;
UPDATE users SET id = 900 WHERE id = 5;
UPDATE users SET id = 901 WHERE id = 5 RETURNING *;
UPDATE users SET id = id + 1000;
UPDATE users SET id = id + 1000, name = upper(name), created = now() WHERE id > 30 RETURNING id, name;
UPDATE users SET id = 8 WHERE id = 5;
UPDATE users SET id = -id WHERE id < 20 RETURNING id;
-- with 5|950
UPDATE users SET id = $2 WHERE id = $1 RETURNING id, name;
UPDATE users SET id = u.id + 2000 FROM users u WHERE u.id = users.id + 1 RETURNING users.id, u.name;
UPDATE users SET id = NULL WHERE id = 3;
UPDATE notes SET user_id = user_id + 1 RETURNING *;
UPDATE notes SET user_id = NULL WHERE user_id = 3;
UPDATE notes SET user_id = 17;
UPDATE notes SET user_id = length(note), note = user_id::text;
UPDATE accounts SET id = id + 100;
UPDATE accounts SET id = id * 3 + 1000, plan = DEFAULT, status = 'lost' RETURNING id, label, status, tags;
UPDATE tickets SET user_id = user_id + 1 WHERE id > 40 RETURNING *;
UPDATE tickets t SET user_id = 3 WHERE t.user_id = 4;
UPDATE words SET word = word || 'x' RETURNING *;
UPDATE words SET word = 'toolongforthis' WHERE n = 3;
UPDATE visits SET sid = '00000000-0000-0000-0000-00000000ffff' WHERE hits = 3 RETURNING *;
UPDATE orders SET user_id = 3 WHERE user_id = 2;
UPDATE archive SET user_id = 3 WHERE user_id = 2;
-- refused which has it in a foreign key
UPDATE children SET user_id = 3 WHERE user_id = 2;
UPDATE children SET order_id = NULL WHERE user_id = 2;
UPDATE countries SET population = 1;
UPDATE countries SET population = population + 1 WHERE code IN ('de', 'fr') RETURNING *;
UPDATE countries SET population = (SELECT count(*) FROM users WHERE country = countries.code);
UPDATE countries SET name = 'x' WHERE NOT EXISTS (SELECT FROM users WHERE country = code) RETURNING code;
UPDATE currencies SET rate = rate * 2, changed = now() WHERE code <> 'EUR';
-- refused on all shards
UPDATE countries SET population = u.id FROM users u WHERE u.country = code;
-- refused VOLATILE
UPDATE currencies SET rate = random();
DELETE FROM countries WHERE code = 'is' RETURNING *;
DELETE FROM countries USING users u WHERE u.country = code AND u.id = 3;
DELETE FROM countries WHERE code NOT IN (SELECT country FROM users WHERE country IS NOT NULL);
DELETE FROM users WHERE id NOT IN (SELECT user_id FROM orders);
DELETE FROM users WHERE id IN (SELECT user_id FROM orders WHERE total > 200) RETURNING id;
DELETE FROM users u USING orders o WHERE o.user_id = u.id AND o.status = 'lost' RETURNING u.id, o.status;
DELETE FROM users u USING users v WHERE v.id = u.id - 1 AND v.active;
DELETE FROM items WHERE (order_id, user_id) IN (SELECT id, user_id FROM orders WHERE status = 'lost');
DELETE FROM items USING orders o JOIN users u ON u.id = o.user_id WHERE o.user_id = items.user_id AND u.active;
DELETE FROM items WHERE quantity > (SELECT avg(quantity) FROM items);
DELETE FROM accounts WHERE created < now();
DELETE FROM accounts WHERE created < now() - interval '1000 years' OR id = 3 RETURNING id;
DELETE FROM orders WHERE user_id = ANY (ARRAY[1, 2, 3]) RETURNING id;
DELETE FROM orders;
-- refused system column
DELETE FROM users WHERE ctid = '(0,1)';
-- refused system column
DELETE FROM users RETURNING ctid;
DELETE FROM users WHERE id = 3 RETURNING users;
DELETE FROM users WHERE id < 5 RETURNING users.*;
-- refused RETURNING
UPDATE users SET name = 'x' RETURNING now();
UPDATE users SET name = 'x' RETURNING id, now() > '2020-01-01' AS late;
-- refused nextval
UPDATE accounts SET id = nextval('accounts_id_seq');
DELETE FROM users WHERE 1 / (id - 3) > 0;
DELETE FROM nowhere;
DELETE FROM parents WHERE id < 120;
-- refused foreign keys point to
UPDATE parents SET user_id = 3 WHERE user_id = 2;
UPDATE accounts SET plan = DEFAULT, token = DEFAULT;
UPDATE accounts SET created = DEFAULT WHERE id = 3;
-- refused default that tells the time
UPDATE accounts SET created = DEFAULT;
-- refused default that draws
UPDATE accounts SET id = DEFAULT WHERE id = 3;
-- refused nextval
UPDATE accounts SET balance = nextval('numbers') WHERE id = 3;
-- refused nextval
DELETE FROM accounts WHERE id = 3 RETURNING nextval('numbers');
