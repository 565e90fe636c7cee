//! Parse, Bind, Describe, Execute, Close, Flush, Sync.

use pgherd_harness::raw::frontend::{
    bind, bind_formats, close_portal, close_statement, describe_portal, describe_statement,
    execute, flush, parse, query, sync,
};

use crate::twin::script::{Row, row};

const INT4: u32 = 23;

pub fn rows() -> Vec<Row> {
    vec![
        row("parse, bind, describe, execute, sync").ready([
            parse("", "SELECT id, name FROM items WHERE id < $1 ORDER BY id", &[INT4]),
            bind("", "", &[Some(b"3")]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]),
        row("binary parameters and results").ready([
            parse("", "SELECT $1::int4 + 1, 'x'::text", &[INT4]),
            bind_formats("", "", &[Some(&41_i32.to_be_bytes())], 1, 1),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]),
        row("null parameters").ready([
            parse("", "SELECT $1::text, $2::int", &[]),
            bind("", "", &[None, Some(b"5")]),
            execute("", 0),
            sync(),
        ]),
        row("describe of a statement").ready([
            parse("", "SELECT id, $1::text FROM items WHERE id = $2", &[]),
            describe_statement(""),
            sync(),
        ]),
        row("NoData for what returns no rows").ready([
            parse("", "UPDATE items SET id = id WHERE id = $1", &[]),
            describe_statement(""),
            bind("", "", &[Some(b"1")]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]),
        row("an empty statement").ready([
            parse("", "", &[]),
            describe_statement(""),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ]),
        row("only a sync").ready([sync()]).readies(3, [sync(), sync(), sync()]),
        row("a flush in between changes nothing").ready([
            parse("", "SELECT 1", &[]),
            flush(),
            bind("", "", &[]),
            flush(),
            execute("", 0),
            flush(),
            sync(),
        ]),
        row("only flushes").ready([flush(), flush(), sync()]),
        row("flush makes the answers come without a sync")
            .until(b'1', [parse("", "SELECT 7", &[]), flush()])
            .until(b'2', [bind("", "", &[]), flush()])
            .until(b'C', [execute("", 0), flush()])
            .ready([sync()]),
        row("parse, describe, flush; then bind, execute, sync")
            .until(
                b'T',
                [
                    parse("", "SELECT name FROM items WHERE id = $1", &[]),
                    describe_statement(""),
                    flush(),
                ],
            )
            .ready([bind("", "", &[Some(b"2")]), execute("", 0), sync()]),
        row("an error before a flush")
            .until(b'E', [parse("", "SELECT 1", &[]), parse("", "nonsense", &[]), flush()])
            .ready([bind("", "", &[]), flush(), execute("", 0), sync()])
            .ready([query("SELECT 1")]),
        row("a portal that is suspended and resumed").ready([
            parse("", "SELECT n FROM generate_series(1, 5) n", &[]),
            bind("p", "", &[]),
            execute("p", 2),
            execute("p", 2),
            execute("p", 2),
            execute("p", 2),
            sync(),
        ]),
        row("a portal that is resumed after a flush")
            .until(
                b's',
                [
                    parse("", "SELECT n FROM generate_series(1, 3) n", &[]),
                    bind("", "", &[]),
                    execute("", 1),
                    flush(),
                ],
            )
            .until(b's', [execute("", 1), flush()])
            .ready([execute("", 0), sync()]),
        row("a portal ends with its transaction")
            .ready([parse("", "SELECT 1", &[]), bind("p", "", &[]), sync()])
            .ready([execute("p", 0), sync()]),
        row("a portal lives through syncs in a transaction block")
            .ready([query("BEGIN")])
            .ready([
                parse("", "SELECT n FROM generate_series(1, 4) n", &[]),
                bind("p", "", &[]),
                execute("p", 1),
                sync(),
            ])
            .ready([execute("p", 2), sync()])
            .ready([execute("p", 0), close_portal("p"), sync()])
            .ready([query("COMMIT")]),
        row("two portals in turn").ready([
            parse("", "SELECT n FROM generate_series(1, 3) n", &[]),
            bind("a", "", &[]),
            bind("b", "", &[]),
            execute("a", 1),
            execute("b", 2),
            execute("a", 0),
            execute("b", 0),
            close_portal("a"),
            close_portal("b"),
            sync(),
        ]),
        row("portals and statements are two namespaces").ready([
            parse("same", "SELECT 'statement'", &[]),
            bind("same", "same", &[]),
            close_portal("same"),
            bind("same", "same", &[]),
            execute("same", 0),
            close_statement("same"),
            describe_portal("same"),
            sync(),
        ]),
        row("a portal of that name exists already").ready([
            parse("", "SELECT 1", &[]),
            bind("p", "", &[]),
            bind("p", "", &[]),
            execute("p", 0),
            sync(),
        ]),
        row("the unnamed portal is replaced").ready([
            parse("", "SELECT 1", &[]),
            bind("", "", &[]),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ]),
        row("an executed portal has nothing more").ready([
            parse("", "SELECT 1", &[]),
            bind("", "", &[]),
            execute("", 0),
            execute("", 0),
            sync(),
        ]),
        row("an update through the extended protocol")
            .ready([
                parse("", "UPDATE items SET name = $1 WHERE id = $2", &[]),
                bind("", "", &[Some(b"changed"), Some(b"2")]),
                execute("", 0),
                sync(),
            ])
            .ready([query("SELECT name FROM items WHERE id = 2")])
            .writes(),
        row("a notice in the middle of a batch").ready([
            parse("", "SELECT noisy($1)", &[]),
            bind("", "", &[Some(b"a")]),
            execute("", 0),
            bind("", "", &[Some(b"b")]),
            execute("", 0),
            sync(),
        ]),
        row("a simple query in the middle of a batch").readies(
            2,
            [
                parse("", "SELECT 1", &[]),
                bind("", "", &[]),
                query("SELECT 'simple'"),
                parse("", "SELECT 2", &[]),
                sync(),
            ],
        ),
    ]
}
