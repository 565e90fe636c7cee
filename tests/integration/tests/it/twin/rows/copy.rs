//! COPY in both directions, and every way to break it off.

use pgherd_harness::raw::frontend::{
    bind, copy_data, copy_done, copy_fail, execute, flush, parse, query, sync,
};

use crate::twin::script::{Row, row};

const IN: &str = "COPY items FROM STDIN";
const COUNT: &str = "SELECT count(*), max(id) FROM items";

/// Parse, Bind and Execute of a statement without parameters.
fn run(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat()
}

fn line(id: u32) -> Vec<u8> {
    copy_data(format!("{id}\tcopied\t{id}.5\n").as_bytes())
}

pub fn rows() -> Vec<Row> {
    let mut rows = simple_in();
    rows.extend(extended_in());
    rows.extend(syncs_inside());
    rows.extend(out());
    rows
}

fn simple_in() -> Vec<Row> {
    vec![
        row("copy in")
            .until(b'G', [query(IN)])
            .ready([line(10), line(11), copy_done()])
            .ready([query(COUNT)])
            .writes(),
        row("copy in without waiting for the answer")
            .readies(2, [query(IN), line(10), line(11), copy_done(), query(COUNT)])
            .writes(),
        row("copy in of nothing").until(b'G', [query(IN)]).ready([copy_done()]),
        row("copy in, lines cut anywhere")
            .ready([
                query(IN),
                copy_data(b"10\tco"),
                copy_data(b"pied\t"),
                copy_data(b""),
                copy_data(b"1\n11\tcopied\t\\N\n"),
                copy_done(),
            ])
            .ready([query(COUNT)])
            .writes(),
        row("copy in that the client gives up")
            .until(b'G', [query(IN)])
            .ready([line(10), copy_fail("no more")])
            .ready([query(COUNT)])
            .writes(),
        row("copy in with wrong data; the rest is swallowed")
            .until(b'G', [query(IN)])
            .ready([copy_data(b"not a number\tx\t1\n"), line(11), copy_done()])
            .ready([query(COUNT)])
            .writes(),
        row("copy in that fails only at its end")
            .readies(2, [query(IN), line(1), copy_done(), query(COUNT)])
            .writes(),
        row("copy in that cannot begin; its data is swallowed")
            .readies(2, [query("COPY nothing FROM STDIN"), line(1), copy_done(), query(COUNT)]),
        row("copy data, done and fail outside a copy are ignored")
            .readies(2, [query("SELECT 1"), line(1), copy_done(), copy_fail("what"), query(COUNT)]),
        row("sync and flush within a simple copy in are ignored")
            .until(b'G', [query(IN)])
            .ready([line(10), flush(), sync(), line(11), sync(), copy_done()])
            .ready([query(COUNT)])
            .writes(),
        row("a copy among several statements")
            .until(b'G', [query(&format!("SELECT 1; {IN}; {COUNT}; SELECT 2"))])
            .ready([line(10), copy_done()])
            .writes(),
        row("two copies in one query")
            .ready([
                query(&format!("{IN}; {IN}; {COUNT}")),
                line(10),
                copy_done(),
                line(11),
                copy_done(),
            ])
            .writes(),
        row("the second of two copies fails")
            .readies(
                2,
                [
                    query(&format!("{IN}; {IN}; {COUNT}")),
                    line(10),
                    copy_done(),
                    copy_fail("second"),
                    query(COUNT),
                ],
            )
            .writes(),
        row("a copy in a transaction block, undone")
            .ready([query("BEGIN")])
            .ready([query(IN), line(10), copy_done()])
            .ready([query(COUNT)])
            .ready([query("ROLLBACK")])
            .ready([query(COUNT)])
            .writes(),
        row("a copy that fails in a transaction block")
            .ready([query("BEGIN")])
            .ready([query(IN), copy_data(b"bad\n"), copy_done()])
            .ready([query(COUNT)])
            .ready([query("COMMIT")])
            .writes(),
        row("binary copy in")
            .ready([
                query("COPY items (id, name) FROM STDIN (FORMAT binary)"),
                copy_data(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"),
                copy_data(b"\0\x02\0\0\0\x04\0\0\0\x0a\0\0\0\x03ten\xff\xff"),
                copy_done(),
            ])
            .ready([query("SELECT id, name FROM items WHERE id = 10")])
            .writes(),
        row("another query in the middle of copy in ends the connection")
            .until(b'G', [query(IN)])
            .closed([line(10), query("SELECT 1")])
            .writes()
            // Postgres 13 says so and then waits for a message that it understands.
            .since(14),
    ]
}

fn extended_in() -> Vec<Row> {
    vec![
        row("extended copy in")
            .until(b'G', [run(IN), flush()])
            .ready([line(10), copy_done(), sync()])
            .ready([query(COUNT)])
            .writes(),
        row("extended copy in with its sync at the end, in one write")
            .ready([run(IN), line(10), copy_done(), sync()])
            .ready([query(COUNT)])
            .writes(),
        row("extended copy in with a sync sent before the data")
            .until(b'G', [run(IN), sync()])
            .ready([line(10), copy_done(), sync()])
            .ready([query(COUNT)])
            .writes(),
        row("extended copy in that the client gives up")
            .until(b'G', [run(IN), flush()])
            .ready([line(10), copy_fail("no more"), sync()])
            .ready([query(COUNT)])
            .writes(),
        row("extended copy in with wrong data; the rest up to the sync is swallowed")
            .ready([run(IN), copy_data(b"bad\n"), line(11), copy_done(), run("SELECT 1"), sync()])
            .ready([query(COUNT)])
            .writes(),
        row("something else after an extended copy in, in the same batch")
            .ready([run(IN), line(10), copy_done(), run(COUNT), sync()])
            .writes(),
        row("batches around an extended copy in")
            .readies(
                3,
                [
                    run("SELECT 1"),
                    sync(),
                    run(IN),
                    line(10),
                    line(11),
                    copy_done(),
                    sync(),
                    run(COUNT),
                    sync(),
                ],
            )
            .writes(),
    ]
}

/// How many ReadyForQuery come depends on where the server was when it read each Sync.
fn syncs_inside() -> Vec<Row> {
    let bad = || copy_data(b"bad\n");
    let next = || [run("SELECT 'next'"), sync()].concat();
    vec![
        row("a sync before the data that fails")
            .ready([run(IN), sync(), bad(), copy_done(), sync()])
            .ready([query(COUNT)]),
        row("a sync behind the data that fails")
            .readies(2, [run(IN), bad(), sync(), copy_done(), sync()])
            .ready([query(COUNT)]),
        row("syncs on both sides of the data that fails")
            .readies(2, [run(IN), sync(), bad(), sync(), line(10), sync(), copy_done()])
            .ready([query(COUNT)]),
        row("the same, with more behind it")
            .readies(3, [run(IN), sync(), bad(), sync(), copy_done(), sync(), next()])
            .ready([query(COUNT)]),
        row("what stands between a sync that is ignored and the next one is discarded")
            .readies(2, [run(IN), sync(), bad(), copy_done(), run("SELECT 1"), sync(), next()])
            .ready([query(COUNT)]),
        row("what stands between a sync that counts and the next one is not")
            .readies(3, [run(IN), bad(), sync(), copy_done(), run("SELECT 1"), sync(), next()])
            .ready([query(COUNT)]),
        row("a copy that the client gives up, with syncs inside")
            .ready([run(IN), sync(), line(10), sync(), copy_fail("no more"), sync()])
            .ready([query(COUNT)])
            .ready([run(IN), sync(), copy_fail("no more"), run("SELECT 1"), sync()])
            .ready([query(COUNT)]),
        row("the sync that ends the copy comes only after the error")
            .until(b'G', [run(IN), flush()])
            .until(b'E', [line(10), sync(), bad()])
            .ready([line(11), copy_done(), sync()])
            .ready([query(COUNT)]),
        row("a simple copy that fails with syncs inside")
            .ready([query(IN), sync(), bad(), copy_done()])
            .readies(2, [query(IN), sync(), bad(), sync(), copy_done()])
            .ready([query(COUNT)]),
        row("in a transaction")
            .ready([query("BEGIN")])
            .readies(2, [run(IN), sync(), bad(), sync(), copy_done(), sync()])
            .ready([query(COUNT)])
            .ready([query("ROLLBACK")])
            .ready([query(COUNT)]),
        row("a copy that succeeds with syncs inside")
            .ready([run(IN), sync(), line(10), sync(), copy_done(), run(COUNT), sync()])
            .ready([query(COUNT)])
            .writes(),
    ]
}

fn out() -> Vec<Row> {
    vec![
        row("copy out").ready([query("COPY (SELECT * FROM items ORDER BY id) TO STDOUT")]),
        row("binary copy out")
            .ready([query("COPY (SELECT id FROM items ORDER BY id) TO STDOUT (FORMAT binary)")]),
        row("copy out among several statements")
            .ready([query("SELECT 1; COPY (SELECT 2) TO STDOUT; SELECT 3")]),
        row("copy out that fails half way")
            .ready([query("COPY (SELECT 1 / (3 - n) FROM generate_series(1, 5) n) TO STDOUT")])
            .ready([query("SELECT 1")]),
        row("extended copy out")
            .ready([run("COPY (SELECT * FROM items ORDER BY id) TO STDOUT"), sync()]),
        row("copy out and copy in, pipelined")
            .readies(
                3,
                [
                    query("COPY (SELECT 1) TO STDOUT"),
                    query(IN),
                    line(10),
                    copy_done(),
                    query("COPY (SELECT 2) TO STDOUT"),
                ],
            )
            .writes(),
    ]
}
