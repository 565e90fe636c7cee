//! Prepared statements whose tables change: a client gets what its own connection would give it.

use pgherd_harness::raw::frontend::{
    bind, close_statement, describe_statement, execute, parse, query, sync,
};

use crate::twin::script::{Row, row};

const ALL: &str = "SELECT * FROM changing";
const MAKE: &str = "DROP TABLE changing; CREATE TABLE changing AS SELECT 1 AS a, 2 AS b";
const WIDEN: &str = "ALTER TABLE changing ADD COLUMN c text";
const NARROW: &str = "ALTER TABLE changing DROP COLUMN c";

fn run(name: &str) -> Vec<u8> {
    [bind("", name, &[]), execute("", 0)].concat()
}

fn with(name: &str, value: &[u8]) -> Vec<u8> {
    [bind("", name, &[Some(value)]), execute("", 0)].concat()
}

/// A row that makes its table and prepares `s1` before anything else.
fn changing(name: &'static str) -> Row {
    row(name).ready([query(MAKE)]).ready([parse("s1", ALL, &[]), sync()])
}

pub fn rows() -> Vec<Row> {
    let mut rows = results();
    rows.extend(parameters());
    rows.into_iter().map(|row| row.writes().large()).collect()
}

fn results() -> Vec<Row> {
    vec![
        changing("a statement whose result changes")
            .ready([run("s1"), sync()])
            .ready([query(WIDEN)])
            .ready([run("s1"), sync()])
            .ready([describe_statement("s1"), sync()])
            .ready([run("s1"), sync()]),
        changing("one that was not used before")
            .ready([query(WIDEN)])
            .ready([run("s1"), sync()])
            .ready([query("SELECT 1")])
            .ready([run("s1"), sync()]),
        changing("a statement defined anew after the change is a new one")
            .ready([query(WIDEN)])
            .ready([parse("s2", ALL, &[]), sync()])
            .ready([run("s2"), sync()])
            .ready([run("s1"), sync()])
            .ready([run("s2"), sync()])
            .ready([close_statement("s1"), parse("s1", ALL, &[]), run("s1"), sync()])
            .ready([run("s1"), sync()]),
        changing("defined anew at once, before the error was seen")
            .ready([run("s1"), sync()])
            .ready([query(WIDEN)])
            .ready([close_statement("s1"), sync()])
            .ready([parse("s1", ALL, &[]), describe_statement("s1"), sync()])
            .ready([run("s1"), sync()])
            .ready([run("s1"), sync()]),
        changing("within a transaction")
            .ready([query("BEGIN")])
            .ready([query(WIDEN)])
            .ready([parse("s2", ALL, &[]), run("s2"), sync()])
            .ready([run("s1"), run("s2"), sync()])
            .ready([run("s2"), sync()])
            .ready([query("ROLLBACK")])
            .ready([run("s1"), sync()])
            .ready([run("s2"), sync()]),
        changing("an error in the batch of the first use")
            .ready([query(WIDEN)])
            .ready([parse("", "SELECT 'before'", &[]), run(""), run("s1"), run(""), sync()])
            .readies(2, [run("s1"), sync(), run(""), sync()]),
        changing("a change that is taken back")
            .ready([query(WIDEN)])
            .ready([run("s1"), sync()])
            .ready([query(NARROW)])
            .ready([run("s1"), sync()])
            .ready([describe_statement("s1"), sync()]),
        changing("a table that is dropped and made again")
            .ready([query("DROP TABLE changing")])
            .ready([run("s1"), sync()])
            .ready([parse("s2", ALL, &[]), sync()])
            .ready([query("CREATE TABLE changing AS SELECT 1 AS a, 2 AS b")])
            .ready([run("s1"), sync()])
            .ready([query("DROP TABLE changing; CREATE TABLE changing (z int)")])
            .ready([run("s1"), sync()]),
        changing("a name that is taken, of a statement that has changed")
            .ready([query(WIDEN)])
            .ready([parse("s1", "SELECT 1", &[]), sync()])
            .ready([query("SELECT 1")])
            .ready([parse("s1", "SELEC", &[]), sync()])
            .ready([run("s1"), sync()]),
        changing("a search path that leads elsewhere")
            .ready([query("CREATE SCHEMA other")])
            .ready([query("CREATE TABLE other.changing AS SELECT 'other'::text AS a")])
            .ready([query("BEGIN; SET LOCAL search_path = other")])
            .ready([parse("s2", ALL, &[]), run("s2"), sync()])
            .ready([run("s1"), sync()])
            .ready([query("ROLLBACK")])
            .ready([run("s1"), sync()])
            .ready([run("s2"), sync()])
            .ready([query("DROP TABLE other.changing; DROP SCHEMA other")]),
    ]
}

fn parameters() -> Vec<Row> {
    vec![
        row("parameters keep the types that they had")
            .ready([query(MAKE)])
            .ready([parse("s1", "INSERT INTO changing (a) VALUES ($1)", &[]), sync()])
            .ready([describe_statement("s1"), with("s1", b"7"), sync()])
            .ready([query("ALTER TABLE changing ALTER a TYPE text")])
            .ready([describe_statement("s1"), with("s1", b"8"), sync()])
            .ready([query("SELECT 1")])
            .ready([describe_statement("s1"), with("s1", b"no number"), sync()])
            .ready([parse("s2", "INSERT INTO changing (a) VALUES ($1)", &[]), sync()])
            .ready([describe_statement("s2"), with("s2", b"a word"), sync()])
            .ready([describe_statement("s1"), with("s1", b"9"), sync()]),
        row("the same text before and after a change of its parameters")
            .ready([query(MAKE)])
            .ready([parse("s1", "SELECT b FROM changing WHERE a = $1", &[]), sync()])
            .ready([query("ALTER TABLE changing ALTER a TYPE bigint")])
            .ready([parse("s2", "SELECT b FROM changing WHERE a = $1", &[]), sync()])
            .ready([describe_statement("s1"), describe_statement("s2"), sync()])
            .ready([with("s1", b"3000000000"), sync()])
            .ready([with("s2", b"3000000000"), sync()]),
    ]
}
