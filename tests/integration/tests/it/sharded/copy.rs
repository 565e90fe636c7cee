//! COPY over shards: the same messages as one Postgres sends, and the same rows afterwards.

use anyhow::Result;
use pgherd_harness::raw::{Message, frontend};
use pgherd_harness::sharded::ShardedCluster;

use super::compare::Twins;

const SCHEMA: &str = "CREATE TABLE notes (user_id bigint NOT NULL, note text, n integer CHECK (n < 1000)); \
    CREATE TABLE words (word varchar(8) PRIMARY KEY, n integer); \
    CREATE TABLE codes (code text PRIMARY KEY, n integer); \
    INSERT INTO notes SELECT i, 'note ' || i, i FROM generate_series(1, 50) i; \
    INSERT INTO words SELECT 'w' || i, i FROM generate_series(1, 50) i; \
    INSERT INTO codes VALUES ('a', 1), ('b', 2);";

fn twins(shards: usize) -> Result<Twins> {
    Twins::of(
        ShardedCluster::builder(shards)
            .schema(SCHEMA)
            .sharded_by("user_id")
            .sharded_as("words", "word", "varchar")
            .reference("codes")
            .start()?,
    )
}

/// A COPY FROM STDIN with its data in pieces.
pub fn copy(sql: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = frontend::query(sql);
    for piece in pieces {
        out.extend(frontend::copy_data(piece));
    }
    out.extend(frontend::copy_done());
    out
}

#[test]
fn rows_go_to_their_shards() -> Result<()> {
    let mut twins = twins(3)?;
    let many: String = (100..3000).map(|i| format!("{i}\tx{i}\t{}\n", i % 1000)).collect();
    let quoted: String = (1..400).map(|i| format!("\"line\n{i}\",{}\n", i * 7)).collect();
    let mut binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for i in 0_i64..50 {
        binary.extend_from_slice(b"\0\x02\0\0\0\x08");
        binary.extend_from_slice(&(i * 3).to_be_bytes());
        binary.extend_from_slice(b"\0\0\0\x03bin");
    }
    binary.extend_from_slice(b"\xff\xff");
    let cases: &[(&str, &[u8])] = &[
        ("COPY notes FROM STDIN", many.as_bytes()),
        ("COPY notes (note, user_id) FROM STDIN CSV", quoted.as_bytes()),
        ("COPY notes (user_id, note) FROM STDIN BINARY", &binary),
        (
            "COPY notes FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';', NULL 'x')",
            b"user_id;note;n\n1;x;2\n\"2\";\"x\";3\n3;'y';4",
        ),
        ("COPY notes (note, user_id) FROM STDIN", b"\\N\t5\na\\tb\t6\r\n"),
        ("COPY notes (note, user_id) FROM STDIN", b"\\N\t5\na\\tb\\\nc\t6\n\\.\n"),
        ("COPY words FROM STDIN", b"abc\t1\nabcdefgh  \t2\nx\\x41\t3\n"),
        ("COPY codes FROM STDIN", b"c\t3\nd\t4\n"),
        ("COPY notes FROM STDIN", b""),
        // Errors, with the client's lines.
        ("COPY notes FROM STDIN", b"1\ta\t1\n2\tb\t2\n3\tc\t3\n4\td\t4\n5\te\tfive\n6\tf\t6\n"),
        ("COPY notes FROM STDIN", b"1\ta\t1\n2\tb\t2\n3\tc\t3\n4\td\t4\nfive\te\t5\n6\tf\t6\n"),
        ("COPY notes FROM STDIN", b"1\ta\t1\n2\tb\t2\n3\tc\n"),
        ("COPY notes FROM STDIN", b"1\ta\t1\n2\tb\t2\t3\n3\tc\t3\n"),
        ("COPY notes FROM STDIN", b"1\ta\t1\n\\N\tb\t2\n3\tc\t3\n"),
        ("COPY notes FROM STDIN", b"1\ta\t1\n2\tb\t2\n3\tc\t5000\n"),
        ("COPY notes FROM STDIN CSV", b"1,\"a\nb\nc\",1\n2,\"d\ne\",2\n3,f,x\n4,\"g\nh\",3\n"),
        ("COPY words FROM STDIN", b"abc\t1\nw7\t2\nw8\t3\n"),
        ("COPY codes FROM STDIN", b"e\t1\na\t2\n"),
        ("COPY codes FROM STDIN", b"e\t1\nf\tx\n"),
        ("COPY notes (user_id, nothing) FROM STDIN", b""),
    ];
    for (index, (sql, data)) in cases.iter().enumerate() {
        let middle = data.len() / 2;
        let pieces = [&data[..middle], &data[middle..]];
        let all = copy(sql, &pieces);
        twins.same(&format!("{index}: {sql}"), &all, 1);
        for table in ["notes", "words", "codes"] {
            twins.same_query(&format!("SELECT * FROM {table}"));
        }
    }
    // Rows are where their keys belong: a key is found again by itself.
    for key in [1, 5, 100, 999, 2999] {
        twins.same_query(&format!("SELECT count(*) FROM notes WHERE user_id = {key}"));
    }
    for count in ["SELECT count(*) FROM codes", "SELECT count(*) FROM notes"] {
        twins.same_query(count);
    }
    Ok(())
}

#[test]
fn a_copy_is_whole_or_not_there() -> Result<()> {
    let mut twins = twins(2)?;
    let data = b"1\ta\t1\n2\tb\t2\n3\tc\t3\n";
    let failed = [
        frontend::query("COPY notes FROM STDIN"),
        frontend::copy_data(data),
        frontend::copy_fail("no more"),
    ];
    twins.same("given up by the client", &failed.concat(), 1);
    twins.same_query("SELECT count(*) FROM notes");
    for end in ["ROLLBACK", "COMMIT"] {
        twins.same_query("BEGIN");
        twins.same("in a block", &copy("COPY notes FROM STDIN", &[data]), 1);
        twins.same_query("SELECT count(*) FROM notes");
        twins.same_query(end);
        twins.same_query("SELECT count(*) FROM notes");
    }
    twins.same_query("BEGIN");
    twins.same("an error in a block", &copy("COPY notes FROM STDIN", &[b"1\ta\tx\n"]), 1);
    twins.same_query("SELECT 1");
    twins.same_query("ROLLBACK");
    twins.same_query("SELECT count(*) FROM notes");
    let extended = [
        frontend::parse("", "COPY notes FROM STDIN", &[]),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::copy_data(data),
        frontend::copy_done(),
        frontend::sync(),
    ];
    twins.same("in the extended protocol", &extended.concat(), 1);
    twins.same_query("SELECT count(*) FROM notes");
    twins.same_query("COPY nowhere FROM STDIN");
    for (sql, construct) in [
        ("COPY notes (note) FROM STDIN", "without its sharding key"),
        ("COPY notes FROM '/nowhere'", "file"),
        ("COPY (DELETE FROM notes RETURNING n) TO STDOUT", "COPY of a statement that writes"),
    ] {
        twins.refuses(sql, construct);
        twins.same_query("SELECT 1");
    }
    Ok(())
}

/// The data of COPY TO in one order, the rest as it is.
fn sorted(messages: &[Message]) -> Vec<(u8, Vec<u8>)> {
    let mut all: Vec<(u8, Vec<u8>)> =
        messages.iter().map(|it| (it.tag, it.body.to_vec())).collect();
    let is_data = |it: &(u8, Vec<u8>)| it.0 == b'd';
    let first = all.iter().position(is_data).unwrap_or(all.len());
    let last = all.iter().rposition(is_data).map_or(first, |it| it + 1);
    // A header stays the first.
    all[(first + 1).min(last)..last].sort();
    all
}

#[test]
fn a_table_comes_in_one_piece() -> Result<()> {
    let mut twins = twins(3)?;
    for sql in [
        "COPY notes TO STDOUT WITH (FORMAT csv, HEADER)",
        "COPY codes TO STDOUT",
        "COPY (SELECT * FROM notes WHERE user_id = 7) TO STDOUT",
        "COPY (SELECT 1, 'x') TO STDOUT WITH (FORMAT csv, HEADER)",
        "COPY (SELECT user_id, note FROM notes WHERE n > 10) TO STDOUT CSV HEADER",
    ] {
        let expected = sorted(&twins.whole.simple(sql)?);
        assert_eq!(sorted(&twins.sharded.simple(sql)?), expected, "{sql}");
    }
    let lines = |messages: &[Message]| -> Vec<u8> {
        messages.iter().filter(|it| it.tag == b'd').flat_map(|it| it.body.to_vec()).collect()
    };
    let sql = "COPY notes TO STDOUT BINARY";
    let (expected, given) = (twins.whole.simple(sql)?, twins.sharded.simple(sql)?);
    assert_eq!(lines(&given).len(), lines(&expected).len());
    assert!(lines(&given).starts_with(b"PGCOPY\n\xff\r\n\0"));
    assert!(lines(&given).ends_with(b"\xff\xff"));
    // What came out goes in again.
    let data = lines(&given);
    twins.same("binary again", &copy("COPY notes FROM STDIN BINARY", &[&data]), 1);
    twins.same_query("SELECT * FROM notes");
    Ok(())
}

#[test]
fn unique_ids_are_unique_over_shards() -> Result<()> {
    let mut twins = twins(3)?;
    let client = &mut twins.sharded;
    client.simple("CREATE TABLE things (user_id bigint DEFAULT pgherd.unique_id(), n integer)")?;
    for n in 0..20 {
        let values: Vec<String> = (0..50).map(|it| format!("({})", n * 50 + it)).collect();
        let messages =
            client.simple(&format!("INSERT INTO things (n) VALUES {}", values.join(", ")))?;
        assert!(messages.iter().any(|it| it.tag == b'C'), "{messages:?}");
    }
    let sql = "SELECT count(*), count(DISTINCT user_id), min(user_id) > 0 FROM things";
    assert_eq!(client.rows(sql)?, [["1000", "1000", "t"]]);
    // Each row is found by its key, and all shards have some.
    let id = client.value("SELECT user_id FROM things WHERE n = 700")?;
    let sql = format!("SELECT n FROM things WHERE user_id = {id}");
    assert_eq!(client.value(&sql)?, "700");
    for shard in 0..3 {
        let mut shard = twins.cluster.shard(shard)?;
        assert_ne!(shard.value("SELECT count(*) FROM things")?, "0");
    }
    assert_ne!(client.value("SELECT pgherd.unique_id()")?, id);
    Ok(())
}
