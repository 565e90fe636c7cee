//! FunctionCall in all its forms, and portals that are left open.

use pgherd_harness::raw::frontend::{
    bind, bind_formats, close_portal, close_statement, describe_portal, execute, flush,
    function_call, message, parse, query, sync,
};

use crate::twin::script::{Row, row};

/// `int4abs(int4)`.
const INT4ABS: u32 = 1251;
/// `int4div(int4, int4)`.
const INT4DIV: u32 = 154;
/// `version()`.
const VERSION: u32 = 89;
/// `upper(text)`.
const UPPER: u32 = 871;
const SERIES: &str = "SELECT n, 'row ' || n FROM generate_series(1, 5) n";

/// Parse, Bind and Execute of a statement without parameters.
fn run(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat()
}

/// FunctionCall with formats for each argument, arguments that may be null, and a result format.
fn call(oid: u32, formats: &[u16], arguments: &[Option<&[u8]>], result: u16) -> Vec<u8> {
    let mut body = oid.to_be_bytes().to_vec();
    body.extend((formats.len() as u16).to_be_bytes());
    formats.iter().for_each(|format| body.extend(format.to_be_bytes()));
    body.extend((arguments.len() as u16).to_be_bytes());
    for argument in arguments {
        match argument {
            Some(bytes) => {
                body.extend((bytes.len() as u32).to_be_bytes());
                body.extend_from_slice(bytes);
            }
            None => body.extend((-1_i32).to_be_bytes()),
        }
    }
    body.extend(result.to_be_bytes());
    message(b'F', &body)
}

pub fn rows() -> Vec<Row> {
    let mut rows = function_calls();
    rows.extend(portals());
    rows
}

fn function_calls() -> Vec<Row> {
    let minus = (-42_i32).to_be_bytes();
    vec![
        row("a binary argument and a binary result").ready([call(
            INT4ABS,
            &[1],
            &[Some(&minus)],
            1,
        )]),
        row("no formats at all, and a format for each")
            .ready([call(INT4DIV, &[], &[Some(b"7"), Some(b"2")], 0)])
            .ready([call(INT4DIV, &[0, 1], &[Some(b"7"), Some(&minus)], 1)]),
        row("a null argument gives a null result").ready([call(INT4ABS, &[0], &[None], 0)]),
        row("no arguments, too many, too few")
            .ready([call(VERSION, &[], &[], 0)])
            .ready([call(INT4ABS, &[], &[Some(b"1"), Some(b"2")], 0)])
            .ready([call(INT4DIV, &[], &[Some(b"1")], 0)]),
        row("an argument that cannot be read")
            .ready([call(INT4ABS, &[0], &[Some(b"x")], 0)])
            .ready([call(INT4ABS, &[1], &[Some(b"short")], 0)])
            .ready([call(INT4ABS, &[7], &[Some(b"1")], 0)]),
        row("a result format that is not there").ready([call(INT4ABS, &[], &[Some(b"1")], 9)]),
        row("an empty and a long text").ready([call(UPPER, &[], &[Some(b"")], 0)]).ready([call(
            UPPER,
            &[],
            &[Some("äbc".repeat(3000).as_bytes())],
            0,
        )]),
        row("in a transaction, and in one that has failed")
            .ready([query("BEGIN")])
            .ready([function_call(INT4ABS, &[b"-1"])])
            .ready([function_call(INT4DIV, &[b"1", b"0"])])
            .ready([function_call(INT4ABS, &[b"-1"])])
            .ready([query("ROLLBACK")]),
        row("many without waiting").readies(
            5,
            [
                function_call(INT4ABS, &[b"-1"]),
                function_call(INT4DIV, &[b"1", b"0"]),
                query("SELECT 1"),
                function_call(INT4ABS, &[b"-3"]),
                function_call(UPPER, &[b"end"]),
            ],
        ),
        row("in the middle of a batch").readies(
            2,
            [run("SELECT 1"), function_call(INT4ABS, &[b"-2"]), run("SELECT 3"), sync()],
        ),
        row("in a batch that has failed, where it is skipped")
            .ready([run("SELECT 1/0"), function_call(INT4ABS, &[b"-2"]), sync()])
            .ready([query("SELECT 1")]),
        row("after a Parse that is used afterwards").readies(
            2,
            [
                parse("", "SELECT 7", &[]),
                function_call(INT4ABS, &[b"-2"]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ],
        ),
        row("a body that is too short or too long")
            .ready([message(b'F', b"\0\0\x04\xe3")])
            .ready([message(b'F', &[&function_call(INT4ABS, &[b"-1"])[5..], b"more"].concat())])
            .ready([query("SELECT 1")]),
    ]
}

fn portals() -> Vec<Row> {
    vec![
        row("a portal taken row by row, with a flush each time")
            .until(b's', [parse("", SERIES, &[]), bind("", "", &[]), execute("", 1), flush()])
            .until(b's', [execute("", 1), flush()])
            .until(b's', [execute("", 2), flush()])
            .until(b'C', [execute("", 2), flush()])
            .until(b'C', [execute("", 2), flush()])
            .ready([sync()]),
        row("exactly as many rows as there are, then one more try").ready([
            parse("", SERIES, &[]),
            bind("p", "", &[]),
            execute("p", 5),
            execute("p", 1),
            execute("p", 0),
            sync(),
        ]),
        row("describe of a portal between two parts of it").ready([
            parse("", SERIES, &[]),
            bind_formats("p", "", &[], 0, 1),
            execute("p", 2),
            describe_portal("p"),
            execute("p", 0),
            sync(),
        ]),
        row("an error between two parts of it, after flushes")
            .until(b's', [parse("", SERIES, &[]), bind("p", "", &[]), execute("p", 1), flush()])
            .until(b'E', [run("SELECT 1/0"), flush()])
            .ready([execute("p", 1), flush(), execute("p", 1), sync()])
            .ready([execute("p", 1), sync()]),
        row("closed between two parts of it, after a flush")
            .until(b's', [parse("", SERIES, &[]), bind("p", "", &[]), execute("p", 1), flush()])
            .until(b'3', [close_portal("p"), flush()])
            .ready([execute("p", 1), sync()]),
        row("its statement is closed meanwhile")
            .until(b's', [parse("s", SERIES, &[]), bind("p", "s", &[]), execute("p", 1), flush()])
            .until(b'3', [close_statement("s"), flush()])
            .ready([execute("p", 0), bind("q", "s", &[]), sync()]),
        row("its statement is parsed anew meanwhile")
            .until(b's', [parse("", SERIES, &[]), bind("p", "", &[]), execute("p", 1), flush()])
            .until(b'2', [parse("", "SELECT 'other'", &[]), bind("q", "", &[]), flush()])
            .ready([execute("p", 0), execute("q", 0), sync()]),
        row("many open at once, across flushes")
            .until(
                b's',
                [
                    parse("s", SERIES, &[]),
                    bind("a", "s", &[]),
                    bind("b", "s", &[]),
                    bind("c", "s", &[]),
                    execute("a", 1),
                    flush(),
                ],
            )
            .until(b's', [execute("b", 2), flush()])
            .until(b's', [execute("c", 3), execute("a", 1), flush()])
            .ready([execute("c", 0), execute("b", 0), execute("a", 0), sync()])
            .ready([close_statement("s"), sync()]),
        row("a cursor of SQL is a portal of the protocol")
            .ready([query("BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1, 4)")])
            .ready([describe_portal("c"), execute("c", 1), sync()])
            .ready([query("FETCH 1 FROM c")])
            .ready([execute("c", 0), close_portal("c"), sync()])
            .ready([query("FETCH 1 FROM c")])
            .ready([query("ROLLBACK")]),
        row("a portal of the protocol is a cursor of SQL")
            .ready([query("BEGIN")])
            .ready([parse("", SERIES, &[]), bind("p", "", &[]), execute("p", 1), sync()])
            .ready([query("FETCH 2 FROM p")])
            .ready([execute("p", 1), sync()])
            .ready([query("CLOSE p")])
            .ready([execute("p", 1), sync()])
            .ready([query("ROLLBACK")]),
        row("of a statement that writes and returns")
            .ready([
                parse("", "UPDATE items SET amount = 9 RETURNING id, amount", &[]),
                bind("p", "", &[]),
                execute("p", 2),
                execute("p", 0),
                sync(),
            ])
            .writes(),
        row("of an empty statement").ready([
            parse("", " -- nothing", &[]),
            bind("", "", &[]),
            describe_portal(""),
            execute("", 1),
            execute("", 0),
            flush(),
            sync(),
        ]),
        row("notices between the parts of it").ready([
            parse("", "SELECT noisy('n' || n) FROM generate_series(1, 4) n", &[]),
            bind("p", "", &[]),
            execute("p", 1),
            execute("p", 1),
            execute("p", 0),
            sync(),
        ]),
    ]
}
