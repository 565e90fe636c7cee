SELECT * FROM north.sales WHERE id = 7;
-- ordered
SELECT id, note FROM north.sales ORDER BY note NULLS FIRST, id;
SELECT mood, count(*), sum(total) FROM north.sales GROUP BY mood;
SELECT n.id, c.name FROM north.sales n JOIN countries c USING (code) WHERE n.total > 10;
SELECT n.note, e.note FROM north.sales n JOIN east.sales e USING (id);
SELECT id, row_number() OVER (ORDER BY total DESC NULLS LAST, id) FROM south.sales;
SELECT * FROM south.large;
SELECT id, flags, list FROM south.sales WHERE id IN (1, 2);
SELECT id FROM south.sales WHERE id = 3 FOR UPDATE;
SELECT ctid IS NOT NULL AS there FROM south.sales WHERE id < 4;
SELECT ROW(s.*)::text FROM south.sales s WHERE id < 3;
-- with 5
SELECT note FROM south.sales WHERE id = $1;
-- with bad
SELECT id FROM north.sales WHERE mood = $1;
SELECT e.id + 0 AS id, e.note || s.note AS notes FROM east.sales e JOIN south.sales s ON s.id = e.id;
SELECT count(*), sum(s.total), max(e.note) FROM east.sales e LEFT JOIN south.sales s USING (id);
SELECT count(*) FROM (SELECT id FROM east.sales EXCEPT SELECT id FROM south.sales) x;
-- with 12
SELECT (SELECT max(total) FROM south.sales s WHERE s.id < $1) + sum(total) AS sum FROM east.sales WHERE id < $1;
SELECT count(*) FROM users u JOIN south.sales s ON s.id = u.id WHERE u.active;
SELECT s.id + 0 AS id, sum(o.total) FROM south.sales s JOIN orders o ON o.user_id = s.id GROUP BY s.id;
SELECT name FROM users WHERE id IN (SELECT id FROM north.sales WHERE total > 50);
SELECT s.id + 0 AS id, south.double(s.total) FROM south.sales s;
-- ordered
SELECT e.id + 0 AS id, s.list FROM east.sales e, south.sales s WHERE e.id = s.id ORDER BY e.id DESC LIMIT 3;
SELECT * FROM nowhere.sales;
SELECT nothing FROM south.sales;
SELECT nothing FROM south.sales s JOIN east.sales e USING (id);
-- refused tables of one name
SELECT count(*) FROM south.sales JOIN east.sales USING (id);
-- refused mood
SELECT n.mood, s.id FROM north.sales n JOIN south.sales s USING (id);
