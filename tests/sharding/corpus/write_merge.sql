MERGE INTO archive a USING orders o ON a.user_id = o.user_id AND a.id = o.id WHEN NOT MATCHED THEN INSERT (id, user_id, status) VALUES (o.id, o.user_id, o.status);
MERGE INTO archive a USING orders o ON a.user_id = o.user_id AND a.id = o.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND o.total > 100 THEN INSERT VALUES (o.id, o.user_id, o.status, o.total, 'merged', '2024-01-01');
MERGE INTO users u USING countries c ON u.country = c.code WHEN MATCHED THEN DELETE;
MERGE INTO users u USING countries c ON u.country = c.code WHEN MATCHED AND u.active THEN UPDATE SET name = c.name WHEN MATCHED THEN DO NOTHING;
MERGE INTO users u USING (VALUES (5, 'five'), (6, 'six')) AS v(id, name) ON u.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name;
MERGE INTO users u USING (SELECT user_id, count(*) AS n FROM orders WHERE user_id = 7 GROUP BY 1) o ON u.id = 7 WHEN MATCHED THEN UPDATE SET name = n::text;
MERGE INTO users u USING (VALUES (5, 'five'), (600, 'six')) AS v(id, name) ON u.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES (v.id, v.name, '2024-01-01');
MERGE INTO users u USING (SELECT 1) AS v ON u.id = 600 WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES (600, 'x', '2024-01-01');
MERGE INTO users u USING (SELECT 1) AS v ON u.id = 5 WHEN MATCHED THEN UPDATE SET name = 'matched' WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES (5, 'x', '2024-01-01');
-- with 5|x
MERGE INTO users u USING (SELECT 1) AS v ON u.id = $1 WHEN MATCHED THEN UPDATE SET name = $2 WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES ($1, $2, '2024-01-01');
-- refused not sharded as its target
MERGE INTO users u USING orders o ON u.id = o.id WHEN MATCHED THEN DELETE;
-- refused sharding key
MERGE INTO users u USING countries c ON u.country = c.code WHEN MATCHED THEN UPDATE SET id = 5;
-- refused not sharded
MERGE INTO countries c USING (VALUES ('de')) v(code) ON v.code = c.code WHEN MATCHED THEN DELETE;
MERGE INTO orders o USING users u ON o.user_id = u.id AND u.active WHEN MATCHED THEN UPDATE SET note = u.name;
MERGE INTO notes n USING users u ON n.user_id = u.id WHEN NOT MATCHED THEN INSERT VALUES (u.id, u.name);
-- refused a key of its own
MERGE INTO notes n USING users u ON n.user_id = u.id WHEN NOT MATCHED THEN INSERT VALUES (u.id + 1, u.name);
MERGE INTO users AS u USING (VALUES (5, 'five'), (600, 'six'), (601, NULL), (6, 'x')) AS v(id, name) ON v.id = u.id AND u.active WHEN MATCHED AND v.name <> 'x' THEN UPDATE SET name = v.name, created = now() WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND v.id > 500 THEN INSERT (id, name, created) VALUES (v.id, v.name, now());
MERGE INTO users u USING (SELECT 700 AS id, 'seven' AS name) v ON u.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES (v.id, v.name, '2024-01-01');
-- with 5|five
MERGE INTO users u USING (SELECT $1::bigint AS id, $2::text AS name) v ON u.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES (id, v.name, '2024-01-01');
-- with 5|five|900
MERGE INTO users u USING (VALUES ($1::bigint, $2::text), ($3::bigint, 'nine'::text)) v(id, name) ON u.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES (v.id, v.name, '2024-01-01');
MERGE INTO words w USING (VALUES ('w3', 3), ('new', 4), ('w5', 5)) v(word, n) ON w.word = v.word WHEN MATCHED THEN UPDATE SET n = w.n + v.n WHEN NOT MATCHED THEN INSERT VALUES (v.word, v.n);
-- refused types depend
MERGE INTO words w USING (VALUES ('w3', 3), ('new', 4.5), ('w5', 5)) v(word, n) ON w.word = v.word WHEN MATCHED THEN UPDATE SET n = w.n + v.n WHEN NOT MATCHED THEN INSERT VALUES (v.word, v.n);
MERGE INTO users u USING (VALUES (5, 'five'), (5, 'again')) AS v(id, name) ON u.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES (v.id, v.name, '2024-01-01');
-- refused a key of its own
MERGE INTO users u USING (VALUES (5, 'five'), (600, 'six')) AS v(id, name) ON u.name = v.name WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES (v.id, v.name, '2024-01-01');
-- refused a key of its own
MERGE INTO users u USING (VALUES (5, 'five'), (600, 'six')) AS v(id, name) ON u.id = v.id WHEN NOT MATCHED THEN INSERT (id, name, created) VALUES (v.id + 1, v.name, '2024-01-01');
-- refused draw from sequences
MERGE INTO tickets t USING users u ON t.user_id = u.id WHEN NOT MATCHED THEN INSERT (user_id, title) VALUES (u.id, 'x');
-- refused draw from sequences
MERGE INTO tickets t USING (VALUES (3, 'x')) v(id, title) ON t.user_id = v.id AND t.id = 7 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (user_id, title) VALUES (3, 'x');
-- refused tell the time
MERGE INTO accounts a USING users u ON a.id = u.id WHEN NOT MATCHED THEN INSERT (id, email) VALUES (u.id, 'x');
