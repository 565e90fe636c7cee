SELECT id % 7, count(*), sum(total), avg(total), max(status::text) FROM orders GROUP BY 1;
SELECT user_id % 3 AS third, quantity_of, count(*) FROM (SELECT user_id, id % 2 AS quantity_of FROM orders) o GROUP BY user_id % 3, quantity_of;
SELECT total % 10, count(*) FROM orders GROUP BY total % 10 HAVING count(*) > 1;
