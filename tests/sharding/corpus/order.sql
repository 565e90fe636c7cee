-- ordered
SELECT name FROM users ORDER BY name;
-- ordered
SELECT id FROM users ORDER BY name;
-- ordered
SELECT id, rating FROM users ORDER BY rating DESC NULLS LAST, id;
-- ordered
SELECT id, email FROM users ORDER BY email NULLS FIRST, id;
-- ordered
SELECT id, email FROM users ORDER BY email DESC, id DESC;
-- ordered
SELECT id FROM users ORDER BY length(name), name;
-- ordered
SELECT id, name FROM users ORDER BY 2 DESC;
-- ordered
SELECT id, -balance AS b FROM users ORDER BY b, id;
-- ordered
SELECT id FROM users ORDER BY id LIMIT 5;
-- ordered
SELECT id FROM users ORDER BY id OFFSET 50;
-- ordered
SELECT id FROM users ORDER BY name LIMIT 5 OFFSET 10;
-- ordered
SELECT id, total FROM orders ORDER BY total DESC NULLS LAST, id FETCH FIRST 7 ROWS ONLY;
-- ordered
SELECT country FROM users ORDER BY country NULLS LAST FETCH FIRST 3 ROWS WITH TIES;
-- with 4|2
-- ordered
SELECT id FROM orders ORDER BY id LIMIT $1 OFFSET $2;
-- ordered
SELECT DISTINCT country FROM users ORDER BY country;
-- ordered
SELECT DISTINCT ON (country) country, id FROM users ORDER BY country, balance DESC NULLS LAST, id;
-- ordered
SELECT DISTINCT status, note FROM orders ORDER BY status, note;
-- ordered
SELECT status FROM orders GROUP BY status ORDER BY count(*) DESC, status;
-- ordered
SELECT note, sum(total) FROM orders GROUP BY note ORDER BY sum(total) DESC LIMIT 2;
-- ordered
SELECT kind, id FROM events ORDER BY kind, id;
-- ordered
SELECT kind FROM events GROUP BY kind ORDER BY kind COLLATE "en-x-icu" DESC;
-- ordered
SELECT id FROM users ORDER BY name COLLATE "C";
-- ordered
SELECT id FROM users ORDER BY profile NULLS FIRST, id;
-- ordered
SELECT id FROM orders ORDER BY status, placed DESC;
-- ordered
SELECT id FROM users ORDER BY active, born NULLS FIRST, id;
-- ordered
SELECT id FROM users ORDER BY CASE WHEN country = 'de' THEN 0 ELSE 1 END, id;
-- ordered
SELECT id FROM users ORDER BY name USING >;
-- ordered
SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id ORDER BY o.total DESC NULLS LAST, o.id LIMIT 9;
-- ordered
SELECT id FROM users ORDER BY id LIMIT 0;
-- ordered
TABLE users ORDER BY id;
-- ordered
SELECT users.* FROM users ORDER BY id LIMIT ALL;
-- ordered
SELECT id FROM events ORDER BY span DESC, uid;
-- ordered
SELECT * FROM (SELECT id, name FROM users ORDER BY name LIMIT 4) x ORDER BY id;
-- ordered
SELECT id, name FROM users ORDER BY name COLLATE german, id;
-- ordered
SELECT id, email FROM users ORDER BY email COLLATE swedish DESC NULLS LAST, id LIMIT 20 OFFSET 3;
-- ordered
SELECT DISTINCT country COLLATE swedish AS c FROM users ORDER BY c;
-- ordered
SELECT name COLLATE swedish AS n, count(*) FROM users GROUP BY n ORDER BY n;
SELECT max(name COLLATE swedish), min(email COLLATE german) FROM users;
