//! The extended protocol over shards.

use anyhow::Result;
use pgherd_harness::raw::frontend::{
    bind, close_portal, close_statement, describe_portal, describe_statement, execute, flush,
    message, parse, query, sync,
};

use super::compare::Twins;

/// A Bind with formats of parameters and results.
fn bound(
    portal: &str,
    statement: &str,
    formats: &[u16],
    values: &[Option<&[u8]>],
    results: &[u16],
) -> Vec<u8> {
    let mut body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0"].concat();
    let list = |body: &mut Vec<u8>, list: &[u16]| {
        body.extend_from_slice(&(list.len() as u16).to_be_bytes());
        list.iter().for_each(|it| body.extend_from_slice(&it.to_be_bytes()));
    };
    list(&mut body, formats);
    body.extend_from_slice(&(values.len() as u16).to_be_bytes());
    for value in values {
        match value {
            Some(value) => {
                body.extend_from_slice(&(value.len() as u32).to_be_bytes());
                body.extend_from_slice(value);
            }
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    list(&mut body, results);
    message(b'B', &body)
}

#[test]
fn batches_pipelines_and_portals() -> Result<()> {
    let mut twins = Twins::start(3)?;
    let by_id = "SELECT id, name FROM users WHERE id = $1";
    let one = |key: &'static str| -> Vec<u8> {
        [
            parse("", by_id, &[]),
            describe_statement(""),
            bind("", "", &[Some(key.as_bytes())]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]
        .concat()
    };
    let rows: Vec<(&str, Vec<u8>, usize)> = vec![
        ("by key", one("7"), 1),
        ("another", one("8"), 1),
        ("no such row", one("1000"), 1),
        ("no key", one("x"), 1),
        ("a named statement", [parse("s", by_id, &[20]), sync()].concat(), 1),
        ("the name again", [parse("s", by_id, &[20]), sync()].concat(), 1),
        (
            "used twice in one batch",
            [
                bind("", "s", &[Some(b"1")]),
                execute("", 0),
                bind("", "s", &[Some(b"2")]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            1,
        ),
        (
            "binary results",
            [bound("", "s", &[], &[Some(b"3")], &[1]), describe_portal(""), execute("", 0), sync()]
                .concat(),
            1,
        ),
        (
            "binary parameters, mixed results",
            [
                bound("", "s", &[1], &[Some(&3_i64.to_be_bytes())], &[1, 0]),
                describe_portal(""),
                execute("", 0),
                sync(),
            ]
            .concat(),
            1,
        ),
        ("too few values", [bind("", "s", &[]), sync()].concat(), 1),
        (
            "formats of other columns",
            [bound("", "s", &[], &[Some(b"3")], &[1, 0, 1]), sync()].concat(),
            1,
        ),
        ("no such statement", [bind("", "t", &[]), execute("", 0), sync()].concat(), 1),
        ("no such portal", [execute("p", 0), sync()].concat(), 1),
        (
            "nothing to describe",
            [describe_portal("p"), describe_statement("t"), sync()].concat(),
            1,
        ),
        ("close what is not there", [close_statement("t"), close_portal("p"), sync()].concat(), 1),
        (
            "an empty statement",
            [parse("", "", &[]), describe_statement(""), bind("", "", &[]), execute("", 0), sync()]
                .concat(),
            1,
        ),
        (
            "an error in the middle",
            [
                parse("", "SELECT nix", &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
                query("SELECT 1"),
            ]
            .concat(),
            2,
        ),
        ("two commands", [parse("", "SELECT 1; SELECT 2", &[]), sync()].concat(), 1),
        (
            "rows a few at a time",
            [
                parse("", "SELECT id FROM users ORDER BY id LIMIT 7", &[]),
                bind("p", "", &[]),
                execute("p", 3),
                execute("p", 3),
                execute("p", 3),
                execute("p", 3),
                sync(),
            ]
            .concat(),
            1,
        ),
        (
            "as many as there are",
            [
                parse("", "SELECT id FROM users WHERE id = 4", &[]),
                bind("p", "", &[]),
                execute("p", 1),
                execute("p", 1),
                sync(),
            ]
            .concat(),
            1,
        ),
        (
            "a portal ends with its transaction",
            [bind("p", "s", &[Some(b"1")]), sync(), execute("p", 0), sync()].concat(),
            2,
        ),
        (
            "a portal lives in its block",
            [
                query("BEGIN"),
                bind("p", "s", &[Some(b"1")]),
                sync(),
                execute("p", 0),
                sync(),
                bind("p", "s", &[Some(b"1")]),
                sync(),
                query("ROLLBACK"),
            ]
            .concat(),
            5,
        ),
        (
            "one transaction for the batch",
            [
                parse("", "UPDATE users SET balance = 7 WHERE id = 9", &[]),
                bind("", "", &[]),
                execute("", 0),
                parse("", "SELECT 1 / (SELECT 0)", &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
                query("SELECT balance FROM users WHERE id = 9"),
            ]
            .concat(),
            2,
        ),
        (
            "an aggregate over shards",
            [
                parse("", "SELECT count(*), sum(total) FROM orders WHERE total > $1", &[]),
                describe_statement(""),
                bound("", "", &[], &[Some(b"100")], &[1]),
                describe_portal(""),
                execute("", 0),
                sync(),
            ]
            .concat(),
            1,
        ),
        (
            "transaction control",
            [
                "SHOW search_path",
                "BEGIN",
                "SELECT 1",
                "SELECT name FROM users WHERE id = 1",
                "COMMIT",
            ]
            .map(|sql| {
                [
                    parse("", sql, &[]),
                    describe_statement(""),
                    bind("", "", &[]),
                    execute("", 0),
                    sync(),
                ]
                .concat()
            })
            .concat(),
            5,
        ),
        (
            "in a failed transaction",
            [
                query("BEGIN"),
                query("SELECT nix"),
                parse("", "SELECT 1", &[]),
                sync(),
                bind("", "s", &[Some(b"1")]),
                sync(),
                parse("", "ROLLBACK", &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            5,
        ),
        ("a null", [bind("", "s", &[None]), execute("", 0), sync()].concat(), 1),
    ];
    for (what, bytes, readies) in rows {
        twins.same(what, &bytes, readies);
    }
    Ok(())
}

#[test]
fn flush_answers_what_came() -> Result<()> {
    let mut twins = Twins::start(2)?;
    let bytes =
        [parse("", "SELECT name FROM users WHERE id = $1", &[20]), describe_statement(""), flush()]
            .concat();
    for client in [&mut twins.whole, &mut twins.sharded] {
        client.send(&bytes)?;
        let tags: Vec<u8> = client.until_tag(b'T')?.iter().map(|it| it.tag).collect();
        assert_eq!(tags, b"1tT");
        client.send(&[bind("", "", &[Some(b"1")]), execute("", 0), flush()].concat())?;
        let tags: Vec<u8> = client.until_tag(b'C')?.iter().map(|it| it.tag).collect();
        assert_eq!(tags, b"2DC");
        client.send(&sync())?;
        assert_eq!(client.until_ready(1)?.len(), 1);
    }
    Ok(())
}
