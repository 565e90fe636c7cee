//! The simple query protocol, and FunctionCall.

use pgherd_harness::raw::frontend::{function_call, query};

use crate::twin::script::{Row, row};

/// `int4abs(int4)`.
const INT4ABS: u32 = 1251;
/// `int4div(int4, int4)`.
const INT4DIV: u32 = 154;

pub fn rows() -> Vec<Row> {
    vec![
        row("one statement").ready([query("SELECT id, name, amount FROM items ORDER BY id")]),
        row("no rows").ready([query("SELECT id FROM items WHERE false")]),
        row("a row without columns").ready([query("SELECT FROM items")]),
        row("several statements in one query")
            .ready([query("SELECT 1; SELECT 'two', 2; UPDATE items SET id = id; SELECT 3")])
            .writes(),
        row("an empty query").ready([query("")]),
        row("only blanks, semicolons and comments").ready([query(" ; ; -- nothing\n;")]),
        row("an empty statement between others").ready([query("SELECT 1;;SELECT 2")]),
        row("a syntax error").ready([query("SELEC 1")]).ready([query("SELECT 1")]),
        row("an error in the middle of several statements")
            .ready([query("SELECT 1; SELECT 1/0; SELECT 2")])
            .ready([query("SELECT 3")]),
        row("an error undoes the statements before it in the same query")
            .ready([query("DELETE FROM items; SELECT 1/0")])
            .ready([query("SELECT count(*) FROM items")])
            .writes(),
        row("an error after some rows")
            .ready([query("SELECT 1 / (3 - n) FROM generate_series(1, 5) n")]),
        row("an error with detail, table and constraint")
            .ready([query("INSERT INTO items VALUES (1, 'again')")]),
        row("an error with a position").ready([query("SELECT nonsense FROM items")]),
        row("many queries without waiting").readies(
            4,
            [query("SELECT 1"), query("SELECT 1/0"), query(""), query("SELECT 4; SELECT 5")],
        ),
        row("notices come where they were raised").ready([query(
            "SELECT noisy('first'); DO $$BEGIN RAISE NOTICE 'second'; END$$; SELECT noisy('third')",
        )]),
        row("a warning outside a transaction").ready([query("COMMIT")]).ready([query("ROLLBACK")]),
        row("command tags").ready([query(
            "CREATE TABLE gone (n int); INSERT INTO gone SELECT generate_series(1, 3); \
             UPDATE gone SET n = 0; DELETE FROM gone WHERE n = 1; DROP TABLE gone",
        )]),
        row("a function call").ready([function_call(INT4ABS, &[b"-42"])]),
        row("a function call that fails")
            .ready([function_call(INT4DIV, &[b"1", b"0"])])
            .ready([query("SELECT 1")]),
        row("a call of a function that is not there")
            .ready([function_call(4_000_000_000, &[])])
            .ready([query("SELECT 1")]),
        row("function calls among queries")
            .readies(3, [query("SELECT 1"), function_call(INT4ABS, &[b"-7"]), query("SELECT 2")]),
    ]
}
