-- ordered
INSERT INTO accounts (email) VALUES ('a'), ('b'), ('c'), ('d') RETURNING id, email, plan, balance, label, status;
-- ordered
INSERT INTO accounts (email, plan) VALUES ('a', DEFAULT), ('b', 'gold'), ('c', upper('x')) RETURNING email, 1 AS one, id + 1, created > '2024-01-01' AS recent, token IS NULL AS none;
INSERT INTO accounts DEFAULT VALUES RETURNING id, plan;
INSERT INTO accounts (id, email) VALUES (300, 'x');
-- ordered
INSERT INTO accounts (id, email) VALUES (300, 'x'), (301, 'y'), (302, 'z'), (303, 'w') RETURNING id, email;
-- ordered
INSERT INTO accounts (id, email) VALUES (DEFAULT, 'x'), (400, 'y'), (DEFAULT, 'z') RETURNING id, email;
INSERT INTO accounts (id, email, status, tags, code, balance) VALUES (1000 + 1, 'x', 'paid', '{a,b}', 3, 1.239), (1000 + 2, NULL, 'lost', NULL, 4, 17);
INSERT INTO accounts (id, code) VALUES (1000, 3), (1001, -1), (1002, 5);
INSERT INTO accounts (email) VALUES ('a mail that is much too long for it'), ('b');
INSERT INTO accounts (email, tags) VALUES ('b', '{longerthanfive}'), ('c', '{}');
INSERT INTO accounts (email, balance) VALUES ('b', 123456789.5), ('c', 1);
-- with a|b
INSERT INTO accounts (email, plan) VALUES ($1, 'x'), ($2, 'y') RETURNING id, email;
-- with a|b|paid
INSERT INTO accounts (email, plan, status) VALUES ($1, 'x', $3), ($2, 'y', $3) RETURNING id, email, status;
INSERT INTO accounts (id, email) VALUES (1, 'x') ON CONFLICT DO NOTHING;
INSERT INTO accounts (id, email) VALUES (1, 'x'), (2, 'y'), (900, 'z') ON CONFLICT DO NOTHING RETURNING id, email;
INSERT INTO accounts (id, email) VALUES (1, 'x'), (2, 'y'), (900, 'z') ON CONFLICT (id) DO UPDATE SET email = excluded.email || accounts.plan RETURNING id, email;
INSERT INTO accounts (id, email) VALUES (1, 'x'), (2, 'y'), (900, 'z') ON CONFLICT (id) DO UPDATE SET email = excluded.email, created = now() RETURNING id, email;
INSERT INTO accounts AS a (id, email) VALUES (1, 'x'), (2, 'y'), (900, 'z') ON CONFLICT (id) DO UPDATE SET email = a.email || excluded.email, created = date_trunc('year', now() - interval '10 years') WHERE a.id <> 2 RETURNING a.id, a.email;
INSERT INTO accounts (id, email) VALUES (1, 'x'), (2, 'y'), (901, 'z') ON CONFLICT ON CONSTRAINT accounts_pkey DO UPDATE SET plan = 'conflict';
-- refused ON CONFLICT
INSERT INTO visits (page) VALUES ('page3') ON CONFLICT (page) DO NOTHING;
-- refused ON CONFLICT
INSERT INTO visits (sid, page) VALUES (gen_random_uuid(), 'page3') ON CONFLICT DO NOTHING;
INSERT INTO visits (sid, page) VALUES ('00000000-0000-0000-0000-00000000001f', 'x') ON CONFLICT (sid) DO UPDATE SET hits = visits.hits + 1 RETURNING *;
-- with 00000000-0000-0000-0000-00000000001f|00000000-0000-0000-0000-00000000003e
INSERT INTO visits (sid, page) VALUES ($1, 'x'), ($2, 'y') ON CONFLICT (sid) DO UPDATE SET hits = visits.hits + 1 RETURNING *;
INSERT INTO visits (sid, page, hits) VALUES ('00000000-0000-0000-0000-000000000001', 'p', 3), ('00000000-0000-0000-0000-000000000002', 'q', 4), ('00000000-0000-0000-0000-000000000003', 'r', 5);
INSERT INTO visits (sid, page) SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'p' || i FROM generate_series(1, 9) i RETURNING *;
INSERT INTO words VALUES ('alpha', 1), ('beta   ', 2), ('gamma', 3);
INSERT INTO words VALUES ('alpha' || 'beta', 1);
INSERT INTO words VALUES (upper('abc'), 1), ('abcdefgh      ', 2), ('toolongaword', 3);
INSERT INTO words SELECT 'x' || n || '            ', n FROM words;
-- ordered
INSERT INTO words SELECT upper(word), n FROM words WHERE n < 10 ORDER BY n RETURNING word, n;
INSERT INTO tickets (user_id, title) VALUES (3, 'one'), (4, 'two'), (5, 'three') RETURNING id, user_id, title;
INSERT INTO tickets (user_id, title) VALUES (3, 'one') RETURNING *;
INSERT INTO tickets (id, user_id, title) OVERRIDING SYSTEM VALUE VALUES (7000, 3, 'one'), (7001, 4, 'two') RETURNING *;
INSERT INTO tickets (id, user_id, title) VALUES (7000, 3, 'one'), (7001, 4, 'two') RETURNING *;
INSERT INTO tickets (id, user_id, title) OVERRIDING USER VALUE VALUES (7000, 3, 'one'), (7001, 4, 'two') RETURNING *;
INSERT INTO tickets (id, user_id, title) VALUES (DEFAULT, 3, 'one'), (DEFAULT, 4, 'two') RETURNING *;
INSERT INTO tickets (user_id, title) SELECT id, 'by ' || id FROM users WHERE id < 20 ORDER BY id RETURNING id > 0, user_id, title, opened = current_date AS today;
INSERT INTO tickets (user_id, title, opened) SELECT id, 'x', 'today' FROM users WHERE id < 9 ORDER BY id RETURNING user_id, title;
INSERT INTO tickets (user_id) VALUES (NULL);
INSERT INTO tickets (user_id, opened) VALUES (3, 'now'), (4, 'tomorrow') RETURNING user_id, opened;
-- refused without its sharding key
INSERT INTO tickets (title) VALUES ('x');
-- refused without its sharding key
INSERT INTO notes (note) SELECT name FROM users;
INSERT INTO notes VALUES (NULL, 'nobody');
INSERT INTO notes VALUES (NULL, 'nobody'), (3, 'three'), (4, NULL), (5) ;
INSERT INTO notes VALUES (NULL, 'nobody'), (3, 'three'), (4, NULL) RETURNING *;
INSERT INTO notes SELECT * FROM notes;
INSERT INTO notes SELECT user_id FROM orders;
INSERT INTO notes SELECT n.user_id, upper(n.note) FROM notes n WHERE n.user_id > 5 RETURNING note;
INSERT INTO notes SELECT user_id, note FROM orders WHERE total > 100;
INSERT INTO notes SELECT user_id, note FROM orders WHERE user_id = 5 RETURNING *;
INSERT INTO notes SELECT 5, note FROM orders WHERE user_id = 5 RETURNING *;
INSERT INTO notes SELECT 6, note FROM orders WHERE user_id = 5 RETURNING *;
INSERT INTO notes SELECT o.user_id, u.name FROM orders o JOIN users u ON u.id = o.user_id;
INSERT INTO notes SELECT o.user_id, u.name FROM orders o LEFT JOIN users u ON u.id = o.user_id;
INSERT INTO notes SELECT u.id, u.name FROM orders o LEFT JOIN users u ON u.id = o.user_id;
INSERT INTO notes SELECT o.user_id, c.name FROM orders o JOIN users u ON u.id = o.user_id JOIN countries c ON c.code = u.country;
INSERT INTO notes SELECT o.id, u.name FROM orders o JOIN users u ON u.id = o.user_id WHERE o.id < 60;
INSERT INTO notes SELECT user_id, count(*) FROM orders GROUP BY user_id;
INSERT INTO notes SELECT u.id, (SELECT max(note) FROM orders o WHERE o.user_id = u.id) FROM users u;
INSERT INTO notes SELECT u.id, (SELECT max(note) FROM orders o) FROM users u WHERE u.id < 30;
-- ordered
INSERT INTO notes SELECT user_id, note FROM orders ORDER BY total DESC NULLS LAST, id LIMIT 7 RETURNING user_id, note;
INSERT INTO notes SELECT DISTINCT user_id, 'ordered' FROM orders;
INSERT INTO notes SELECT user_id, note FROM orders UNION SELECT user_id, sku FROM items;
INSERT INTO notes SELECT id, name FROM users EXCEPT SELECT user_id, note FROM notes;
INSERT INTO notes (note, user_id) SELECT code, 3 FROM countries;
INSERT INTO notes (note, user_id) SELECT code, population FROM countries WHERE population IS NOT NULL RETURNING *;
INSERT INTO notes SELECT i, 'n' || i FROM generate_series(600, 640) i;
INSERT INTO notes (user_id, note) VALUES ((SELECT max(id) FROM users), 'last'), (3, (SELECT name FROM users WHERE id = 40));
INSERT INTO notes (user_id, note) VALUES (3, (SELECT name FROM users WHERE id = 40));
INSERT INTO notes TABLE notes;
INSERT INTO notes (note, user_id) (SELECT 'x', 3.7 UNION ALL SELECT 'y', 4.2) RETURNING *;
INSERT INTO notes (user_id, note) SELECT 3.5, 17 UNION ALL SELECT 9, 18;
INSERT INTO notes (user_id, note) SELECT 'abc', 'x';
INSERT INTO notes (user_id, note) SELECT '17', 'x';
WITH x AS (SELECT user_id, count(*) AS n FROM orders GROUP BY 1) INSERT INTO notes SELECT user_id, n || ' orders' FROM x WHERE n > 3;
WITH x AS (SELECT 7 AS k) INSERT INTO notes SELECT k, 'seven' FROM x RETURNING *;
WITH x(k) AS (VALUES (7), (8)) INSERT INTO notes (user_id, note) SELECT k, 'from with' FROM x RETURNING *;
INSERT INTO notes WITH x AS (SELECT id FROM users) SELECT id, 'inner' FROM x;
-- with 5
INSERT INTO notes SELECT user_id, note FROM orders WHERE total > $1;
-- with 5|text
INSERT INTO notes SELECT $1, $2;
-- with 5|text
INSERT INTO notes SELECT $1, note || $2 FROM orders WHERE user_id < 7;
INSERT INTO archive SELECT * FROM orders;
INSERT INTO archive SELECT * FROM orders WHERE user_id = 9 RETURNING id;
INSERT INTO archive (user_id, id, status) SELECT user_id, id, 'archived' FROM orders WHERE placed < '2024-02-10' ON CONFLICT (user_id, id) DO NOTHING;
INSERT INTO archive (user_id, id, status) SELECT user_id, 1, 'archived' FROM orders ON CONFLICT (user_id, id) DO NOTHING;
INSERT INTO archive (user_id, id, status, total) SELECT user_id, 1, 'archived', total FROM orders ON CONFLICT (user_id, id) DO UPDATE SET total = archive.total + excluded.total;
INSERT INTO archive (id, user_id, status, note) SELECT id, order_id, 'paid', sku FROM items WHERE id < 50 RETURNING *;
INSERT INTO accounts (email, balance) SELECT left(name, 20), balance FROM users WHERE id < 30 ORDER BY id DESC;
INSERT INTO accounts (id, email) SELECT id + 700, left(name, 20) FROM users WHERE id < 30 RETURNING id, email;
INSERT INTO accounts (id, email, created) SELECT id + 700, 'x', created FROM users WHERE id < 30;
INSERT INTO accounts (id, email, created, status) SELECT id + 700, 'x', now(), 'lost' FROM users WHERE id < 30;
INSERT INTO users (id, name, created) VALUES (900, 'a', now()), (901, 'b', current_timestamp), (902, 'c', now());
INSERT INTO users (id, name, created) VALUES (900, 'a', now());
INSERT INTO users (id, name, created) SELECT n, 'gen', now() FROM generate_series(900, 910) n;
INSERT INTO users (id, name, created, profile, tags, rating, born) VALUES (910 + 1, 'x', '2024-01-01', '{"a": [1, 2]}', '{x,NULL,"y,z"}', 'NaN', '2000-02-29'), (910 + 2, 'y', '2024-01-01', 'null', '{}', '-0', NULL) RETURNING *;
INSERT INTO users (id, name, created) VALUES (901, 'a', '2024-01-01'), (901, 'b', '2024-01-01');
INSERT INTO users (id, name, created) VALUES (901, 'a', '2024-01-01'), (902, NULL, '2024-01-01');
INSERT INTO users (id, name, created) VALUES (nextval('numbers'), 'a', '2024-01-01'), (nextval('numbers'), 'b', '2024-01-01') RETURNING id, name;
-- refused sequences
INSERT INTO notes SELECT nextval('numbers'), name FROM users;
INSERT INTO notes SELECT nextval('numbers'), 'n' FROM generate_series(1, 5) RETURNING *;
INSERT INTO countries VALUES ('xx', 'Nowhere', 1), ('yy', 'Elsewhere', 2) RETURNING *;
INSERT INTO countries VALUES ('de', 'Germany', 1) ON CONFLICT (code) DO UPDATE SET name = excluded.name RETURNING *;
INSERT INTO countries VALUES ('de', 'Germany', 1) ON CONFLICT DO NOTHING;
INSERT INTO countries SELECT 'z' || i, 'Zone ' || i, i FROM generate_series(1, 3) i RETURNING name;
INSERT INTO countries SELECT left(min(name), 1) || 'q', count(*), sum(id) FROM users;
INSERT INTO currencies (code, rate) VALUES ('SEK', 11), ('NOK', 11.5) RETURNING id, code, rate;
INSERT INTO currencies (code, rate) VALUES ('SEK', 11) ON CONFLICT (code) DO NOTHING RETURNING id, code;
INSERT INTO currencies (code, rate) VALUES ('EUR', 11) ON CONFLICT (code) DO UPDATE SET rate = excluded.rate, changed = now() RETURNING code, rate;
INSERT INTO currencies (code, rate) VALUES ('EUR', 11);
INSERT INTO currencies (code, rate) VALUES ('SEK', random() * 0 + 3), ('NOK', (SELECT count(*) FROM users));
INSERT INTO currencies (code, changed) VALUES ('SEK', clock_timestamp());
INSERT INTO children VALUES (5000, 3, 5);
INSERT INTO children SELECT id + 6000, user_id, id FROM parents WHERE id > 150;
INSERT INTO children SELECT id + 6000, 1 + user_id, id FROM parents WHERE id > 150;
-- refused undeclared table logs
INSERT INTO logs VALUES (1, 'x');
INSERT INTO nowhere VALUES (1);
INSERT INTO notes (nothing) VALUES (1);
-- refused view
INSERT INTO recent_orders SELECT * FROM orders;
-- refused the time or a sequence in ON CONFLICT
INSERT INTO accounts (id, email) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET created = DEFAULT;
INSERT INTO tickets (user_id, title) VALUES (3, 'a'), (4, 'b'), (3, 'c') RETURNING id, user_id;
INSERT INTO tickets (user_id, title) VALUES (3, 'a') RETURNING id;
INSERT INTO tickets (id, user_id, title) VALUES (DEFAULT, 3, 'a'), (DEFAULT, 4, 'b') RETURNING id;
INSERT INTO tickets (id, user_id, title) VALUES (700, 3, 'a');
INSERT INTO tickets (id, user_id, title) OVERRIDING SYSTEM VALUE VALUES (700, 3, 'a'), (DEFAULT, 4, 'b') RETURNING id;
INSERT INTO tickets (id, user_id, title) OVERRIDING USER VALUE VALUES (700, 3, 'a'), (701, 4, 'b') RETURNING id;
INSERT INTO accounts (id, email) VALUES (3, 'a'), (DEFAULT, 'b'), (4, 'c') ON CONFLICT (id) DO UPDATE SET email = excluded.email RETURNING id, email;
INSERT INTO accounts (email) SELECT name FROM users WHERE id < 9 ORDER BY id RETURNING id, email;
INSERT INTO accounts DEFAULT VALUES RETURNING id;
INSERT INTO currencies (code) VALUES ('GBP'), ('JPY') RETURNING id;
WITH i AS (INSERT INTO tickets (user_id, title) VALUES (3, 'x') RETURNING *) SELECT id, user_id FROM i;
