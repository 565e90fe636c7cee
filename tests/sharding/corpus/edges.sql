-- ordered
SELECT id, f FROM edges ORDER BY f, user_id, id;
-- ordered
SELECT f IS NULL, id FROM edges ORDER BY f DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT f FROM edges) x;
SELECT count(*), count(f), min(id) FROM edges GROUP BY f;
SELECT user_id, max(id) FROM edges GROUP BY user_id, f;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.f = b.f AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, r FROM edges ORDER BY r, user_id, id;
-- ordered
SELECT r IS NULL, id FROM edges ORDER BY r DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT r FROM edges) x;
SELECT count(*), count(r), min(id) FROM edges GROUP BY r;
SELECT user_id, max(id) FROM edges GROUP BY user_id, r;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.r = b.r AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, n FROM edges ORDER BY n, user_id, id;
-- ordered
SELECT n IS NULL, id FROM edges ORDER BY n DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT n FROM edges) x;
SELECT count(*), count(n), min(id) FROM edges GROUP BY n;
SELECT user_id, max(id) FROM edges GROUP BY user_id, n;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.n = b.n AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, t FROM edges ORDER BY t, user_id, id;
-- ordered
SELECT t IS NULL, id FROM edges ORDER BY t DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT t FROM edges) x;
SELECT count(*), count(t), min(id) FROM edges GROUP BY t;
SELECT user_id, max(id) FROM edges GROUP BY user_id, t;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.t = b.t AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, tx FROM edges ORDER BY tx, user_id, id;
-- ordered
SELECT tx IS NULL, id FROM edges ORDER BY tx DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT tx FROM edges) x;
SELECT count(*), count(tx), min(id) FROM edges GROUP BY tx;
SELECT user_id, max(id) FROM edges GROUP BY user_id, tx;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.tx = b.tx AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, ci FROM edges ORDER BY ci, user_id, id;
-- ordered
SELECT ci IS NULL, id FROM edges ORDER BY ci DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT ci FROM edges) x;
SELECT count(*), count(ci), min(id) FROM edges GROUP BY ci;
SELECT user_id, max(id) FROM edges GROUP BY user_id, ci;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.ci = b.ci AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, c FROM edges ORDER BY c, user_id, id;
-- ordered
SELECT c IS NULL, id FROM edges ORDER BY c DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT c FROM edges) x;
SELECT count(*), count(c), min(id) FROM edges GROUP BY c;
SELECT user_id, max(id) FROM edges GROUP BY user_id, c;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.c = b.c AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, v FROM edges ORDER BY v, user_id, id;
-- ordered
SELECT v IS NULL, id FROM edges ORDER BY v DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT v FROM edges) x;
SELECT count(*), count(v), min(id) FROM edges GROUP BY v;
SELECT user_id, max(id) FROM edges GROUP BY user_id, v;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.v = b.v AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, iv FROM edges ORDER BY iv, user_id, id;
-- ordered
SELECT iv IS NULL, id FROM edges ORDER BY iv DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT iv FROM edges) x;
SELECT count(*), count(iv), min(id) FROM edges GROUP BY iv;
SELECT user_id, max(id) FROM edges GROUP BY user_id, iv;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.iv = b.iv AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, d FROM edges ORDER BY d, user_id, id;
-- ordered
SELECT d IS NULL, id FROM edges ORDER BY d DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT d FROM edges) x;
SELECT count(*), count(d), min(id) FROM edges GROUP BY d;
SELECT user_id, max(id) FROM edges GROUP BY user_id, d;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.d = b.d AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, ts FROM edges ORDER BY ts, user_id, id;
-- ordered
SELECT ts IS NULL, id FROM edges ORDER BY ts DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT ts FROM edges) x;
SELECT count(*), count(ts), min(id) FROM edges GROUP BY ts;
SELECT user_id, max(id) FROM edges GROUP BY user_id, ts;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.ts = b.ts AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, tz FROM edges ORDER BY tz, user_id, id;
-- ordered
SELECT tz IS NULL, id FROM edges ORDER BY tz DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT tz FROM edges) x;
SELECT count(*), count(tz), min(id) FROM edges GROUP BY tz;
SELECT user_id, max(id) FROM edges GROUP BY user_id, tz;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.tz = b.tz AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, b FROM edges ORDER BY b, user_id, id;
-- ordered
SELECT b IS NULL, id FROM edges ORDER BY b DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT b FROM edges) x;
SELECT count(*), count(b), min(id) FROM edges GROUP BY b;
SELECT user_id, max(id) FROM edges GROUP BY user_id, b;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.b = b.b AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, by FROM edges ORDER BY by, user_id, id;
-- ordered
SELECT by IS NULL, id FROM edges ORDER BY by DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT by FROM edges) x;
SELECT count(*), count(by), min(id) FROM edges GROUP BY by;
SELECT user_id, max(id) FROM edges GROUP BY user_id, by;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.by = b.by AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, arr FROM edges ORDER BY arr, user_id, id;
-- ordered
SELECT arr IS NULL, id FROM edges ORDER BY arr DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT arr FROM edges) x;
SELECT count(*), count(arr), min(id) FROM edges GROUP BY arr;
SELECT user_id, max(id) FROM edges GROUP BY user_id, arr;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.arr = b.arr AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, rng FROM edges ORDER BY rng, user_id, id;
-- ordered
SELECT rng IS NULL, id FROM edges ORDER BY rng DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT rng FROM edges) x;
SELECT count(*), count(rng), min(id) FROM edges GROUP BY rng;
SELECT user_id, max(id) FROM edges GROUP BY user_id, rng;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.rng = b.rng AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, j FROM edges ORDER BY j, user_id, id;
-- ordered
SELECT j IS NULL, id FROM edges ORDER BY j DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT j FROM edges) x;
SELECT count(*), count(j), min(id) FROM edges GROUP BY j;
SELECT user_id, max(id) FROM edges GROUP BY user_id, j;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.j = b.j AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, st FROM edges ORDER BY st, user_id, id;
-- ordered
SELECT st IS NULL, id FROM edges ORDER BY st DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT st FROM edges) x;
SELECT count(*), count(st), min(id) FROM edges GROUP BY st;
SELECT user_id, max(id) FROM edges GROUP BY user_id, st;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.st = b.st AND a.user_id = b.user_id AND a.id < b.id;
-- ordered
SELECT id, big FROM edges ORDER BY big, user_id, id;
-- ordered
SELECT big IS NULL, id FROM edges ORDER BY big DESC NULLS LAST, id LIMIT 20;
SELECT count(*) FROM (SELECT DISTINCT big FROM edges) x;
SELECT count(*), count(big), min(id) FROM edges GROUP BY big;
SELECT user_id, max(id) FROM edges GROUP BY user_id, big;
SELECT a.id, b.id FROM edges a JOIN edges b ON a.big = b.big AND a.user_id = b.user_id AND a.id < b.id;
SELECT max(f) = (SELECT f FROM edges WHERE f IS NOT NULL ORDER BY f DESC LIMIT 1) FROM edges;
SELECT max(r) = (SELECT r FROM edges WHERE r IS NOT NULL ORDER BY r DESC LIMIT 1) FROM edges;
SELECT max(iv) = (SELECT iv FROM edges WHERE iv IS NOT NULL ORDER BY iv DESC LIMIT 1) FROM edges;
SELECT max(d) = (SELECT d FROM edges WHERE d IS NOT NULL ORDER BY d DESC LIMIT 1) FROM edges;
SELECT max(ts) = (SELECT ts FROM edges WHERE ts IS NOT NULL ORDER BY ts DESC LIMIT 1) FROM edges;
SELECT max(tz) = (SELECT tz FROM edges WHERE tz IS NOT NULL ORDER BY tz DESC LIMIT 1) FROM edges;
SELECT max(st) = (SELECT st FROM edges WHERE st IS NOT NULL ORDER BY st DESC LIMIT 1) FROM edges;
SELECT max(big) = (SELECT big FROM edges WHERE big IS NOT NULL ORDER BY big DESC LIMIT 1) FROM edges;
SELECT max(t) = (SELECT t FROM edges WHERE t IS NOT NULL ORDER BY t DESC LIMIT 1) FROM edges;
SELECT max(tx) = (SELECT tx FROM edges WHERE tx IS NOT NULL ORDER BY tx DESC LIMIT 1) FROM edges;
SELECT max(c) = (SELECT c FROM edges WHERE c IS NOT NULL ORDER BY c DESC LIMIT 1) FROM edges;
SELECT max(v) = (SELECT v FROM edges WHERE v IS NOT NULL ORDER BY v DESC LIMIT 1) FROM edges;
SELECT sum(n), avg(n), max(n) > 1, min(n) < 1 FROM edges;
SELECT sum(n) FILTER (WHERE n < 100), avg(n) FILTER (WHERE n < 100), sum(n)::text, avg(n)::text FROM edges;
SELECT b, sum(n), avg(n), count(n) FROM edges GROUP BY b;
SELECT sum(big) FROM edges;
SELECT sum(big), avg(big) FROM edges WHERE big > 0;
SELECT sum(big::numeric * 3) FROM edges;
SELECT sum(iv), avg(iv) FROM edges;
SELECT b, sum(iv), min(iv) = max(iv) FROM edges GROUP BY b;
SELECT count(DISTINCT f), count(DISTINCT n), count(DISTINCT iv), count(DISTINCT ci), count(DISTINCT c) FROM edges;
SELECT count(*) FROM edges WHERE f = 'NaN' OR f > 1e300;
SELECT count(*) FROM edges WHERE f = 0;
SELECT count(*) FROM edges WHERE ci = 'one';
SELECT count(*) FROM edges WHERE c = 'a';
SELECT lower(ci COLLATE "C"), count(*) FROM edges GROUP BY 1;
SELECT count(*), max(id) FROM edges GROUP BY ci HAVING ci = 'ONE';
SELECT length(c), length(c::text), c || '|', count(*) FROM edges GROUP BY c, length(c);
SELECT d + 1 IS NULL, count(*) FROM edges WHERE isfinite(d) GROUP BY 1;
SELECT date_trunc('hour', tz), count(*) FROM edges GROUP BY 1;
SELECT tz::date, count(*) FROM edges GROUP BY tz::date;
SELECT st, count(*), min(st), max(st) FROM edges GROUP BY st;
SELECT j, count(*) FROM edges WHERE j <> '[1, 1.0]' GROUP BY j;
SELECT tx, count(*), max(t), min(t) FROM edges GROUP BY tx;
SELECT max(tx), min(tx), max(t COLLATE "C"), min(t COLLATE "de-x-icu") FROM edges;
-- ordered
SELECT t FROM edges GROUP BY t ORDER BY t;
-- ordered
SELECT tx, t FROM edges GROUP BY tx, t ORDER BY tx DESC, t COLLATE "C";
-- ordered
SELECT user_id, id FROM edges WHERE f IS NOT NULL ORDER BY f DESC, n, t, user_id, id OFFSET 10 LIMIT 30;
-- ordered
SELECT b FROM edges ORDER BY b FETCH FIRST 30 ROWS WITH TIES;
-- ordered
SELECT iv FROM edges WHERE iv < interval '1 day' ORDER BY iv FETCH FIRST 3 ROWS WITH TIES;
-- ordered
SELECT t FROM edges ORDER BY t DESC NULLS LAST FETCH FIRST 3 ROWS WITH TIES;
-- ordered
SELECT t FROM edges ORDER BY t COLLATE "C" DESC NULLS LAST OFFSET 2 FETCH FIRST 3 ROWS WITH TIES;
-- ordered
SELECT user_id, t FROM edges UNION ALL SELECT id, name FROM users ORDER BY 2, 1;
-- ordered
SELECT DISTINCT ON (user_id) user_id, big FROM edges ORDER BY user_id, big NULLS FIRST, id;
SELECT e.id FROM edges e JOIN users u ON u.id = e.user_id AND u.id = e.big;
SELECT a.id FROM edges a WHERE a.f IN (SELECT f FROM edges b WHERE b.user_id = a.user_id AND b.id <> a.id);
SELECT a.id FROM edges a WHERE a.n NOT IN (SELECT n FROM edges b WHERE b.user_id = a.user_id AND b.id <> a.id);
SELECT id, f, r, n, t, iv, d, ts, tz, by, arr, rng, j, st, big FROM edges;
SELECT first_value(t) OVER (PARTITION BY user_id ORDER BY t, id), sum(n) OVER (PARTITION BY ci, user_id) FROM edges;
-- ordered
SELECT id, user_id FROM orders ORDER BY id LIMIT (SELECT count(*) / 10 FROM users);
-- ordered
SELECT id FROM orders ORDER BY id OFFSET (SELECT count(*) FROM users) LIMIT 5;
-- ordered
SELECT user_id, sum(total) FROM orders GROUP BY user_id ORDER BY user_id LIMIT (SELECT count(*) / 10 FROM users);
-- ordered
SELECT DISTINCT user_id FROM orders ORDER BY user_id LIMIT (SELECT count(*) / 10 FROM users);
-- ordered
SELECT id, rank() OVER (ORDER BY total, id) FROM orders ORDER BY id LIMIT (SELECT count(*) / 10 FROM users);
-- ordered
SELECT code FROM countries ORDER BY code LIMIT (SELECT count(*) / 20 FROM users);
-- ordered
SELECT id FROM orders WHERE user_id = 7 ORDER BY id LIMIT (SELECT count(*) / 30 FROM users);
-- ordered
SELECT id FROM orders WHERE user_id = 7 ORDER BY id LIMIT (SELECT count(*) FROM users WHERE id = 7);
-- ordered
SELECT id FROM orders ORDER BY id LIMIT (SELECT count(*) FROM countries);
SELECT u.id, (SELECT count(*) FROM (SELECT 1 FROM orders o WHERE o.user_id = u.id LIMIT (SELECT count(*) / 30 FROM users)) x) FROM users u;
-- ordered
SELECT id FROM (SELECT id FROM orders ORDER BY id LIMIT (SELECT count(*) / 10 FROM users)) x ORDER BY id;
SELECT u.id, (SELECT count(*) FROM ((SELECT 1 FROM orders o WHERE o.user_id = u.id) UNION ALL (SELECT 2) LIMIT (SELECT count(*) / 30 FROM users)) x) FROM users u;
SELECT u.id, (SELECT count(*) FROM ((SELECT 1 FROM orders o WHERE o.user_id = u.id) UNION ALL (SELECT 2) LIMIT 2) x) FROM users u;
-- ordered
SELECT 2 AS a, id, user_id FROM orders ORDER BY 1 DESC, 2 LIMIT 7;
-- ordered
SELECT 2 AS a, name, id FROM users ORDER BY 1 DESC, 2, 3 LIMIT 7;
-- ordered
SELECT 'x' AS a, name, id FROM users ORDER BY a, 2 DESC, 3 OFFSET 2 LIMIT 5;
-- ordered
SELECT NULL AS a, -3 AS b, name, id FROM users ORDER BY 1, b, 3 DESC, 4 LIMIT 5;
-- ordered
SELECT 99 AS a, status, count(*) FROM orders GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 3;
-- ordered
SELECT DISTINCT 99 AS a, status FROM orders ORDER BY 1, 2 LIMIT 3;
-- ordered
SELECT 1 AS a, id, rank() OVER (PARTITION BY user_id ORDER BY id) FROM orders ORDER BY 1, 2 LIMIT 3;
