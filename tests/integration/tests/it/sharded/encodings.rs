//! Clients with other encodings than UTF-8: rows are placed by what they are in the database.

use anyhow::Result;
use pgherd_harness::raw::frontend;
use pgherd_harness::sharded::ShardedCluster;

use super::compare::Twins;

const SCHEMA: &str = "CREATE TABLE words (word text PRIMARY KEY, n integer, \"größe\" text); \
    CREATE TABLE notes (user_id bigint, note text); \
    INSERT INTO words SELECT 'wä' || i, i, 'ö' FROM generate_series(1, 30) i; \
    INSERT INTO notes SELECT i, 'ñ' || i FROM generate_series(1, 30) i;";

fn twins() -> Result<Twins> {
    Twins::of(
        ShardedCluster::builder(3)
            .schema(SCHEMA)
            .sharded_by("user_id")
            .sharded_as("words", "word", "text")
            .start()?,
    )
}

/// A simple query in ISO 8859-1.
fn latin1(sql: &str) -> Vec<u8> {
    let text: Vec<u8> =
        sql.chars().map(|it| u8::try_from(u32::from(it)).expect("Latin 1")).collect();
    query(&text)
}

fn query(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len() + 5).expect("a short text");
    [&b"Q"[..], &length.to_be_bytes()[..], text, b"\0"].concat()
}

#[test]
fn latin1_is_placed_as_what_it_means() -> Result<()> {
    let mut twins = twins()?;
    twins.same_query("SET client_encoding = 'LATIN1'");
    for sql in [
        "SELECT * FROM words WHERE word = 'wä7'",
        "SELECT \"größe\", count(*) FROM words GROUP BY 1",
        "SELECT word, \"größe\" AS \"é\" FROM words ORDER BY n LIMIT 3",
        "SELECT sum(length(word)) FROM words WHERE word LIKE 'wä%'",
        // Two characters whose bytes are one of UTF-8.
        "INSERT INTO words VALUES ('Ã¤', 100, 'Ã¶'), ('ä', 101, 'ö'), ('a', 102, 'o')",
        "INSERT INTO words (word, n) SELECT note || 'é', 7 FROM notes",
        "SELECT * FROM words WHERE word IN ('Ã¤', 'ä')",
        "SELECT * FROM words WHERE word = 'Ã¤'",
        "UPDATE words SET word = word || 'ß' WHERE n < 9 RETURNING word",
        "SELECT n FROM words WHERE word = 'wä3ß'",
        "WITH d AS (DELETE FROM words WHERE n < 5 RETURNING word, n) INSERT INTO notes SELECT n, word || 'ü' FROM d",
        "SELECT note FROM notes WHERE user_id = 3",
        "COPY (SELECT word, \"größe\" FROM words ORDER BY n, word LIMIT 9) TO STDOUT CSV HEADER",
        "SELECT nöthing FROM words",
        "SELECT 'é' FROM words WHERE x",
    ] {
        twins.same(sql, &latin1(sql), 1);
    }
    let data = [
        frontend::query("COPY words (word, n) FROM STDIN"),
        frontend::copy_data(b"copied \xe4\t1\ncopied \xc3\xa4\t2\nx\\344\t3\n"),
        frontend::copy_done(),
    ];
    twins.same("COPY", &data.concat(), 1);
    let mut binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    binary.extend_from_slice(b"\0\x01\0\0\0\x04bin\xe4\xff\xff");
    let data = [
        frontend::query("COPY words (word) FROM STDIN BINARY"),
        frontend::copy_data(&binary),
        frontend::copy_done(),
    ];
    twins.same("COPY BINARY", &data.concat(), 1);
    for word in ["copied ä", "copied Ã¤", "xä", "binä", "ä", "Ã¤"] {
        let sql = format!("SELECT n FROM words WHERE word = '{word}'");
        twins.same(word, &latin1(&sql), 1);
    }
    for (value, format) in [(&b"\xc3\xa4"[..], 0), (&b"\xe4"[..], 1), (&b"\xc3\xa4"[..], 1)] {
        let mut bind = b"\0\0\0\x01".to_vec();
        bind.extend_from_slice(&i16::to_be_bytes(format));
        bind.extend_from_slice(b"\0\x01");
        bind.extend_from_slice(&u32::try_from(value.len())?.to_be_bytes());
        bind.extend_from_slice(value);
        bind.extend_from_slice(b"\0\0");
        let length = u32::try_from(bind.len() + 4)?;
        let bind = [&b"B"[..], &length.to_be_bytes()[..], &bind].concat();
        for sql in [
            "SELECT n FROM words WHERE word = $1",
            "INSERT INTO words (word) VALUES ($1 || 'p') RETURNING word",
        ] {
            let all = [frontend::parse("", sql, &[25]), bind.clone(), frontend::execute("", 0)];
            twins.same(sql, &[all.concat(), frontend::sync()].concat(), 1);
        }
    }
    // Parsed, again and again: the bytes of the second are those of the first in UTF-8.
    for text in [
        &b"SELECT n FROM words WHERE word = '\xe4'"[..],
        b"SELECT n FROM words WHERE word = '\xc3\xa4'",
    ]
    .repeat(2)
    {
        let parse = [b"\0", text, b"\0\0\0"].concat();
        let length = u32::try_from(parse.len() + 4)?;
        let parse = [&b"P"[..], &length.to_be_bytes()[..], &parse].concat();
        let all = [parse, frontend::bind("", "", &[]), frontend::execute("", 0), frontend::sync()];
        twins.same("Parse", &all.concat(), 1);
    }
    // All of it is found again by those who speak UTF-8.
    twins.same_query("SET client_encoding = 'UTF8'");
    twins.same_query("SELECT * FROM words");
    for word in ["ä", "Ã¤", "äp", "Ã¤p", "copied ä", "binä", "ñ7é"] {
        twins.same_query(&format!("SELECT n FROM words WHERE word = '{word}'"));
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_is_refused() -> Result<()> {
    let mut twins = twins()?;
    twins.same_query("SET client_encoding = 'SJIS'");
    for sql in [
        "SELECT n FROM words WHERE n = 3",
        "SELECT count(*) FROM words",
        "INSERT INTO words (word, n) VALUES ('a', 1), ('b', 2), ('c', 3)",
        "SELECT n FROM words WHERE word = 'b'",
    ] {
        twins.same_query(sql);
    }
    for sql in [&b"SELECT '\x83\x5c'"[..], b"INSERT INTO words (word) VALUES ('\x83\x5c')"] {
        twins.sharded.send(&query(sql))?;
        let messages = twins.sharded.until_ready(1)?;
        let error = messages.iter().find(|it| it.tag == b'E').and_then(|it| it.sqlstate());
        assert_eq!(error.as_deref(), Some("0A000"));
    }
    let data = [
        frontend::query("COPY words (word) FROM STDIN BINARY"),
        frontend::copy_data(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x02\x83\x5c\xff\xff"),
        frontend::copy_done(),
    ];
    twins.sharded.send(&data.concat())?;
    let messages = twins.sharded.until_ready(1)?;
    let error = messages.iter().find(|it| it.tag == b'E').and_then(|it| it.sqlstate());
    assert_eq!(error.as_deref(), Some("0A000"));
    twins.refuses("COPY words FROM STDIN", "in the encoding SJIS");
    twins.refuses("COPY (SELECT word FROM words ORDER BY n) TO STDOUT", "another encoding");
    twins.same_query("SET client_encoding = 'UTF8'");
    twins.same_query("SELECT * FROM words");
    Ok(())
}
