SELECT id, name FROM users WHERE name > 'Ole';
SELECT id, name FROM users WHERE name < 'co' OR name ILIKE 'e%';
SELECT id FROM users WHERE born BETWEEN '1970-01-01' AND '1990-01-01';
SELECT id FROM users WHERE NOT active OR active IS NULL;
SELECT id FROM users WHERE active IS NOT TRUE;
SELECT id FROM users WHERE rating = 'NaN';
SELECT id, rating FROM users WHERE rating = 0;
SELECT id FROM users WHERE 't1' = ANY(tags);
SELECT id FROM users WHERE tags @> ARRAY['t1'];
SELECT id FROM users WHERE profile->>'level' = '2';
SELECT id FROM users WHERE profile @> '{"level": 1}';
SELECT id FROM users WHERE email IS NULL;
SELECT id FROM users WHERE length(name) > 5 AND balance < 0;
SELECT id FROM users WHERE balance / nullif(id - 10, 0) > 2;
SELECT id FROM orders WHERE status > 'paid' AND total IS NOT NULL;
SELECT id FROM orders WHERE status IN ('new', 'lost');
SELECT id FROM orders WHERE placed >= date '2024-02-10';
SELECT id FROM events WHERE kind < 'a';
SELECT id FROM events WHERE ip << '10.0.1.0/24';
SELECT id FROM events WHERE during @> timestamptz '2024-01-03 12:00+00';
SELECT id FROM events WHERE at = 'infinity';
SELECT id FROM events WHERE flags & B'0001' = B'0001' AND small > 50;
SELECT id FROM users WHERE country = 'de' AND country <> 'fr';
SELECT id FROM users WHERE name COLLATE "C" < 'a';
-- with 200|paid
SELECT id FROM orders WHERE total > $1 AND status = $2;
-- with Bob%
SELECT id FROM users WHERE name LIKE $1;
-- with 3
SELECT id + $1 FROM users WHERE balance > $1;
SELECT id FROM users WHERE id > 10 AND id <= 20;
SELECT id FROM users WHERE id NOT IN (1, 2, 3);
SELECT id FROM users WHERE name = 'nobody';
SELECT id FROM orders WHERE note = E'\\x' OR note = 'Gift';
SELECT id FROM users u WHERE u.name SIMILAR TO 'B%';
SELECT id FROM users WHERE (balance, id) > (100, 20);
SELECT id FROM orders WHERE total > 'abc';
SELECT nothing FROM users;
SELECT 1 / (id - 5) FROM users;
