//! Prepared statements: names, their life, and errors about them.

use pgherd_harness::raw::frontend::{
    bind, close_portal, close_statement, describe_portal, describe_statement, execute, parse,
    query, sync,
};

use crate::twin::script::{Row, row};

const INT4: u32 = 23;
const INT8: u32 = 20;
const TEXT: u32 = 25;

/// Bind and Execute of a statement with one parameter.
fn run(name: &str, value: &[u8]) -> Vec<u8> {
    [bind("", name, &[Some(value)]), execute("", 0)].concat()
}

pub fn rows() -> Vec<Row> {
    let mut rows = life();
    rows.extend(errors());
    rows.extend(sql_level());
    rows
}

fn life() -> Vec<Row> {
    vec![
        row("a named statement is used again and again")
            .ready([parse("s1", "SELECT $1::int * 2", &[]), sync()])
            .ready([run("s1", b"1"), sync()])
            .ready([run("s1", b"2"), sync()])
            .ready([run("s1", b"3"), run("s1", b"4"), sync()]),
        row("describe of a named statement after a sync")
            .ready([parse("s1", "SELECT $1::int, 'x'::text", &[]), sync()])
            .ready([describe_statement("s1"), sync()])
            .ready([describe_statement("s1"), run("s1", b"1"), sync()]),
        row("two named statements, interleaved")
            .ready([parse("s1", "SELECT 'a' || $1", &[TEXT]), sync()])
            .ready([parse("s2", "SELECT 'b' || $1", &[TEXT]), sync()])
            .ready([run("s2", b"1"), run("s1", b"2"), sync()])
            .ready([run("s1", b"3"), run("s2", b"4"), sync()]),
        row("the same text with other parameter types is another statement")
            .ready([parse("s1", "SELECT pg_typeof($1)", &[INT4]), sync()])
            .ready([parse("s2", "SELECT pg_typeof($1)", &[INT8]), sync()])
            .ready([run("s1", b"1"), run("s2", b"1"), sync()])
            .ready([run("s2", b"1"), run("s1", b"1"), sync()]),
        row("the unnamed statement survives a sync")
            .ready([parse("", "SELECT $1::int + 1", &[]), describe_statement(""), sync()])
            .ready([run("", b"1"), sync()])
            .ready([run("", b"2"), sync()]),
        row("a simple query ends the unnamed statement")
            .ready([parse("", "SELECT $1::int", &[]), sync()])
            .ready([query("SELECT 1")])
            .ready([run("", b"1"), sync()]),
        row("the unnamed statement is replaced")
            .ready([parse("", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([parse("", "SELECT 'new' || $1", &[TEXT]), sync()])
            .ready([run("", b"!"), sync()]),
        row("a failed parse of the unnamed statement removes the old one")
            .ready([parse("", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([parse("", "SELEC", &[]), sync()])
            .ready([run("", b"!"), sync()]),
        row("close, then the same name anew")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([close_statement("s1"), sync()])
            .ready([parse("s1", "SELECT 'new' || $1", &[TEXT]), sync()])
            .ready([run("s1", b"!"), sync()]),
        row("close and parse anew in one batch")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([
                run("s1", b"1"),
                close_statement("s1"),
                parse("s1", "SELECT 'new' || $1", &[TEXT]),
                run("s1", b"2"),
                sync(),
            ])
            .ready([run("s1", b"3"), sync()]),
        row("parse, execute and close in one batch").ready([
            parse("s1", "SELECT $1::int", &[]),
            run("s1", b"1"),
            close_statement("s1"),
            sync(),
        ]),
        row("close of what is not there is no error").ready([
            close_statement("nothing"),
            close_portal("nothing"),
            close_statement(""),
            sync(),
        ]),
        row("parse alone, close alone")
            .ready([parse("s1", "SELECT 1", &[]), sync()])
            .ready([close_statement("s1"), sync()]),
        row("names that differ in case and long names")
            .ready([parse("S1", "SELECT 'upper' || $1", &[TEXT]), sync()])
            .ready([parse("s1", "SELECT 'lower' || $1", &[TEXT]), sync()])
            .ready([parse(&"x".repeat(100), "SELECT 'long' || $1", &[TEXT]), sync()])
            .ready([run("S1", b"1"), run("s1", b"2"), run(&"x".repeat(100), b"3"), sync()]),
        row("many statements")
            .ready([
                parse("a", "SELECT 1 + $1", &[INT4]),
                parse("b", "SELECT 2 + $1", &[INT4]),
                parse("c", "SELECT 3 + $1", &[INT4]),
                parse("d", "SELECT 4 + $1", &[INT4]),
                sync(),
            ])
            .ready([run("d", b"0"), run("c", b"0"), run("b", b"0"), run("a", b"0"), sync()]),
        row("a statement prepared in a transaction that is rolled back stays")
            .ready([query("BEGIN")])
            .ready([parse("s1", "SELECT $1::int", &[]), sync()])
            .ready([query("ROLLBACK")])
            .ready([run("s1", b"1"), sync()]),
    ]
}

fn errors() -> Vec<Row> {
    vec![
        row("a name that is taken")
            .ready([parse("s1", "SELECT 'first' || $1", &[TEXT]), sync()])
            .ready([parse("s1", "SELECT 'second' || $1", &[TEXT]), sync()])
            .ready([run("s1", b"!"), sync()]),
        row("a name that is taken, within one batch")
            .ready([
                parse("s1", "SELECT 'first' || $1", &[TEXT]),
                parse("s1", "SELECT 'first' || $1", &[TEXT]),
                run("s1", b"unseen"),
                sync(),
            ])
            .ready([run("s1", b"!"), sync()]),
        row("a name that is taken, for nonsense, again and again")
            .ready([parse("s1", "SELECT 'first' || $1", &[TEXT]), sync()])
            .ready([parse("s1", "nonsense", &[]), sync()])
            .ready([parse("s1", "nonsense", &[]), sync()])
            .ready([parse("s1", "SELECT 'second'", &[]), sync()])
            .ready([run("s1", b"!"), sync()]),
        row("describe of an unknown statement")
            .ready([describe_statement("nothing"), sync()])
            .ready([query("SELECT 1")]),
        row("describe of an unknown portal").ready([describe_portal("nothing"), sync()]),
        row("bind to an unknown statement").ready([run("nothing", b"1"), sync()]),
        row("execute of an unknown portal").ready([execute("nothing", 0), sync()]),
        row("a statement that was closed")
            .ready([parse("s1", "SELECT $1::int", &[]), sync()])
            .ready([close_statement("s1"), run("s1", b"1"), sync()])
            .ready([run("s1", b"1"), sync()]),
        row("a parse that fails leaves no statement")
            .ready([parse("s1", "SELEC", &[]), run("s1", b"1"), sync()])
            .ready([run("s1", b"1"), sync()])
            .ready([parse("s1", "SELECT $1::int", &[]), sync()])
            .ready([run("s1", b"1"), sync()]),
        row("what is parsed after an error in the batch is not known")
            .ready([
                parse("", "SELECT 1/0", &[]),
                bind("", "", &[]),
                execute("", 0),
                parse("s1", "SELECT $1::int", &[]),
                sync(),
            ])
            .ready([run("s1", b"1"), sync()])
            .ready([parse("s1", "SELECT 'fresh' || $1", &[TEXT]), sync()])
            .ready([run("s1", b"!"), sync()]),
        row("what is parsed before an error in the batch stays")
            .ready([parse("s1", "SELECT 'kept' || $1", &[TEXT]), parse("", "SELEC", &[]), sync()])
            .ready([run("s1", b"!"), sync()]),
        row("a close after an error has no effect")
            .ready([parse("s1", "SELECT 'kept' || $1", &[TEXT]), sync()])
            .ready([
                bind("", "nothing", &[]),
                close_statement("s1"),
                parse("s1", "SELECT 'never' || $1", &[TEXT]),
                sync(),
            ])
            .ready([run("s1", b"!"), sync()]),
        row("bind with too few and with bad parameters")
            .ready([parse("s1", "SELECT $1::int", &[]), sync()])
            .ready([bind("", "s1", &[]), execute("", 0), sync()])
            .ready([run("s1", b"not a number"), sync()])
            .ready([run("s1", b"5"), sync()]),
        row("a parse of several statements").ready([parse("", "SELECT 1; SELECT 2", &[]), sync()]),
        row("a parameter whose type cannot be known").ready([parse("", "SELECT $2", &[]), sync()]),
    ]
}

/// Statements in SQL's own words, which share their namespace with those of the protocol.
fn sql_level() -> Vec<Row> {
    vec![
        row("PREPARE, EXECUTE and DEALLOCATE in one transaction")
            .ready([query("BEGIN; PREPARE q AS SELECT $1::int + 1")])
            .ready([query("EXECUTE q(1)")])
            .ready([query("DEALLOCATE q; COMMIT")]),
        row("PREPARE, EXECUTE and DEALLOCATE")
            .ready([query("PREPARE q AS SELECT $1::int + 1")])
            .ready([query("EXECUTE q(1)")])
            .ready([query("EXECUTE q(2); DEALLOCATE q")])
            .ready([query("EXECUTE q(3)")]),
        row("DEALLOCATE ALL, then the name anew")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([query("DEALLOCATE ALL")])
            .ready([parse("s1", "SELECT 'new' || $1", &[TEXT]), sync()])
            .ready([run("s1", b"!"), sync()]),
        row("DISCARD ALL, then the name anew")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([query("DISCARD ALL")])
            .ready([parse("s1", "SELECT 'new' || $1", &[TEXT]), sync()])
            .ready([run("s1", b"!"), sync()]),
        row("after DEALLOCATE ALL the statement is gone")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([query("DEALLOCATE ALL")])
            .ready([run("s1", b"!"), sync()]),
        row("DEALLOCATE of a protocol-level statement")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([query("DEALLOCATE s1")])
            .ready([run("s1", b"!"), sync()]),
        row("EXECUTE of a protocol-level statement")
            .ready([parse("s1", "SELECT $1::int", &[]), sync()])
            .ready([query("EXECUTE s1(3)")]),
        row("DEALLOCATE of one of several statements")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([parse("s2", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([query("SELECT 1; DEALLOCATE s1; SELECT 2")])
            .ready([run("s2", b"!"), sync()])
            .ready([run("s1", b"!"), sync()])
            .ready([query("DEALLOCATE s1")])
            .ready([parse("s1", "SELECT 'new' || $1", &[TEXT]), run("s1", b"!"), sync()]),
        row("DEALLOCATE through the extended protocol, with more behind it")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([
                parse("", "DEALLOCATE s1", &[]),
                bind("", "", &[]),
                execute("", 0),
                parse("s1", "SELECT 'new' || $1", &[TEXT]),
                run("s1", b"!"),
                sync(),
            ])
            .ready([run("s1", b"?"), sync()]),
        row("DEALLOCATE ALL through the extended protocol, with more behind it")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([
                parse("", "DEALLOCATE ALL", &[]),
                bind("p", "", &[]),
                execute("p", 0),
                run("s1", b"!"),
                sync(),
            ])
            .ready([parse("s1", "SELECT 'new' || $1", &[TEXT]), run("s1", b"!"), sync()]),
        row("DISCARD ALL through the extended protocol, with batches behind it")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .readies(
                3,
                [
                    parse("", "DISCARD ALL", &[]),
                    bind("", "", &[]),
                    execute("", 0),
                    sync(),
                    run("s1", b"!"),
                    sync(),
                    parse("s1", "SELECT 'new' || $1", &[TEXT]),
                    run("s1", b"!"),
                    sync(),
                ],
            )
            .ready([run("s1", b"?"), sync()]),
        row("EXECUTE through the extended protocol")
            .ready([parse("s1", "SELECT $1::int + 1", &[]), sync()])
            .ready([
                parse("", "EXECUTE s1(3)", &[]),
                describe_statement(""),
                bind("", "", &[]),
                describe_portal(""),
                execute("", 0),
                sync(),
            ])
            .ready([bind("", "", &[]), execute("", 0), sync()]),
        row("EXECUTE of a statement that was closed after the text was parsed")
            .ready([
                parse("s1", "SELECT $1::int + 1", &[]),
                parse("", "EXECUTE s1(3)", &[]),
                sync(),
            ])
            .ready([close_statement("s1"), bind("", "", &[]), execute("", 0), sync()]),
        row("DISCARD ALL leaves the unnamed statement")
            .ready([parse("", "DISCARD ALL", &[]), bind("", "", &[]), execute("", 0), sync()])
            .ready([describe_statement(""), sync()])
            .ready([close_statement(""), describe_statement(""), sync()]),
        row("PREPARE of a name that the protocol has")
            .ready([parse("s1", "SELECT 'old' || $1", &[TEXT]), sync()])
            .ready([query("PREPARE s1 AS SELECT 1")])
            .ready([query("PREPARE s1 AS SELEC")])
            .ready([run("s1", b"!"), sync()]),
        row("Parse, Bind and Close of a name that SQL has")
            .ready([query("PREPARE s1 AS SELECT 'sql' || $1")])
            .ready([parse("s1", "SELECT 1", &[]), sync()])
            .ready([describe_statement("s1"), run("s1", b"!"), sync()])
            .ready([close_statement("s1"), sync()])
            .ready([query("EXECUTE s1('!')")])
            .ready([parse("s1", "SELECT 'new' || $1", &[TEXT]), sync()])
            .ready([run("s1", b"!"), sync()]),
        row("errors about EXECUTE name what the client wrote, where it wrote it")
            .ready([parse("s1", "SELECT $1::int", &[]), sync()])
            .ready([query("SELECT 1; EXECUTE \"s1\"")])
            .ready([query("/* \u{e4} */ EXECUTE s1(nothing)")])
            .ready([query("EXPLAIN (COSTS off) EXECUTE s1(1, nothing)")])
            .ready([query("EXECUTE s1('x')")]),
        row("EXECUTE of a statement that cannot be planned any more")
            .ready([query("DROP TABLE changing; CREATE TABLE changing AS SELECT 1 AS a")])
            .ready([parse("s1", "SELECT a FROM changing WHERE a = $1", &[]), sync()])
            .ready([query("ALTER TABLE changing RENAME a TO b")])
            .ready([query("EXECUTE s1(1)")])
            .ready([query("DEALLOCATE s1")])
            .ready([query("EXECUTE s1(1)")])
            .writes()
            .large(),
        row("a statement that SQL prepares outlives a rollback")
            .ready([query("BEGIN; PREPARE q AS SELECT $1::int + 1; ROLLBACK")])
            .ready([query("EXECUTE q(1)")])
            .ready([query("DISCARD ALL")])
            .ready([query("EXECUTE q(1)")]),
    ]
}
