//! COPY FROM over shards that leaves out columns: what one Postgres would put there, once a row.

use anyhow::Result;
use pgherd_harness::raw::frontend;
use pgherd_harness::sharded::ShardedCluster;

use super::compare::Twins;
use super::copy::copy;

const SCHEMA: &str = "CREATE TABLE logged (id bigserial, user_id bigint NOT NULL, note text DEFAULT 'x', \
      n integer, created timestamptz NOT NULL DEFAULT now(), \
      day text DEFAULT 'on ' || current_date, who name DEFAULT current_user, \
      token uuid DEFAULT gen_random_uuid(), PRIMARY KEY (user_id, id)); \
    CREATE TABLE tickets (id integer GENERATED ALWAYS AS IDENTITY, user_id bigint, title varchar(5), n integer CHECK (n < 1000)); \
    CREATE TABLE people (id bigserial PRIMARY KEY, name text, odd text DEFAULT 'a,\"b\"\\N' || nextval('odds')); \
    CREATE TABLE tokens (token uuid PRIMARY KEY DEFAULT gen_random_uuid(), n integer); \
    CREATE TABLE codes (id serial PRIMARY KEY, code text UNIQUE, added timestamptz DEFAULT now(), \
      r double precision DEFAULT random()); \
    CREATE TABLE watched (id bigserial, user_id bigint); \
    CREATE TABLE odd (user_id bigint, n bigint DEFAULT number_of_notes());";

const LOGGED: &str = "SELECT id, user_id, note, n, created > now() - interval '1 hour', day, who, \
    token IS NULL FROM logged";

fn twins(shards: usize) -> Result<Twins> {
    let before = "CREATE SEQUENCE odds; CREATE FUNCTION number_of_notes() RETURNS bigint \
        LANGUAGE sql VOLATILE AS 'SELECT 1::bigint'; \
        CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; ";
    let behind = " CREATE TRIGGER noted AFTER INSERT ON watched FOR EACH STATEMENT \
        EXECUTE FUNCTION noted();";
    Twins::of(
        ShardedCluster::builder(shards)
            .schema(&format!("{before}{SCHEMA}{behind}"))
            .sharded("people", "id")
            .sharded_by("user_id")
            .sharded_as("tokens", "token", "uuid")
            .reference("codes")
            .start()?,
    )
}

#[test]
fn left_out_columns_have_their_defaults() -> Result<()> {
    let mut twins = twins(3)?;
    let many: String = (1..20_000).map(|i| format!("{}\tx{i}\n", i % 50)).collect();
    let mut binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for i in 0_i64..50 {
        binary.extend_from_slice(b"\0\x02\0\0\0\x08");
        binary.extend_from_slice(&(i * 3).to_be_bytes());
        binary.extend_from_slice(b"\0\0\0\x03bin");
    }
    let ended = [&binary[..], b"\xff\xff"].concat();
    let short = [&binary[..], b"\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x05\xff\xff"].concat();
    let cases: &[(&str, &[u8])] = &[
        ("COPY logged (user_id, note) FROM STDIN", b"1\ta\n2\tb\n3\tc\n4\td"),
        ("COPY logged (user_id, note) FROM STDIN", many.as_bytes()),
        (
            "COPY logged (note, user_id) FROM STDIN (FORMAT csv, HEADER)",
            b"n,u\r\n\"x\r\ny\",7\r\n,8\r\n",
        ),
        ("COPY public.logged (user_id, note) FROM STDIN BINARY", &ended),
        ("COPY logged (user_id, note) FROM STDIN BINARY", &binary),
        ("COPY logged (user_id, note) FROM STDIN", b"5\ta\\\tb\n6\t\\N\n\\.\n"),
        ("COPY logged (user_id, id) FROM STDIN", b"500\t7000\n501\t7001\n"),
        ("COPY logged (user_id, created) FROM STDIN", b"500\t2024-01-01\n501\t2024-01-01\n"),
        ("COPY logged (user_id) FROM STDIN", b""),
        ("COPY logged (user_id, n) FROM STDIN WHERE n > 3", b"1\t1\n2\t5\n3\t7\n"),
        ("COPY tickets (user_id, title) FROM STDIN CSV", b"1,a\n2,b\n3,\"c\"\n"),
        ("COPY tickets FROM STDIN CSV", b"100,1,a,1\n200,2,b,2\n"),
        ("COPY people (name) FROM STDIN", b"a\nb\nc\nd\n\ne\n"),
        ("COPY people (name) FROM STDIN (FORMAT csv, QUOTE '''', NULL 'n')", b"a\n'n'\nn\n"),
        ("COPY people (name) FROM STDIN (DELIMITER ',')", b"a\nb\\,c\n"),
        ("COPY codes (code) FROM STDIN", b"c\nd\n"),
        // Errors, with the client's rows and lines.
        ("COPY logged (user_id, n) FROM STDIN", b"1\t1\n2\t2\n3\t3\n4\tfour\n5\t5\n"),
        ("COPY tickets (user_id, n) FROM STDIN", b"1\t1\n2\t2\n3\t3000\n5\t5\n"),
        ("COPY tickets (user_id, n) FROM STDIN CSV", b"1,1\n2,2\n\"3\",\"3000\"\n5,5\n"),
        ("COPY logged (user_id, note) FROM STDIN", b"1\ta\n2\n"),
        ("COPY logged (user_id, note) FROM STDIN", b"1\ta\n2\tb\tc\n"),
        ("COPY logged (user_id, note) FROM STDIN", b"1\ta\nx\tb\n"),
        ("COPY logged (user_id, note) FROM STDIN BINARY", &short),
        ("COPY tickets (user_id, title) FROM STDIN CSV", b"1,a\n2,much too long\n"),
        ("COPY codes (code) FROM STDIN", b"e\n\xff\n"),
        ("COPY people (name, nothing) FROM STDIN", b""),
        ("COPY logged (user_id, note) FROM STDIN", b"9\tthe sequence goes on\n"),
    ];
    for (index, (sql, data)) in cases.iter().enumerate() {
        let middle = data.len() / 2;
        // What was drawn for rows that failed is lost, on both sides another number of them.
        for sequence in ["logged_id_seq", "tickets_id_seq", "codes_id_seq"] {
            let next = 10_000 * (index + 10);
            twins.same_query(&format!("SELECT setval('{sequence}', {next}, false)"));
        }
        twins.same(&format!("{index}: {sql}"), &copy(sql, &[&data[..middle], &data[middle..]]), 1);
        twins.same_query(LOGGED);
        twins.same_query("SELECT * FROM tickets");
        twins.same_query("SELECT * FROM people");
        twins.same_query("SELECT id, code, added > now() - interval '1 hour' FROM codes");
    }
    // One statement has one time, and what is random differs.
    twins.same_query("SELECT count(DISTINCT created), count(DISTINCT token) FROM logged WHERE id BETWEEN 110000 AND 129998");
    // The copies of a reference table are the same.
    let sql = "SELECT string_agg(codes::text, ' ' ORDER BY id) FROM codes";
    let expected = twins.cluster.shard(0)?.value(sql)?;
    assert_eq!(twins.cluster.shard(1)?.value(sql)?, expected);
    for key in 1..6 {
        twins.same_query(&format!("SELECT * FROM people WHERE id = {key}"));
    }
    Ok(())
}

#[test]
fn a_key_that_is_left_out_is_made() -> Result<()> {
    let mut twins = twins(2)?;
    let data: String = (0..500).map(|i| format!("{i}\n")).collect();
    twins.same("tokens", &copy("COPY tokens (n) FROM STDIN", &[data.as_bytes()]), 1);
    twins.same_query("SELECT count(*), count(DISTINCT token), sum(n) FROM tokens");
    let token = twins.sharded.value("SELECT token FROM tokens WHERE n = 77")?;
    let sql = format!("SELECT n FROM tokens WHERE token = '{token}'");
    assert_eq!(twins.sharded.value(&sql)?, "77");
    Ok(())
}

#[test]
fn what_is_drawn_belongs_to_the_transaction() -> Result<()> {
    let mut twins = twins(2)?;
    let sql = "COPY logged (user_id, note) FROM STDIN";
    let data: &[u8] = b"1\ta\n2\tb\n3\tc\n";
    for end in ["ROLLBACK", "COMMIT"] {
        twins.same_query("BEGIN");
        twins.same("in a block", &copy(sql, &[data]), 1);
        twins.same_query(LOGGED);
        twins.same_query(end);
        twins.same_query(LOGGED);
    }
    twins.same_query("BEGIN");
    twins.same_query("TRUNCATE logged RESTART IDENTITY");
    twins.same("after TRUNCATE", &copy(sql, &[data]), 1);
    twins.same_query(LOGGED);
    twins.same_query("COMMIT");
    twins.same_query("BEGIN");
    twins.same("an error", &copy(sql, &[b"1\ta\nx\tb\n"]), 1);
    twins.same_query("SELECT 1");
    twins.same_query("ROLLBACK");
    let failed = [frontend::query(sql), frontend::copy_data(data), frontend::copy_fail("no more")];
    twins.same("given up by the client", &failed.concat(), 1);
    twins.same_query("ALTER SEQUENCE logged_id_seq MAXVALUE 12");
    let (expected, given) = {
        let all = copy(sql, &[data, data, data, data]);
        twins.whole.send(&all)?;
        twins.sharded.send(&all)?;
        (twins.whole.until_ready(1)?, twins.sharded.until_ready(1)?)
    };
    let code = |it: &[pgherd_harness::raw::Message]| {
        it.iter().find(|it| it.tag == b'E').and_then(|it| it.sqlstate())
    };
    assert_eq!((code(&given), code(&expected).as_deref()), (code(&expected), Some("2200H")));
    twins.same_query(LOGGED);
    for (sql, construct) in [
        ("COPY odd (user_id) FROM STDIN", "without its column n"),
        ("COPY watched (user_id) FROM STDIN", "a trigger for statements"),
        ("COPY logged (user_id) FROM STDIN (FORMAT csv, HEADER match)", "HEADER MATCH"),
        ("COPY tickets (title) FROM STDIN", "without its sharding key"),
    ] {
        twins.refuses(sql, construct);
    }
    twins.same_query("SET DateStyle = 'SQL, DMY'");
    twins.refuses("COPY logged (user_id) FROM STDIN", "DateStyle");
    Ok(())
}
