CREATE VIEW status_counts (state, n, sum) AS SELECT status, count(*), sum(total) FROM orders GROUP BY 1;
CREATE VIEW top_orders AS SELECT id, user_id, total FROM orders WHERE total IS NOT NULL ORDER BY total DESC, id LIMIT 10;
CREATE VIEW people AS SELECT id, name, 'user' AS kind FROM users
  UNION SELECT population, name, 'country' FROM countries;
CREATE VIEW kinds AS SELECT DISTINCT kind FROM events;
CREATE VIEW ranked AS SELECT id, total, rank() OVER (ORDER BY total DESC NULLS LAST) AS place FROM orders;
CREATE VIEW on_views AS SELECT t.status, t.total, s.n FROM totals t JOIN status_counts s ON s.state = t.status
  WHERE t.total > 100;
CREATE VIEW escaped AS SELECT DISTINCT status::text || '\x' AS t FROM orders;
CREATE VIEW calls AS SELECT DISTINCT twice(quantity) AS two FROM items;
CREATE VIEW "Odd name" AS SELECT count(*) AS "n n", max(name) AS "order" FROM users;
CREATE VIEW newest AS SELECT DISTINCT ON (status) status, id, placed FROM orders ORDER BY status, placed DESC, id;
CREATE VIEW of_logs AS SELECT count(*) FROM logs;
CREATE VIEW recent_counts AS SELECT status, count(*) FROM recent_orders WHERE placed < now() GROUP BY status;
CREATE MATERIALIZED VIEW kept_totals AS SELECT status, sum(total) FROM orders GROUP BY status;
