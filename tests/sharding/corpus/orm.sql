-- ordered
SELECT "users".* FROM "users" WHERE "users"."active" = true ORDER BY "users"."id" ASC LIMIT 10;
-- with 1
SELECT "users".* FROM "users" WHERE "users"."id" = $1 LIMIT 1;
SELECT COUNT(*) FROM "orders" WHERE "orders"."status" = 'paid';
SELECT 1 AS one FROM "users" WHERE "users"."email" = 'user8@example.org' LIMIT 1;
SELECT "orders".* FROM "orders" WHERE "orders"."user_id" IN (1, 2, 3, 4, 5);
-- with 2|3|7
SELECT "orders".* FROM "orders" WHERE "orders"."user_id" IN ($1, $2, $3);
SELECT DISTINCT "users".* FROM "users" INNER JOIN "orders" ON "orders"."user_id" = "users"."id" WHERE "orders"."total" > 300;
SELECT "users"."id" AS t0_r0, "users"."name" AS t0_r1, "orders"."id" AS t1_r0, "orders"."total" AS t1_r1 FROM "users" LEFT OUTER JOIN "orders" ON "orders"."user_id" = "users"."id" WHERE "users"."id" < 6;
SELECT SUM("orders"."total") FROM "orders" INNER JOIN "users" ON "users"."id" = "orders"."user_id" WHERE "users"."country" = 'de';
SELECT COUNT(DISTINCT "orders"."user_id") FROM "orders";
SELECT COUNT(*) AS count_all, "orders"."status" AS orders_status FROM "orders" GROUP BY "orders"."status";
SELECT AVG("users"."balance") AS average_balance, "users"."country" AS users_country FROM "users" GROUP BY "users"."country";
SELECT MAX("orders"."placed") FROM "orders" WHERE "orders"."user_id" = 4;
-- ordered
SELECT u1_0.id, u1_0.name FROM users u1_0 ORDER BY u1_0.id OFFSET 10 ROWS FETCH FIRST 5 ROWS ONLY;
-- ordered
SELECT o1_0.id, o1_0.user_id, o1_0.total, u1_0.id, u1_0.name FROM orders o1_0 JOIN users u1_0 ON u1_0.id = o1_0.user_id WHERE u1_0.country = 'fr' ORDER BY o1_0.placed DESC, o1_0.id LIMIT 6;
SELECT u1_0.id FROM users u1_0 WHERE EXISTS (SELECT 1 FROM orders o1_0 WHERE o1_0.user_id = u1_0.id AND o1_0.status = 'lost');
SELECT count(*) FROM (SELECT DISTINCT u1_0.country FROM users u1_0) AS x;
-- ordered
SELECT anon_1.users_id AS anon_1_users_id, orders_1.id AS orders_1_id FROM (SELECT users.id AS users_id, users.name AS users_name FROM users ORDER BY users.id LIMIT 5) AS anon_1 LEFT OUTER JOIN orders AS orders_1 ON anon_1.users_id = orders_1.user_id ORDER BY anon_1.users_id, orders_1.id;
SELECT users.id, (SELECT count(orders.id) AS count_1 FROM orders WHERE orders.user_id = users.id) AS anon_1 FROM users WHERE users.active IS true;
SELECT "app"."id", "app"."name" FROM "users" "app" WHERE ("app"."id" = 3 OR "app"."id" = 14) AND NOT ("app"."active" IS NULL);
SELECT T."id" FROM "users" T WHERE T."name" LIKE 'a%' ESCAPE '\';
SELECT (1) AS "a" FROM "orders" WHERE "orders"."user_id" = 7 LIMIT 1;
-- ordered
SELECT "orders"."user_id", SUM("orders"."total") AS "s" FROM "orders" GROUP BY "orders"."user_id" HAVING SUM("orders"."total") > 500 ORDER BY "s" DESC, 1 LIMIT 4;
SELECT "t"."id" FROM (SELECT "id", "status", ROW_NUMBER() OVER (PARTITION BY "user_id" ORDER BY "placed" DESC) AS "rn" FROM "orders") AS "t" WHERE "t"."rn" = 1;
SELECT coalesce(json_agg("root" ORDER BY "root"->>'id'), '[]') FROM (SELECT row_to_json((SELECT e FROM (SELECT u.id, u.name) AS e)) AS "root" FROM (SELECT * FROM users WHERE id < 4) u) AS x;
SELECT u.id, coalesce(json_agg(json_build_object('id', o.id) ORDER BY o.id) FILTER (WHERE o.id IS NOT NULL), '[]') AS orders FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.id;
SELECT exists(SELECT 1 FROM users WHERE email = 'user1@example.org');
-- with user1@example.org
SELECT id, email FROM users WHERE lower(email) = lower($1);
-- with a%|20
SELECT id FROM users WHERE name ILIKE $1 AND id > $2;
SELECT version() IS NOT NULL, current_schema(), current_database() IS NOT NULL;
SELECT relname FROM pg_class WHERE relname = 'users';
SELECT c.column_name FROM information_schema.columns c WHERE c.table_name = 'users' AND c.table_schema = 'public';
SELECT nextval_is.x FROM (SELECT 1 AS x) nextval_is;
SELECT id FROM users WHERE id BETWEEN 5 AND 9;
SELECT id FROM users WHERE id >= 58 OR id <= 2;
SELECT users.id FROM users, orders WHERE users.id = orders.user_id AND orders.id = 17;
SELECT id AS "order", name AS "from", country AS "group" FROM users WHERE id < 9;
SELECT u.id "limit", u.name "offset" FROM users u ORDER BY u.id LIMIT 2 -- the last
;
/* a comment */ SELECT /* another, with FROM */ id -- and ORDER BY
FROM users /* GROUP BY */ WHERE id < 4;
SELECT 'it''s; FROM x', E'a\'b', $$LIMIT 5$$, $x$ ORDER BY $x$ FROM users WHERE id < 3;
SELECT id, id IS DISTINCT FROM 5, substring(name FROM 2 FOR 3), extract(year FROM born), trim(BOTH 'a' FROM name), position('n' IN name), overlay(name PLACING 'x' FROM 1 FOR 1) FROM users;
-- ordered
SELECT substring(name FROM 1 FOR 2) AS s, id FROM users ORDER BY substring(name FROM 1 FOR 2), id LIMIT 6;
SELECT count(*), sum(total) FROM orders WHERE note IS NOT DISTINCT FROM NULL GROUP BY status HAVING count(*) IS DISTINCT FROM 3;
-- ordered
SELECT id FROM users ORDER BY (country IS DISTINCT FROM 'de'), id LIMIT 20;
SELECT CAST(total AS integer), CAST(id AS text) FROM orders;
SELECT total::numeric(6, 1), count(*) FROM orders GROUP BY 1;
SELECT coalesce(total, total), count(*) FROM orders GROUP BY coalesce(total, total);
SELECT name::varchar(3), count(*) FROM users GROUP BY name::varchar(3);
