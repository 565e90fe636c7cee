SELECT date_trunc('week', placed) AS week, count(*) AS orders, sum(total) AS revenue, round(avg(total), 2) AS mean FROM orders GROUP BY 1;
-- ordered
SELECT date_trunc('day', placed)::date AS day, count(*) FROM orders GROUP BY 1 ORDER BY 1;
-- ordered
SELECT extract(month FROM placed) AS m, status, count(*) FROM orders GROUP BY 1, 2 ORDER BY 1, 2;
-- ordered
SELECT to_char(placed, 'YYYY-MM') AS month, sum(total) FROM orders GROUP BY to_char(placed, 'YYYY-MM') ORDER BY month DESC;
SELECT CASE WHEN total < 100 THEN 'small' WHEN total < 300 THEN 'medium' ELSE 'large' END AS size, count(*), avg(total) FROM orders GROUP BY 1;
SELECT CASE WHEN total < 100 THEN 1 ELSE 2 END, sum(CASE WHEN status = 'paid' THEN 1 ELSE 0 END) FROM orders GROUP BY CASE WHEN total < 100 THEN 1 ELSE 2 END;
SELECT status, sum(CASE WHEN note IS NULL THEN total ELSE 0 END), sum(CASE WHEN note IS NOT NULL THEN total END) FROM orders GROUP BY status;
SELECT sku, sum(quantity * price), avg(quantity * price), max(quantity * price) - min(quantity * price) FROM items GROUP BY sku;
-- ordered
SELECT sku, sum(quantity) AS q FROM items GROUP BY sku HAVING sum(quantity) > 90 ORDER BY q DESC, sku;
-- ordered
SELECT sku, sum(quantity) AS q FROM items GROUP BY sku ORDER BY sum(quantity) DESC, sku LIMIT 3;
-- ordered
SELECT sku, count(*) FROM items GROUP BY sku ORDER BY 2 DESC, 1 OFFSET 4 LIMIT 5;
SELECT quantity % 3 AS rest, sum(id), min(sku), max(sku) FROM items GROUP BY rest;
SELECT quantity + 1, count(*) FROM items GROUP BY quantity + 1 HAVING quantity + 1 > 3;
SELECT (quantity + 1) * 2, count(*) FROM items GROUP BY quantity + 1;
SELECT a.quantity + 1 * 2, count(*) FROM items a GROUP BY a.quantity + 1 * 2;
SELECT sum(x.q) FROM (SELECT user_id, sum(quantity) AS q FROM items GROUP BY user_id) x WHERE x.q > 20;
SELECT x.user_id, x.q, u.name FROM (SELECT user_id, sum(quantity) AS q FROM items GROUP BY user_id) x JOIN users u ON u.id = x.user_id WHERE x.q > 40;
SELECT u.country, avg(x.n), max(x.n) FROM users u JOIN (SELECT user_id, count(*) AS n FROM orders GROUP BY user_id) x ON x.user_id = u.id GROUP BY u.country;
SELECT c.name, count(DISTINCT u.id), count(o.id), sum(o.total) FROM countries c LEFT JOIN users u ON u.country = c.code LEFT JOIN orders o ON o.user_id = u.id GROUP BY c.name;
-- ordered
SELECT c.code, c.population, count(*) AS n FROM users u JOIN countries c ON c.code = u.country GROUP BY c.code, c.population ORDER BY n DESC, c.code;
SELECT c.code, c.name, count(*) FROM users u JOIN countries c ON c.code = u.country GROUP BY c.code;
SELECT u.id, u.name, count(o.id), coalesce(sum(o.total), 0) FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.id;
SELECT u.id, u.name, u.balance, max(o.placed) FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.id, u.name, u.balance HAVING count(*) > 4;
SELECT status, count(*) FILTER (WHERE total > 100), count(*) FILTER (WHERE total <= 100), sum(total) FILTER (WHERE note IS NULL), avg(total) FILTER (WHERE note = 'Gift') FROM orders GROUP BY status;
SELECT count(*), count(total), count(DISTINCT total), sum(DISTINCT quantity) FROM orders JOIN items ON items.user_id = orders.user_id AND items.order_id = orders.id;
SELECT count(DISTINCT (country, active)) FROM users;
SELECT country, count(DISTINCT active), count(*) FROM users GROUP BY country;
SELECT string_agg(DISTINCT country, '/' ORDER BY country DESC) FROM users;
SELECT country, string_agg(name, ', ' ORDER BY balance DESC NULLS LAST, id) FROM users GROUP BY country;
SELECT country, array_agg(id ORDER BY id) FILTER (WHERE active) FROM users GROUP BY country;
SELECT status, json_agg(json_build_object('id', id, 'total', total) ORDER BY id) FROM orders WHERE id < 20 GROUP BY status;
SELECT jsonb_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM orders GROUP BY status) x;
SELECT percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY total) FROM orders;
SELECT status, percentile_disc(0.5) WITHIN GROUP (ORDER BY total), mode() WITHIN GROUP (ORDER BY note) FROM orders GROUP BY status;
SELECT stddev_samp(quantity), var_pop(quantity), round(covar_pop(quantity, id)::numeric, 6), regr_slope(quantity, id) IS NOT NULL FROM items;
SELECT country, active, count(*), sum(balance) FROM users GROUP BY GROUPING SETS ((country, active), (country), ());
-- ordered
SELECT country, active, grouping(country), grouping(active), count(*) FROM users GROUP BY CUBE (country, active) ORDER BY grouping(country), grouping(active), country, active;
SELECT status, date_trunc('month', placed), sum(total) FROM orders GROUP BY ROLLUP (status, date_trunc('month', placed));
SELECT status, sum(total), sum(sum(total)) OVER (), round(100 * sum(total) / sum(sum(total)) OVER (), 2) FROM orders GROUP BY status;
SELECT status, count(*), rank() OVER (ORDER BY count(*) DESC) FROM orders GROUP BY status;
-- ordered
SELECT day, n, sum(n) OVER (ORDER BY day) AS running FROM (SELECT placed::date AS day, count(*) AS n FROM orders GROUP BY 1) x ORDER BY day;
-- ordered
SELECT placed::date AS day, sum(count(*)) OVER (ORDER BY placed::date) FROM orders GROUP BY placed::date ORDER BY 1;
SELECT user_id, id, row_number() OVER (PARTITION BY user_id ORDER BY placed DESC) FROM orders;
SELECT * FROM (SELECT user_id, id, total, rank() OVER (PARTITION BY user_id ORDER BY total DESC NULLS LAST) AS r FROM orders) x WHERE r <= 2;
SELECT user_id, id, total - lag(total) OVER w AS change, first_value(id) OVER w FROM orders WINDOW w AS (PARTITION BY user_id ORDER BY id);
SELECT user_id, id, sum(total) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM orders WINDOW w AS (PARTITION BY user_id ORDER BY id);
SELECT user_id, id, sum(total) OVER (w ORDER BY id) FROM orders WINDOW w AS (PARTITION BY status);
SELECT id, avg(total) OVER (ORDER BY placed ROWS BETWEEN 3 PRECEDING AND 3 FOLLOWING) FROM orders;
SELECT id, count(*) OVER (PARTITION BY status), count(*) OVER () FROM orders;
SELECT id, nth_value(total, 2) OVER (PARTITION BY user_id ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM orders;
SELECT id, cume_dist() OVER (ORDER BY total), percent_rank() OVER (ORDER BY total) FROM orders WHERE total IS NOT NULL;
SELECT u.name, o.id, sum(o.total) OVER (PARTITION BY u.id ORDER BY o.id) FROM users u JOIN orders o ON o.user_id = u.id;
SELECT u.name, o.id, rank() OVER (ORDER BY o.total DESC NULLS LAST, o.id) FROM users u JOIN orders o ON o.user_id = u.id WHERE u.active;
-- ordered
SELECT u.country, o.status, sum(o.total), rank() OVER (PARTITION BY u.country ORDER BY sum(o.total) DESC NULLS LAST, o.status) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.country, o.status ORDER BY 1, 4, 2;
SELECT DISTINCT u.country, o.status FROM users u JOIN orders o ON o.user_id = u.id;
SELECT DISTINCT user_id, status FROM orders;
SELECT DISTINCT user_id % 5 FROM orders;
SELECT DISTINCT date_trunc('month', placed) FROM orders;
-- ordered
SELECT DISTINCT ON (user_id) user_id, id, total FROM orders ORDER BY user_id, total DESC NULLS LAST, id;
-- ordered
SELECT DISTINCT ON (o.status) o.status, u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id ORDER BY o.status, o.total DESC NULLS LAST, o.id;
-- ordered
SELECT DISTINCT ON (status, note) id, status FROM orders ORDER BY status, note, id DESC LIMIT 7;
-- ordered
SELECT total FROM orders ORDER BY total DESC NULLS FIRST FETCH FIRST 20 ROWS WITH TIES;
-- ordered
SELECT quantity FROM items ORDER BY quantity OFFSET 5 FETCH NEXT 10 ROWS WITH TIES;
-- ordered
SELECT quantity FROM items ORDER BY quantity FETCH FIRST 0 ROWS WITH TIES;
-- ordered
SELECT id, quantity FROM items ORDER BY quantity DESC, id FETCH FIRST ROW ONLY;
-- ordered
SELECT name FROM users ORDER BY name FETCH FIRST 5 ROWS WITH TIES;
-- ordered
SELECT o.id, u.name FROM orders o JOIN users u ON u.id = o.user_id ORDER BY u.name, o.id LIMIT 10 OFFSET 5;
-- ordered
SELECT * FROM users u JOIN orders o ON o.user_id = u.id ORDER BY u.name DESC, o.id LIMIT 10;
-- ordered
SELECT u.*, o.total FROM users u LEFT JOIN orders o ON o.user_id = u.id ORDER BY u.name, o.id LIMIT 12;
-- ordered
SELECT id, unnest(tags) AS tag FROM users ORDER BY name, tag NULLS FIRST LIMIT 9;
-- ordered
SELECT id, jsonb_array_elements_text(profile->'list') AS x FROM users ORDER BY name DESC, x LIMIT 5;
-- with 3|2
-- ordered
SELECT id, name FROM users ORDER BY name LIMIT $1 OFFSET $2;
-- with NULL|4
-- ordered
SELECT id FROM users ORDER BY id LIMIT $1 OFFSET $2;
-- with -1
SELECT id FROM users ORDER BY id LIMIT $1;
SELECT id FROM users ORDER BY id LIMIT 9223372036854775807 OFFSET 55;
-- ordered
SELECT id FROM users ORDER BY id LIMIT 3 + 1;
SELECT count(*) FROM users LIMIT 0;
SELECT user_id FROM orders GROUP BY user_id HAVING bool_and(total > 50);
SELECT user_id, array_agg(DISTINCT status ORDER BY status), string_agg(note, ',' ORDER BY id) FROM orders GROUP BY user_id;
SELECT user_id, count(*), (SELECT name FROM users u WHERE u.id = o.user_id) FROM orders o GROUP BY user_id;
SELECT user_id, (SELECT count(*) FROM items i WHERE i.user_id = o.user_id) FROM orders o WHERE total > 300;
SELECT (SELECT count(u.id) FROM countries WHERE code = 'de') FROM users u;
SELECT country, (SELECT sum(u.balance)) FROM users u GROUP BY country;
SELECT (SELECT max(o.total)) FROM orders o;
SELECT u.country, (SELECT c.name FROM countries c WHERE c.code = u.country) AS name, count(*) FROM users u GROUP BY u.country;
SELECT min(status), max(status) FROM orders;
SELECT min(kind), max(kind), min(kind COLLATE "en-x-icu") FROM events;
SELECT kind, count(*), min(at), max(at), sum(span), avg(span), max(ip), min(uid::text) FROM events GROUP BY kind;
SELECT lower(kind), count(*) FROM events GROUP BY lower(kind);
SELECT kind COLLATE "en-x-icu" < 'o', count(*) FROM events GROUP BY 1;
-- ordered
SELECT lower(kind) AS k, max(upper(kind)) FROM events GROUP BY k ORDER BY k;
SELECT code, sum(code), avg(code), max(code) FROM events GROUP BY code;
SELECT sum(score), avg(score), max(score), sum(small), avg(small), bit_or(small), sum(price), max(price) FROM events;
SELECT sum(small::bigint), avg(small::bigint), sum(small::numeric / 3), avg(small::numeric(6, 2)) FROM events;
SELECT round(avg(price), 3), sum(price) / 7, avg(price)::text FROM items;
SELECT avg(id)::text, avg(quantity)::text, sum(quantity) / count(*), sum(quantity)::float8 / count(*) FROM items;
SELECT pg_typeof(sum(quantity)), pg_typeof(sum(id)), pg_typeof(avg(quantity)), pg_typeof(count(*)) FROM items;
SELECT coalesce(sum(total), 0) FROM orders WHERE user_id > 1000;
SELECT count(*), sum(total), avg(total), max(total), bool_and(total > 0) FROM orders WHERE total > 100000;
SELECT status FROM orders WHERE total > 100000 GROUP BY status;
SELECT every(active) FILTER (WHERE active IS NOT NULL), bool_or(active) FROM users;
WITH monthly AS (SELECT date_trunc('month', placed) AS m, sum(total) AS s FROM orders GROUP BY 1) SELECT m, s, s - lag(s) OVER (ORDER BY m) FROM monthly;
WITH best AS (SELECT user_id, sum(total) AS s FROM orders GROUP BY user_id) SELECT u.name, b.s FROM best b JOIN users u ON u.id = b.user_id WHERE b.s > 800;
-- ordered
WITH best AS (SELECT user_id, sum(total) AS s FROM orders GROUP BY user_id) SELECT u.country, sum(b.s), count(*) FROM best b JOIN users u ON u.id = b.user_id GROUP BY u.country ORDER BY 2 DESC NULLS LAST;
-- ordered
WITH a AS (SELECT * FROM orders WHERE status = 'paid'), b AS (SELECT user_id, max(total) AS m FROM a GROUP BY user_id) SELECT a.id, b.m FROM a JOIN b USING (user_id) ORDER BY b.m DESC NULLS LAST, a.id LIMIT 8;
WITH RECURSIVE up AS (SELECT id, parent FROM events WHERE id = 150 UNION ALL SELECT e.id, e.parent FROM events e JOIN up ON e.id = up.parent) SELECT * FROM up;
SELECT d::date, count(o.id) FROM generate_series(timestamp '2024-02-01', '2024-02-20', interval '1 day') d LEFT JOIN orders o ON o.placed::date = d::date GROUP BY 1;
SELECT g, (SELECT count(*) FROM orders WHERE user_id = g) FROM generate_series(1, 9) g;
SELECT u.id, g FROM users u CROSS JOIN generate_series(1, 2) g WHERE u.id < 5;
SELECT v.x, count(*) FROM (VALUES ('de'), ('fr'), ('xx')) v(x) LEFT JOIN users u ON u.country = v.x GROUP BY v.x;
SELECT count(*) FROM users u WHERE (u.country, u.active) = ANY (SELECT country, active FROM users WHERE id < 7);
SELECT id FROM users WHERE (country, id) > ('fr', 20);
SELECT id FROM users WHERE ROW(active, country) IS NOT DISTINCT FROM ROW(NULL::boolean, 'fr');
SELECT id FROM orders WHERE total > ANY (ARRAY[380, 390]) AND total < ALL (ARRAY[395, 1000]);
SELECT id FROM orders WHERE total >= ALL (SELECT price FROM items WHERE price IS NOT NULL);
SELECT o.id FROM orders o WHERE o.total > (SELECT avg(total) * 1.8 FROM orders);
SELECT o.id FROM orders o WHERE o.total > (SELECT avg(total) FROM orders x WHERE x.user_id = o.user_id) AND o.status = 'paid';
SELECT o.id FROM orders o WHERE o.total = (SELECT max(total) FROM orders x WHERE x.status = o.status);
SELECT u.id FROM users u WHERE u.id IN (SELECT user_id FROM orders GROUP BY user_id HAVING count(*) > 4);
SELECT u.id FROM users u WHERE u.id NOT IN (SELECT user_id FROM orders WHERE status = 'paid');
SELECT u.id FROM users u WHERE (u.id, 3) IN (SELECT user_id, quantity FROM items);
SELECT u.id FROM users u WHERE u.id = ANY (SELECT user_id FROM orders WHERE total > 370) OR u.id = 1;
SELECT u.id FROM users u WHERE NOT (u.id IN (SELECT user_id FROM orders WHERE total > 200));
SELECT (u.id IN (SELECT user_id FROM orders WHERE total > 200)) AS rich, count(*) FROM users u GROUP BY 1;
SELECT u.id FROM users u WHERE EXISTS (SELECT FROM orders o JOIN items i ON i.user_id = o.user_id AND i.order_id = o.id WHERE o.user_id = u.id AND i.quantity = 6 AND o.total > 200);
SELECT u.id FROM users u WHERE (SELECT count(*) FROM orders o WHERE o.user_id = u.id) > (SELECT count(*) FROM items i WHERE i.user_id = u.id) / 3;
SELECT u.id, x.status, x.n FROM users u JOIN LATERAL (SELECT status, count(*) AS n FROM orders o WHERE o.user_id = u.id GROUP BY status) x ON true;
SELECT u.id, x.total FROM users u LEFT JOIN LATERAL (SELECT total FROM orders o WHERE o.user_id = u.id ORDER BY total DESC NULLS LAST LIMIT 1) x ON x.total > 200;
SELECT u.id, x.id FROM users u, LATERAL (SELECT o.id FROM orders o WHERE o.total < u.balance ORDER BY o.total DESC, o.id LIMIT 1) x;
SELECT u.id, t FROM users u, unnest(u.tags) WITH ORDINALITY AS t(tag, n) WHERE t.n = 1;
SELECT e.id, k.key, k.value FROM events e, json_each_text(e.doc) k WHERE e.id < 10;
SELECT x.id, x.n FROM (SELECT id, count(*) OVER (PARTITION BY id) AS n FROM users) x WHERE x.id < 4;
SELECT user_id FROM orders WHERE status = 'paid' INTERSECT SELECT user_id FROM orders WHERE status = 'lost';
SELECT user_id, 'order' AS what, count(*) FROM orders GROUP BY user_id UNION ALL SELECT user_id, 'item', count(*) FROM items GROUP BY user_id;
-- ordered
SELECT user_id, id FROM orders WHERE total > 350 UNION ALL SELECT user_id, id FROM items WHERE quantity = 6 ORDER BY user_id, id DESC LIMIT 15;
-- ordered
SELECT id FROM users UNION SELECT user_id FROM orders ORDER BY 1 DESC LIMIT 5 OFFSET 2;
SELECT id FROM users EXCEPT SELECT user_id FROM orders WHERE total > 100;
SELECT id, name FROM users WHERE id < 5 UNION SELECT id, name FROM users WHERE id < 8;
SELECT name FROM users WHERE id < 5 UNION SELECT name FROM users WHERE id < 8;
(SELECT id FROM users EXCEPT SELECT 5) INTERSECT SELECT user_id FROM orders;
SELECT * FROM (SELECT id FROM users UNION ALL SELECT id FROM users) x JOIN orders o ON o.user_id = x.id WHERE o.total > 380;
SELECT sum(n) FROM (SELECT count(*) AS n FROM users UNION ALL SELECT count(*) FROM orders) x;
SELECT 'users' AS t, count(*) FROM users UNION ALL SELECT 'orders', count(*) FROM orders UNION ALL SELECT 'items', count(*) FROM items;
SELECT born - date '2000-01-01', born + 7, born + interval '1 month', age(timestamp '2024-01-01', born::timestamp) FROM users;
SELECT date_part('dow', created), count(*) FROM users GROUP BY 1;
SELECT created::date, created AT TIME ZONE 'America/New_York' FROM users WHERE created >= timestamptz '2024-02-01';
SELECT ov.id FROM orders ov WHERE (placed, placed + interval '1 day') OVERLAPS (timestamp '2024-02-10', timestamp '2024-02-12');
SELECT profile ? 'nick', profile #>> '{list,0}', jsonb_typeof(profile->'level'), profile || '{"a": 1}' FROM users;
SELECT jsonb_path_query_first(profile, '$.list[*] ? (@ > 50)') FROM users;
SELECT profile->>'level' AS level, count(*), avg(balance) FROM users GROUP BY profile->>'level';
SELECT numbers || 9, array_position(numbers, 2), 2 = ANY (numbers), cardinality(numbers) FROM events;
SELECT numbers, count(*) FROM events GROUP BY numbers;
SELECT during && tstzrange('2024-01-03', '2024-01-05'), upper(during) - lower(during) FROM events;
SELECT flags, count(*), bit_and(flags), bit_or(flags) FROM events GROUP BY flags;
SELECT DISTINCT ip, network(set_masklen(ip::cidr, 24)) FROM events;
SELECT country, length(country), country || '|' FROM users GROUP BY country;
SELECT short, count(*) FROM events GROUP BY short;
SELECT id, nullif(balance, 0), greatest(balance, 0, rating::numeric) FROM users WHERE rating <> 'NaN' AND rating < 1000;
SELECT id FROM users WHERE name ~* '^o' OR email LIKE '%1@%';
SELECT id, regexp_replace(name, '\d+', '#'), split_part(email, '@', 1), md5(name), initcap(name) FROM users;
SELECT id, format('%s <%s>', name, email), concat_ws(', ', country, born::text) FROM users;
SELECT width_bucket(total, 0, 400, 4) AS bucket, count(*) FROM orders GROUP BY bucket;
SELECT id, total, sum(total) FILTER (WHERE status = 'paid') OVER (ORDER BY id) FROM orders WHERE user_id < 9;
SELECT count(*) FROM users WHERE created < now() AND born < current_date;
SELECT u.id, r.id FROM users u TABLESAMPLE SYSTEM (100) JOIN orders r ON r.user_id = u.id WHERE u.id = 4;
SELECT user_id, count(*) FROM orders WHERE user_id IN (3, 5, 8) GROUP BY user_id;
SELECT status, count(*) FROM orders WHERE user_id IN (3, 5, 8) GROUP BY status;
-- with {3,5,8}
SELECT status, sum(total) FROM orders WHERE user_id = ANY ($1) GROUP BY status;
-- with 2024-02-10|paid
SELECT count(*), sum(total) FROM orders WHERE placed > $1 AND status = $2;
-- with 5
SELECT status, sum(total * $1), count(*) + $1 FROM orders GROUP BY status;
SELECT a.id FROM orders a WHERE a.id = (SELECT min(b.id) FROM orders b WHERE b.user_id = a.user_id);
SELECT u.name FROM users u JOIN (SELECT DISTINCT user_id FROM orders WHERE total > 300) o ON o.user_id = u.id;
SELECT u.name FROM users u LEFT JOIN (SELECT DISTINCT user_id FROM orders WHERE total > 300) o ON o.user_id = u.id WHERE o.user_id IS NULL;
SELECT o.user_id, count(*) FROM users u FULL JOIN orders o ON o.user_id = u.id GROUP BY o.user_id;
SELECT u.id, count(*) FROM users u RIGHT JOIN orders o ON o.user_id = u.id GROUP BY u.id;
SELECT DISTINCT u.id FROM users u FULL JOIN orders o ON o.user_id = u.id;
SELECT u.id, row_number() OVER (PARTITION BY u.id ORDER BY o.id) FROM users u RIGHT JOIN orders o ON o.user_id = u.id;
SELECT coalesce(u.id, o.user_id), count(*) FROM users u FULL JOIN orders o ON o.user_id = u.id GROUP BY 1;
SELECT a.id, b.id FROM users a LEFT JOIN users b ON b.id = a.id + 1 LEFT JOIN orders o ON o.user_id = b.id;
SELECT a.id, o.id, i.id FROM users a LEFT JOIN orders o ON o.user_id = a.id LEFT JOIN items i ON i.user_id = o.user_id AND i.order_id = o.id WHERE a.id < 12;
SELECT a.id, o.id, e.id FROM users a LEFT JOIN orders o ON o.user_id = a.id FULL JOIN events e ON e.user_id = o.user_id AND e.id = o.id;
SELECT o.id, i.id FROM orders o, items i WHERE (o.user_id, o.id) = (i.user_id, i.order_id) AND o.total > 350;
SELECT o.id FROM orders o, users u, items i WHERE o.user_id = u.id AND u.id = i.user_id AND i.quantity = o.id % 7 AND u.active;
SELECT count(*) FROM orders a JOIN orders b ON b.user_id = a.user_id AND b.id > a.id;
SELECT count(*) FROM orders a JOIN orders b ON b.id = a.id + 1;
SELECT o.user_id FROM orders o WHERE o.user_id = o.id;
SELECT e.id FROM events e JOIN users u ON e.small = u.id AND e.user_id = u.id;
