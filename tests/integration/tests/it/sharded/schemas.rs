//! Schemas that are on one shard each: names by path and in full, definitions, two of them at once.

use anyhow::{Result, ensure};
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER};
use pgherd_harness::raw::frontend::{
    bind, bind_formats, copy_data, copy_done, describe_statement, execute, parse, query, sync,
};
use pgherd_harness::raw::{Client, Login};
use pgherd_harness::sharded::{Builder, ShardedCluster};

use super::compare::Twins;

/// `north` and `east` are on shard 1, `south` on shard 2.
const SCHEMA: &str = "
    CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
    INSERT INTO countries VALUES ('at', 'Austria'), ('de', 'Germany');
    CREATE FUNCTION public.how_many() RETURNS bigint LANGUAGE plpgsql AS
      'BEGIN RETURN (SELECT count(*) FROM orders); END';
    CREATE SCHEMA north; CREATE SCHEMA east; CREATE SCHEMA south;
    CREATE TYPE north.mood AS ENUM ('good', 'bad');
    CREATE TABLE north.orders (id serial PRIMARY KEY, country text REFERENCES countries,
      total numeric(10, 2), mood north.mood DEFAULT 'good');
    INSERT INTO north.orders (country, total) SELECT 'at', i * 1.5 FROM generate_series(1, 20) i;
    CREATE TABLE east.orders (id int PRIMARY KEY, total numeric(10, 2), note varchar(9));
    INSERT INTO east.orders SELECT i, i * 2.25, 'n' || i FROM generate_series(1, 30) i;
    CREATE TABLE south.orders (id int PRIMARY KEY, total numeric(10, 2), note varchar(9));
    INSERT INTO south.orders SELECT i, i * 3, 's' || i FROM generate_series(1, 10) i;
    CREATE TABLE south.log (line text);
    CREATE VIEW north.rich AS SELECT * FROM north.orders WHERE total > 20;
    CREATE FUNCTION north.best() RETURNS numeric LANGUAGE sql
      AS 'SELECT max(total) FROM north.orders';";

fn builder() -> Builder {
    ShardedCluster::builder(3)
        .setting("max_prepared_transactions", "20")
        .schema(SCHEMA)
        .schema_on("north", 1)
        .schema_on("east", 1)
        .schema_on("south", 2)
        .schema_on("new", 0)
        .reference("countries")
}

#[test]
fn names_in_full_and_by_path() -> Result<()> {
    let mut twins = Twins::of(builder().start()?)?;
    for sql in [
        "SELECT count(*), sum(total) FROM north.orders",
        "SELECT o.id, c.name FROM north.orders o JOIN countries c ON c.code = o.country WHERE id < 4",
        "SELECT * FROM north.orders a JOIN east.orders b USING (id)",
        "SELECT * FROM north.rich",
        "SELECT north.best()",
        "SELECT * FROM east.nothing",
        "SELECT nothing FROM east.orders",
        "SELECT * FROM orders",
        "SELECT 'good'::north.mood, 'worse'::north.mood",
        "SET search_path = north, public",
        "SELECT * FROM orders WHERE id = 3",
        "SELECT best(), how_many(), current_schemas(false)",
        "SELECT 'bad'::mood",
        "SELECT name FROM countries",
        "INSERT INTO orders (country, total) VALUES ('de', 7) RETURNING *",
        "INSERT INTO orders (country, total) VALUES ('xx', 7)",
        "UPDATE orders SET mood = 'bad' WHERE id < 3 RETURNING id, mood",
        "SELECT * FROM orders WHERE id = 1 FOR UPDATE",
        "SELECT nextval('orders_id_seq')",
        "WITH gone AS (DELETE FROM orders WHERE id > 18 RETURNING *) SELECT count(*) FROM gone",
        "SELECT relname, nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = current_schema() AND relkind = 'r'",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'north'",
        "SELECT 'orders'::regclass",
        "DO 'BEGIN UPDATE orders SET total = 0 WHERE id = 5; END'",
        "SELECT total FROM orders WHERE id = 5",
        "EXPLAIN (COSTS OFF) SELECT * FROM orders WHERE id = 3",
        "PREPARE p (int) AS SELECT id, total FROM orders WHERE id = $1",
        "EXECUTE p (2)",
        "SET search_path = south",
        "EXECUTE p (2)",
        "SELECT * FROM orders WHERE id = 3",
        "INSERT INTO log VALUES ('x') RETURNING *",
        "TRUNCATE log",
        "SELECT count(*) FROM log",
        "RESET search_path",
        "SELECT * FROM orders",
        "BEGIN",
        "SET LOCAL search_path = east",
        "SELECT count(*) FROM orders",
        "SET LOCAL search_path = south",
        "SELECT count(*) FROM orders",
        "SAVEPOINT s",
        "SET LOCAL search_path = north",
        "SELECT count(*) FROM orders",
        "ROLLBACK TO s",
        "SELECT count(*) FROM orders",
        "COMMIT",
        "SELECT count(*) FROM orders",
    ] {
        twins.same_query(sql);
    }
    Ok(())
}

#[test]
fn prepared_statements_and_copy() -> Result<()> {
    let mut twins = Twins::of(builder().start()?)?;
    let batch = |sql: &str, values: &[Option<&[u8]>]| {
        let parts =
            [parse("", sql, &[]), describe_statement(""), bind("", "", values), execute("", 0)];
        [parts.concat(), sync()].concat()
    };
    twins.same("in full", &batch("SELECT * FROM east.orders WHERE id = $1", &[Some(b"4")]), 1);
    twins.same_query("SET search_path = north");
    twins.same("by path", &batch("SELECT id FROM orders WHERE mood = $1", &[Some(b"bad")]), 1);
    twins.same("no table", &batch("SELECT $1::mood::text", &[Some(b"bad")]), 1);
    let named = [parse("s", "SELECT count(*) FROM orders WHERE id > $1", &[]), sync()].concat();
    twins.same("a name", &named, 1);
    let four: &[u8] = &4_i32.to_be_bytes();
    let run = [bind_formats("", "s", &[Some(four)], 1, 1), execute("", 0), sync()].concat();
    twins.same("in binary", &run, 1);
    twins.same_query("SET search_path = south");
    twins.same("on another shard", &run, 1);
    let data =
        |sql: &str| [query(sql), copy_data(b"41\t1.5\tx\n42\t2.5\ty\n"), copy_done()].concat();
    twins.same("COPY FROM", &data("COPY orders (id, total, note) FROM STDIN"), 1);
    twins.same_query("SELECT * FROM orders WHERE id > 40");
    twins.same_query("COPY (SELECT id, note FROM orders WHERE id > 40 ORDER BY id) TO STDOUT");
    twins.same_query("COPY east.orders TO STDOUT (FORMAT csv, HEADER)");
    Ok(())
}

#[test]
fn schemas_of_two_shards() -> Result<()> {
    let mut twins = Twins::of(builder().start()?)?;
    let both = "SELECT a.id + 0 AS id, a.note || b.note AS notes FROM east.orders a \
                JOIN south.orders b USING (id)";
    for sql in [
        both,
        "SELECT count(*), sum(total) FROM (SELECT total FROM east.orders UNION ALL \
         SELECT total FROM south.orders) x",
        "SELECT (SELECT count(*) FROM south.orders) + count(*) AS n FROM east.orders",
        "UPDATE east.orders SET total = b.total FROM south.orders b WHERE b.id = orders.id \
         AND b.id < 3",
        "SELECT id, total FROM east.orders WHERE id < 5",
        "INSERT INTO east.orders SELECT id + 100, total, note FROM south.orders WHERE id < 3",
        "DELETE FROM south.orders WHERE id IN (SELECT id FROM east.orders WHERE id > 8)",
        "SELECT count(*) FROM south.orders",
        // One transaction of two shards.
        "BEGIN",
        "UPDATE east.orders SET total = total - 1 WHERE id = 1",
        "UPDATE south.orders SET total = total + 1 WHERE id = 1",
        "COMMIT",
        "SELECT id, total FROM south.orders WHERE id = 1",
        "BEGIN",
        "DELETE FROM east.orders",
        "DELETE FROM south.orders",
        "ROLLBACK",
        "SELECT count(*) FROM east.orders",
        "EXECUTE nothing",
    ] {
        twins.same_query(sql);
    }
    let with_values = |sql: &str, values: &[Option<&[u8]>]| {
        [parse("", sql, &[]), describe_statement(""), bind("", "", values), execute("", 0), sync()]
            .concat()
    };
    let sql = format!("{both} WHERE a.id < $1");
    twins.same("a join with a parameter", &with_values(&sql, &[Some(b"4")]), 1);
    let sql = "UPDATE east.orders SET note = $1 FROM south.orders b WHERE b.id = orders.id AND \
               b.id = $2";
    twins.same("a write with parameters", &with_values(sql, &[Some(b"new"), Some(b"2")]), 1);
    twins.same_query("SELECT note FROM east.orders WHERE id = 2");
    // What exists on one shard only cannot be carried to another.
    twins.refuses("SELECT a.mood, b.id FROM north.orders a JOIN south.orders b USING (id)", "mood");
    twins.refuses("SELECT north.best() FROM south.orders", "best()");
    Ok(())
}

#[test]
fn definitions_go_to_one_shard() -> Result<()> {
    let mut twins = Twins::of(builder().start()?)?;
    for sql in [
        "CREATE SCHEMA new",
        "CREATE SCHEMA new",
        "CREATE TABLE new.t (id serial PRIMARY KEY, country text REFERENCES countries, n int UNIQUE)",
        "INSERT INTO new.t (country, n) VALUES ('at', 1), ('de', 2)",
        "SET search_path = new, public",
        "CREATE TABLE u AS SELECT id, n FROM t",
        "CREATE INDEX CONCURRENTLY u_n ON u (n)",
        "ALTER TABLE t ADD COLUMN at date DEFAULT '2024-01-01'",
        "CREATE VIEW v AS SELECT t.*, c.name FROM t JOIN countries c ON c.code = t.country",
        "SELECT * FROM v",
        "CREATE MATERIALIZED VIEW m AS SELECT sum(n) AS n FROM t",
        "REFRESH MATERIALIZED VIEW m",
        "SELECT * FROM m",
        "CREATE FUNCTION add_one() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := NEW.n + 1; RETURN NEW; END'",
        "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION add_one()",
        "INSERT INTO t (n) VALUES (10) RETURNING n",
        "COMMENT ON COLUMN t.n IS 'x'",
        "SELECT col_description('t'::regclass, 3)",
        "DROP TABLE IF EXISTS nothing",
        "BEGIN",
        "CREATE TABLE in_block (n int)",
        "INSERT INTO in_block VALUES (1)",
        "SELECT * FROM in_block",
        "ROLLBACK",
        "SELECT * FROM in_block",
        "DROP TABLE u, t CASCADE",
        "SELECT * FROM t",
        "DROP SCHEMA new CASCADE",
    ] {
        let notices = ["DROP TABLE u, t", "DROP SCHEMA"].iter().any(|it| sql.starts_with(it));
        if notices {
            // They list objects in the order of OIDs.
            twins.whole.simple(sql)?;
            let answer = twins.sharded.simple(sql)?;
            ensure!(answer.iter().all(|it| it.tag != b'E'), "{sql}: {answer:?}");
            continue;
        }
        twins.same_query(sql);
    }
    for shard in 0..3 {
        let sql = "SELECT count(*) FROM pg_namespace WHERE nspname = 'new'";
        assert_eq!(twins.cluster.shard(shard)?.value(sql)?, "0");
    }
    twins.sharded.rows("CREATE SCHEMA new; CREATE SCHEMA everywhere")?;
    for shard in 0..3 {
        let sql = "SELECT string_agg(nspname, ' ' ORDER BY 1) FROM pg_namespace \
                   WHERE nspname IN ('new', 'everywhere')";
        let expected = if shard == 0 { "everywhere new" } else { "everywhere" };
        assert_eq!(twins.cluster.shard(shard)?.value(sql)?, expected);
    }
    twins.refuses("DROP TABLE east.orders, south.orders", "on several shards");
    twins.refuses("ALTER TABLE east.orders SET SCHEMA south", "on several shards");
    twins.refuses("CREATE VIEW public.v AS SELECT * FROM east.orders", "names what is on one");
    twins.refuses("CREATE VIEW east.v AS SELECT * FROM south.orders", "names what is on others");
    Ok(())
}

#[test]
fn the_path_of_the_role_and_of_the_startup_packet() -> Result<()> {
    let cluster = builder().start()?;
    for shard in 0..3 {
        let server = cluster.server(shard);
        server.sql(&format!("ALTER ROLE {APP_USER} SET search_path = east, public"))?;
    }
    let proxy = cluster.proxy()?;
    let mut of_role = Client::login(proxy.addr())?;
    assert_eq!(of_role.value("SELECT count(*) FROM orders")?, "30");
    let login = Login::new(APP_USER, APP_PASSWORD, pgherd_harness::sharded::CLUSTER)
        .parameter("search_path", "south");
    let mut of_startup = Client::login_as(proxy.addr(), &login)?;
    assert_eq!(of_startup.value("SELECT count(*) FROM orders")?, "10");
    let login = Login::new(APP_USER, APP_PASSWORD, pgherd_harness::sharded::CLUSTER)
        .parameter("options", "-c search_path=north");
    let mut of_options = Client::login_as(proxy.addr(), &login)?;
    assert_eq!(of_options.value("SELECT count(*) FROM orders")?, "20");
    assert_eq!(of_options.value("SELECT 'good'::mood")?, "good");
    Ok(())
}

/// With tables that are spread over the shards beside them.
#[test]
fn beside_sharded_tables() -> Result<()> {
    let schema = format!(
        "{SCHEMA} CREATE TABLE users (id bigint PRIMARY KEY, name text);
         INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 40) i;
         CREATE SEQUENCE public.numbers;
         CREATE TABLE south.numbered (n bigint DEFAULT nextval('public.numbers'), t text);
         CREATE VIEW south.users_seen AS SELECT count(*) AS n FROM users;"
    );
    let cluster = builder().schema(&schema).sharded("users", "id").start()?;
    let mut twins = Twins::of(cluster)?;
    for sql in [
        "SELECT u.name || o.note AS x FROM users u JOIN south.orders o ON o.id = u.id",
        "SELECT count(*) FROM users WHERE id IN (SELECT id FROM east.orders)",
        "INSERT INTO south.orders SELECT id + 50, 1, 'u' FROM users WHERE id < 6",
        "SELECT count(*) FROM south.orders",
        "DELETE FROM users WHERE id IN (SELECT id FROM south.orders WHERE id < 4)",
        "SELECT count(*) FROM users",
        "INSERT INTO south.numbered (t) VALUES ('a') RETURNING n",
        "SELECT nextval('numbers')",
        "INSERT INTO south.numbered (t) VALUES ('b') RETURNING n",
        "SET search_path = south, public",
        "SELECT count(*) FROM users, orders",
        "SELECT nextval('numbers')",
        "SELECT count(*) FROM orders",
    ] {
        twins.same_query(sql);
    }
    twins.refuses("SELECT * FROM south.users_seen", "a view");
    twins.refuses("SELECT how_many()", "how_many()");
    twins.refuses("DO 'BEGIN END'", "DO");
    Ok(())
}
