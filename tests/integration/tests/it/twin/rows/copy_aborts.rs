//! COPY that ends in some other way than with its last line.

use pgherd_harness::raw::frontend::{
    bind, bind_formats, close_portal, copy_data, copy_done, copy_fail, describe_portal,
    describe_statement, execute, flush, function_call, message, parse, query, sync, terminate,
};

use crate::twin::script::{Row, row};

const IN: &str = "COPY items FROM STDIN";
const COUNT: &str = "SELECT count(*), max(id) FROM items";
const BINARY: &str = "COPY items (id, name) FROM STDIN (FORMAT binary)";
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Parse, Bind and Execute of a statement without parameters.
fn run(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat()
}

fn line(id: u32) -> Vec<u8> {
    copy_data(format!("{id}\tcopied\t{id}.5\n").as_bytes())
}

/// A row of the binary format: an int4 and a text.
fn tuple(id: i32, name: &str) -> Vec<u8> {
    let mut bytes = b"\0\x02\0\0\0\x04".to_vec();
    bytes.extend(id.to_be_bytes());
    bytes.extend((name.len() as u32).to_be_bytes());
    bytes.extend(name.as_bytes());
    bytes
}

pub fn rows() -> Vec<Row> {
    let mut rows = simple();
    rows.extend(extended());
    // Postgres 13 answers in other words.
    rows.extend(foreign().into_iter().map(|row| row.since(14)));
    rows.extend(binary());
    rows.extend(among_statements());
    rows
}

fn simple() -> Vec<Row> {
    vec![
        row("CopyFail at once")
            .until(b'G', [query(IN)])
            .ready([copy_fail("")])
            .ready([query(COUNT)]),
        row("CopyFail without waiting, then more of everything").readies(
            3,
            [
                query(IN),
                line(10),
                copy_fail("why\nnot"),
                line(11),
                copy_done(),
                query(COUNT),
                query("SELECT 2"),
            ],
        ),
        row("CopyDone twice, CopyFail after CopyDone")
            .until(b'G', [query(IN)])
            .ready([line(10), copy_done(), copy_done(), copy_fail("late")])
            .ready([query(COUNT)])
            .writes(),
        row("data after the end-of-data marker is ignored")
            .until(b'G', [query(IN)])
            .ready([line(10), copy_data(b"\\.\n"), line(11), copy_done()])
            .ready([query(COUNT)])
            .writes(),
        row("the error comes with the last line")
            .until(b'G', [query(IN)])
            .ready([line(10), copy_data(b"11\tno line end"), copy_done()])
            .ready([query(COUNT)]),
        row("a constraint fails in the middle, with much behind it").readies(
            2,
            [
                query(IN),
                line(10),
                line(1),
                [line(11), line(12), line(13)].concat().repeat(20),
                copy_done(),
                query(COUNT),
            ],
        ),
        row("an error in the data, and the client fails the copy as well")
            .until(b'G', [query(IN)])
            .ready([copy_data(b"x\n"), copy_fail("me too")])
            .ready([query(COUNT)]),
        row("sync inside, then CopyFail")
            .until(b'G', [query(IN)])
            .ready([sync(), line(10), sync(), flush(), copy_fail("no")])
            .ready([query(COUNT)]),
        row("copy out that nobody can finish")
            .ready([query("COPY (SELECT 10 / (n - 3) FROM generate_series(1, 9) n) TO STDOUT")])
            .ready([query(COUNT)]),
        row("copy out of nothing, and to nowhere")
            .ready([query("COPY (SELECT 1 WHERE false) TO STDOUT")])
            .ready([query("COPY nothing TO STDOUT")]),
        row("copy out, and the client sends copy messages")
            .ready([query("COPY (SELECT 1) TO STDOUT"), line(10), copy_done(), copy_fail("what")])
            .ready([query(COUNT)]),
        row("in a transaction that is rolled back to a savepoint")
            .ready([query("BEGIN; SAVEPOINT s")])
            .until(b'G', [query(IN)])
            .ready([line(10), copy_fail("no")])
            .ready([query(COUNT)])
            .ready([query("ROLLBACK TO s")])
            .until(b'G', [query(IN)])
            .ready([line(10), copy_done()])
            .ready([query("COMMIT")])
            .ready([query(COUNT)])
            .writes(),
    ]
}

fn extended() -> Vec<Row> {
    vec![
        row("extended: CopyFail, then the rest of the batch is skipped").ready([
            run(IN),
            line(10),
            copy_fail("no"),
            run("SELECT 1"),
            describe_statement(""),
            close_portal(""),
            sync(),
        ]),
        row("extended: CopyFail without a sync, then a sync")
            .until(b'G', [run(IN), flush()])
            .until(b'E', [line(10), copy_fail("no"), flush()])
            .ready([sync()])
            .ready([query(COUNT)]),
        row("extended: an error in the data, and everything up to the sync is skipped")
            .until(b'G', [run(IN), flush()])
            .until(b'E', [copy_data(b"bad\n")])
            .ready([line(10), copy_fail("me too"), run("SELECT 1"), sync()])
            .ready([query(COUNT)]),
        row("extended: CopyDone and Flush, the next statement in the same batch")
            .until(b'G', [run(IN), flush()])
            .until(b'C', [line(10), copy_done(), flush()])
            .until(b'D', [run(COUNT), flush()])
            .ready([sync()])
            .writes(),
        row("extended: an error before the copy").ready([
            run("SELECT 1/0"),
            run(IN),
            line(10),
            copy_done(),
            sync(),
        ]),
        row("extended: the copy after something else in its batch")
            .until(b'G', [run("SELECT 1"), run(IN), flush()])
            .ready([line(10), copy_done(), run("SELECT 2"), sync()])
            .ready([query(COUNT)])
            .writes(),
        row("extended: in a transaction block, failed and ended")
            .ready([query("BEGIN")])
            .ready([run(IN), line(10), copy_fail("no"), sync()])
            .ready([run("SELECT 1"), sync()])
            .ready([query("ROLLBACK")])
            .ready([query(COUNT)]),
        row("extended: copy out cut off by an error, and a batch behind it").readies(
            2,
            [
                run("COPY (SELECT 10 / (n - 3) FROM generate_series(1, 9) n) TO STDOUT"),
                run("SELECT 'skipped'"),
                sync(),
                run("SELECT 'run'"),
                sync(),
            ],
        ),
        row("extended: syncs inside are ignored while it goes well")
            .until(b'G', [run(IN), flush()])
            .ready([line(10), sync(), line(11), sync(), sync(), copy_done(), sync()])
            .ready([query(COUNT)])
            .writes(),
    ]
}

/// Messages that have no business inside a copy.
fn foreign() -> Vec<Row> {
    vec![
        row("a Parse inside ends the connection")
            .until(b'G', [query(IN)])
            .closed([line(10), parse("", "SELECT 1", &[])]),
        row("a Bind inside an extended copy ends the connection")
            .until(b'G', [run(IN), flush()])
            .closed([line(10), bind("", "", &[])]),
        row("a function call inside ends the connection")
            .until(b'G', [query(IN)])
            .closed([function_call(1251, &[b"-1"])]),
        row("a query inside an extended copy ends the connection")
            .until(b'G', [run(IN), flush()])
            .closed([query("SELECT 1")]),
    ]
}

fn binary() -> Vec<Row> {
    vec![
        row("binary, cut anywhere").ready([
            query(BINARY),
            copy_data(&SIGNATURE[..7]),
            copy_data(&[&SIGNATURE[7..], &tuple(10, "ten")[..5]].concat()),
            copy_data(&tuple(10, "ten")[5..]),
            copy_data(&[tuple(11, "eleven"), b"\xff\xff".to_vec()].concat()),
            copy_done(),
        ])
        .ready([query("SELECT id, name FROM items WHERE id >= 10 ORDER BY id")])
            .writes(),
        row("binary, extended, with binary results")
            .ready([
                run(BINARY),
                copy_data(&[SIGNATURE, &tuple(10, "ten"), b"\xff\xff"].concat()),
                copy_done(),
                parse("", "SELECT id, name FROM items WHERE id = 10", &[]),
                bind_formats("", "", &[], 0, 1),
                execute("", 0),
                sync(),
            ])
            .writes(),
        row("binary with another signature")
            .readies(2, [query(BINARY), copy_data(b"NOTCOPY\n\xff\r\n\0"), copy_done(), query(COUNT)]),
        row("binary that ends too early").readies(
            2,
            [
                query(BINARY),
                copy_data(&[SIGNATURE, &tuple(10, "ten")[..9]].concat()),
                copy_done(),
                query(COUNT),
            ],
        ),
        row("binary without its trailer")
            .ready([query(BINARY), copy_data(&[SIGNATURE, &tuple(10, "ten")].concat()), copy_done()])
            .ready([query(COUNT)])
            .writes(),
        row("binary with the wrong number of fields")
            .readies(2, [query(BINARY), copy_data(&[SIGNATURE, b"\0\x05"].concat()), copy_done(), query(COUNT)]),
        row("binary given up")
            .until(b'G', [query(BINARY)])
            .ready([copy_data(SIGNATURE), copy_fail("no")])
            .ready([query(COUNT)]),
        row("binary out, extended, and in an error").readies(
            2,
            [
                run("COPY (SELECT id, name, amount FROM items ORDER BY id) TO STDOUT (FORMAT binary)"),
                sync(),
                run("COPY (SELECT 1 / (id - 2) FROM items ORDER BY id) TO STDOUT (FORMAT binary)"),
                sync(),
            ],
        ),
    ]
}

/// Simple queries of several statements with copies among them.
fn among_statements() -> Vec<Row> {
    vec![
        row("an error before the copy: its data is swallowed").readies(
            2,
            [query(&format!("SELECT 1/0; {IN}; SELECT 2")), line(10), copy_done(), query(COUNT)],
        ),
        row("an error after the copy undoes it")
            .until(b'G', [query(&format!("SELECT 1; {IN}; SELECT 1/0; SELECT 2"))])
            .ready([line(10), copy_done()])
            .ready([query(COUNT)]),
        row("the copy fails: what follows in the query is not run")
            .until(b'G', [query(&format!("DELETE FROM items; {IN}; SELECT 2"))])
            .ready([line(10), copy_fail("no")])
            .ready([query(COUNT)]),
        row("copies in both directions")
            .readies(
                2,
                [
                    query(&format!(
                        "COPY (SELECT 1) TO STDOUT; {IN}; COPY (SELECT 2) TO STDOUT; {IN}; {COUNT}"
                    )),
                    line(10),
                    copy_done(),
                    line(11),
                    copy_done(),
                    query("SELECT 3"),
                ],
            )
            .writes(),
        row("the first of two copies fails: the data of the second is swallowed").readies(
            2,
            [
                query(&format!("{IN}; {IN}; {COUNT}")),
                copy_data(b"bad\n"),
                copy_done(),
                line(11),
                copy_done(),
                query(COUNT),
            ],
        ),
        row("BEGIN, copy and COMMIT in one query")
            .until(b'G', [query(&format!("BEGIN; {IN}; COMMIT; {COUNT}"))])
            .ready([line(10), copy_done()])
            .ready([query(COUNT)])
            .writes(),
        row("BEGIN and a copy that fails leave a failed transaction")
            .until(b'G', [query(&format!("BEGIN; {IN}; COMMIT"))])
            .ready([copy_fail("no")])
            .ready([query(COUNT)])
            .ready([query("ROLLBACK")])
            .ready([query(COUNT)]),
        row("a copy between notices")
            .until(b'G', [query(&format!("SELECT noisy('before'); {IN}; SELECT noisy('after')"))])
            .ready([line(10), copy_done()])
            .writes(),
        row("an empty statement around a copy")
            .until(b'G', [query(&format!(";;{IN};;"))])
            .ready([line(10), copy_done()])
            .writes(),
    ]
}

/// Rows of which the proxy's answer differs, so that they run on Postgres only.
pub fn differing() -> Vec<Row> {
    let rows = vec![
        // On purpose: the client has gone and the server connection is saved, by a CopyFail.
        row("terminate inside").until(b'G', [query(IN)]).closed([line(10), terminate()]),
        row("terminate inside, in a transaction")
            .ready([query("BEGIN; DELETE FROM items")])
            .until(b'G', [query(IN)])
            .closed([line(10), terminate()]),
        row("extended: terminate inside").until(b'G', [run(IN), flush()]).closed([terminate()]),
        // The FATAL error is that of a message outside of a copy.
        row("an unknown message inside ends the connection")
            .until(b'G', [query(IN)])
            .closed([line(10), message(b'z', b"")]),
        // The server ends the connection now and then, when the row is cut at the first CopyData.
        row("sync inside, after an error in the data")
            .until(b'E', [query(IN), copy_data(b"x\n")])
            .readies(2, [sync(), line(10), copy_done()])
            .ready([query(COUNT)]),
        row("extended: a named portal, described")
            .ready([
                parse("c", IN, &[]),
                bind("p", "c", &[]),
                describe_statement("c"),
                describe_portal("p"),
                execute("p", 0),
                line(10),
                copy_done(),
                sync(),
            ])
            .ready([bind("", "c", &[]), execute("", 0), line(11), copy_done(), sync()])
            .ready([query(COUNT)]),
        row("extended: the same statement again after it failed")
            .ready([parse("c", IN, &[]), sync()])
            .ready([bind("", "c", &[]), execute("", 0), copy_data(b"bad\n"), copy_done(), sync()])
            .ready([bind("", "c", &[]), execute("", 0), line(11), copy_done(), sync()])
            .ready([query(COUNT)]),
    ];
    rows.into_iter().map(Row::writes).collect()
}
