WITH gone AS (DELETE FROM south.sales WHERE id > 20 RETURNING total) SELECT sum(total) FROM gone;
INSERT INTO south.sales (id, total) VALUES (100, 1), (101, 2) RETURNING id, total;
INSERT INTO south.sales (id, total) SELECT id + 200, total FROM east.sales WHERE id < 4;
INSERT INTO south.sales (id) SELECT id + 300 FROM users WHERE id < 4;
INSERT INTO south.sales VALUES (1);
UPDATE south.sales SET total = e.total FROM east.sales e WHERE e.id = sales.id AND e.id < 5;
-- with 3|x
UPDATE south.sales SET note = $2 WHERE id = $1 RETURNING note;
DELETE FROM east.sales WHERE id IN (SELECT id FROM south.sales WHERE total IS NULL);
DELETE FROM users WHERE id IN (SELECT id FROM south.sales WHERE id < 3);
MERGE INTO north.sales n USING east.sales e ON e.id = n.id WHEN MATCHED THEN UPDATE SET total = e.total WHEN NOT MATCHED THEN INSERT (id) VALUES (e.id);
TRUNCATE south.sales;
