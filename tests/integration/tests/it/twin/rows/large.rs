//! Messages of a megabyte and more.

use pgherd_harness::raw::frontend::{
    bind, copy_data, copy_done, describe_portal, execute, parse, query, sync,
};

use crate::twin::script::{Row, row};

const MEGABYTE: usize = 1 << 20;

pub fn rows() -> Vec<Row> {
    let big: Vec<u8> = (0..3 * MEGABYTE / 2).map(|n| b'a' + (n % 26) as u8).collect();
    let comment = "x".repeat(MEGABYTE);
    let rows = vec![
        row("a large row").ready([query("SELECT repeat('0123456789', 200000), 1")]),
        row("many rows")
            .ready([query("SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n")]),
        row("a large query")
            .readies(2, [query(&format!("SELECT 1 /* {comment} */")), query("SELECT 2")]),
        row("a large parameter that comes back").ready([
            parse("", "SELECT $1::text, length($1)", &[]),
            bind("", "", &[Some(&big)]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]),
        row("large parameters in a named statement")
            .ready([parse("s1", "SELECT length($1::text), md5($1)", &[]), sync()])
            .ready([bind("", "s1", &[Some(&big)]), execute("", 0), sync()])
            .ready([bind("", "s1", &[Some(&big[1..])]), execute("", 0), sync()]),
        row("a large statement text")
            .ready([parse("s1", &format!("SELECT $1::int /* {comment} */"), &[]), sync()])
            .ready([bind("", "s1", &[Some(b"1")]), execute("", 0), sync()])
            .ready([bind("", "s1", &[Some(b"2")]), execute("", 0), sync()]),
        row("a large copy in")
            .ready([
                query("COPY items FROM STDIN"),
                copy_data(&[b"10\t".as_slice(), &big, b"\t1\n"].concat()),
                copy_done(),
            ])
            .ready([query("SELECT length(name) FROM items WHERE id = 10")])
            .writes(),
        row("a large copy out").ready([query(
            "COPY (SELECT n, repeat('y', 1000) FROM generate_series(1, 2000) n) TO STDOUT",
        )]),
        row("large error and notice").ready([query(
            "DO $$BEGIN RAISE NOTICE '%', repeat('n', 100000); \
             RAISE EXCEPTION '%', repeat('e', 100000); END$$",
        )]),
        row("large answers to a pipeline").readies(
            3,
            [[
                parse("", "SELECT repeat('z', 500000)", &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ]
            .concat()
            .repeat(3)],
        ),
    ];
    rows.into_iter().map(Row::large).collect()
}
