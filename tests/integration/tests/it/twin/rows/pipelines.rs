//! Several batches in one write.

use pgherd_harness::raw::frontend::{bind, describe_statement, execute, flush, parse, query, sync};

use crate::twin::script::{Row, row};

/// Parse, Bind and Execute of a statement without parameters.
fn run(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat()
}

fn again(name: &str, value: &[u8]) -> Vec<u8> {
    [bind("", name, &[Some(value)]), execute("", 0)].concat()
}

pub fn rows() -> Vec<Row> {
    vec![
        row("several syncs").readies(
            3,
            [run("SELECT 1"), sync(), run("SELECT 2"), sync(), run("SELECT 3"), sync()],
        ),
        row("an error in the first of several batches").readies(
            2,
            [run("SELECT 1/0"), run("SELECT 'skipped'"), sync(), run("SELECT 2"), sync()],
        ),
        row("an error in the middle one")
            .readies(
                3,
                [
                    run("SELECT 1"),
                    sync(),
                    run("SELECT 'before'"),
                    run("SELECT 1/0"),
                    run("SELECT 'skipped'"),
                    sync(),
                    run("SELECT 3"),
                    sync(),
                ],
            )
            .ready([query("SELECT 4")]),
        row("an error in each").readies(
            3,
            [run("SELECT 1/0"), sync(), run("nonsense"), sync(), run("SELECT x"), sync()],
        ),
        row("a batch is one transaction: an error undoes what came before")
            .ready([run("DELETE FROM items"), run("SELECT 1/0"), sync()])
            .ready([query("SELECT count(*) FROM items")])
            .writes(),
        row("a sync ends the transaction: an error afterwards undoes nothing")
            .readies(2, [run("DELETE FROM items WHERE id = 1"), sync(), run("SELECT 1/0"), sync()])
            .ready([query("SELECT count(*) FROM items")])
            .writes(),
        row("a statement prepared in one batch and used in the next ones").readies(
            4,
            [
                parse("s1", "SELECT $1::int", &[]),
                sync(),
                again("s1", b"1"),
                sync(),
                again("s1", b"bad"),
                again("s1", b"skipped"),
                sync(),
                again("s1", b"3"),
                sync(),
            ],
        ),
        row("a statement parsed in a batch that fails is missing in the next").readies(
            3,
            [
                run("SELECT 1/0"),
                parse("s1", "SELECT $1::int", &[]),
                sync(),
                again("s1", b"1"),
                sync(),
                parse("s1", "SELECT $1::int + 1", &[]),
                again("s1", b"1"),
                sync(),
            ],
        ),
        row("a transaction over several batches").readies(
            4,
            [
                run("BEGIN"),
                sync(),
                run("SELECT 1"),
                sync(),
                run("SELECT 2"),
                sync(),
                run("COMMIT"),
                sync(),
            ],
        ),
        row("a transaction that fails in the middle of a pipeline").readies(
            5,
            [
                run("BEGIN"),
                sync(),
                run("SELECT 1/0"),
                sync(),
                run("SELECT 'refused'"),
                sync(),
                run("ROLLBACK"),
                sync(),
                run("SELECT 'again'"),
                sync(),
            ],
        ),
        row("BEGIN to COMMIT within one batch").ready([
            run("BEGIN"),
            run("SELECT 1"),
            run("COMMIT"),
            sync(),
        ]),
        row("flush and sync mixed").readies(
            2,
            [
                parse("s1", "SELECT $1::int", &[]),
                describe_statement("s1"),
                flush(),
                again("s1", b"1"),
                sync(),
                flush(),
                again("s1", b"2"),
                flush(),
                sync(),
            ],
        ),
        row("a batch that is open while the next write comes")
            .until(b'C', [run("SELECT 1"), flush()])
            .until(b'C', [run("SELECT 2"), flush()])
            .readies(2, [sync(), run("SELECT 3"), sync()]),
        row("simple queries and batches mixed").readies(
            4,
            [
                query("SELECT 1"),
                run("SELECT 2"),
                sync(),
                query("SELECT 3; SELECT 1/0"),
                run("SELECT 4"),
                sync(),
            ],
        ),
        row("a simple query after an error in the batch is skipped")
            .ready([run("SELECT 1/0"), query("SELECT 'skipped'"), sync()])
            .ready([query("SELECT 1")]),
        row("fifty batches")
            .readies(50, [[run("SELECT id FROM items ORDER BY id"), sync()].concat().repeat(50)]),
    ]
}
