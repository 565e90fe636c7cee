LOCK TABLE users IN SHARE MODE;
ANALYZE notes;
CREATE TABLE invoices (id bigint, user_id bigint, PRIMARY KEY (user_id, id));
CREATE TABLE invoices (id bigint, user_id bigint UNIQUE, total numeric DEFAULT 3);
CREATE TABLE invoices (LIKE orders INCLUDING ALL);
CREATE TABLE invoices (id bigint, user_id bigint, order_id bigint, FOREIGN KEY (user_id, order_id) REFERENCES orders (user_id, id));
CREATE TABLE invoices (user_id bigint REFERENCES users, code char(2) REFERENCES countries);
-- refused unique constraint
CREATE TABLE invoices (id bigint PRIMARY KEY, user_id bigint);
-- refused unique constraint
CREATE TABLE invoices (id bigint, user_id bigint, UNIQUE (id));
-- refused foreign key
CREATE TABLE invoices (id bigint, user_id bigint, friend bigint REFERENCES users);
-- refused undeclared table things
CREATE TABLE things (id bigint);
-- refused undeclared table things
CREATE TABLE IF NOT EXISTS public.things (id bigint);
-- refused temporary
CREATE TEMP TABLE things (id bigint);
-- refused CREATE TABLE AS
CREATE TABLE things AS SELECT 1;
-- refused MATERIALIZED
CREATE MATERIALIZED VIEW things AS SELECT 1;
CREATE INDEX ON orders (total);
CREATE UNIQUE INDEX ON orders (user_id, placed);
-- refused unique constraint
CREATE UNIQUE INDEX ON orders (placed);
CREATE UNIQUE INDEX ON countries (population);
CREATE VIEW things AS SELECT 1 AS one;
CREATE FUNCTION things() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE things AS ENUM ('a');
CREATE SCHEMA things;
CREATE SEQUENCE things;
ALTER TABLE users ADD COLUMN more integer DEFAULT 3;
ALTER TABLE users ADD COLUMN more uuid DEFAULT gen_random_uuid();
-- refused differs by shard
ALTER TABLE users ADD COLUMN more timestamptz DEFAULT now();
-- refused differs by shard
ALTER TABLE users ADD COLUMN more bigserial;
-- refused differs by shard
ALTER TABLE countries ADD COLUMN more uuid DEFAULT gen_random_uuid();
ALTER TABLE users ALTER COLUMN created SET DEFAULT now();
ALTER TABLE users DROP COLUMN name;
-- refused sharding key
ALTER TABLE users DROP COLUMN id;
-- refused sharding key
ALTER TABLE orders RENAME COLUMN user_id TO owner;
-- refused undeclared table people
ALTER TABLE users RENAME TO people;
ALTER TABLE orders RENAME TO purchases;
ALTER TABLE orders RENAME COLUMN note TO remark;
-- refused unique constraint
ALTER TABLE users ADD CONSTRAINT u UNIQUE (email);
ALTER TABLE users ADD CONSTRAINT u CHECK (id > 0);
ALTER TABLE users ADD CONSTRAINT u CHECK (id > 5);
ALTER TABLE children ADD FOREIGN KEY (user_id) REFERENCES users;
-- refused foreign key
ALTER TABLE children ADD FOREIGN KEY (id) REFERENCES users;
-- refused foreign key
ALTER TABLE countries ADD FOREIGN KEY (population) REFERENCES users;
DROP TABLE notes;
DROP TABLE nowhere;
DROP TABLE parents;
DROP VIEW recent_orders;
COMMENT ON TABLE users IS 'people';
GRANT SELECT ON users TO PUBLIC;
-- refused database
CREATE DATABASE x;
-- refused roles
CREATE ROLE x;
-- refused roles
GRANT pg_monitor TO x;
-- refused tablespaces
DROP TABLESPACE x;
-- refused whole server
ALTER SYSTEM SET work_mem = 1;
-- refused DO
DO 'BEGIN END';
-- refused LISTEN
LISTEN x;
-- refused LISTEN
NOTIFY x;
SET CONSTRAINTS ALL DEFERRED;
