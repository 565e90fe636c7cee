
CREATE TABLE accounts (
  id bigserial PRIMARY KEY, email varchar(20), plan text DEFAULT 'free', created timestamptz NOT NULL DEFAULT now(),
  token uuid DEFAULT gen_random_uuid(), balance numeric(10, 2) DEFAULT 0,
  label text GENERATED ALWAYS AS (upper(plan)) STORED, status order_status DEFAULT 'new', tags varchar(5)[],
  code positive);
INSERT INTO accounts (id, email, plan, created) SELECT i, 'mail' || i, 'p' || i % 3, '2024-01-01' FROM generate_series(1, 40) i;
CREATE TABLE tickets (
  id integer GENERATED ALWAYS AS IDENTITY, user_id bigint NOT NULL, title varchar(10), opened date DEFAULT current_date,
  PRIMARY KEY (user_id, id));
INSERT INTO tickets (user_id, title, opened) SELECT 1 + i % 30, 'ticket' || i, '2024-05-05' FROM generate_series(1, 90) i;
CREATE TABLE notes (user_id bigint, note text);
INSERT INTO notes SELECT i % 20, 'note ' || i FROM generate_series(1, 50) i;
CREATE TABLE archive (id bigint, user_id bigint, status order_status NOT NULL, total numeric(10, 2), note text,
  placed timestamp(3), PRIMARY KEY (user_id, id));
CREATE TABLE visits (sid uuid PRIMARY KEY DEFAULT gen_random_uuid(), page varchar(10) UNIQUE, hits integer NOT NULL DEFAULT 1);
INSERT INTO visits SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(i * 31), 12, '0'))::uuid, 'page' || i, i FROM generate_series(1, 25) i;
CREATE TABLE words (word varchar(8) PRIMARY KEY, n integer);
INSERT INTO words SELECT 'w' || i, i FROM generate_series(1, 30) i;
CREATE TABLE currencies (id serial PRIMARY KEY, code char(3) UNIQUE, changed timestamptz DEFAULT now(), rate numeric);
INSERT INTO currencies (code, changed, rate) VALUES ('EUR', '2024-01-01', 1), ('USD', '2024-01-01', 1.1), ('CHF', '2024-01-01', 0.95);
CREATE TABLE parents (id bigint, user_id bigint, PRIMARY KEY (user_id, id));
INSERT INTO parents SELECT id, user_id FROM orders;
CREATE TABLE children (
  id bigint, user_id bigint, order_id bigint, PRIMARY KEY (user_id, id),
  FOREIGN KEY (user_id, order_id) REFERENCES parents (user_id, id));
INSERT INTO children SELECT id, user_id, id FROM parents WHERE id < 100;
CREATE TABLE placement_of_uuids (key uuid) PARTITION BY HASH (key);
CREATE TABLE placement_of_words (key varchar(8)) PARTITION BY HASH (key);
