//! Transaction blocks, savepoints, and what the transaction status says.

use pgherd_harness::raw::frontend::{bind, execute, parse, query, sync};

use crate::twin::script::{Row, row};

/// Parse, Bind, Execute and Sync of a statement without parameters.
fn run(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat()
}

pub fn rows() -> Vec<Row> {
    vec![
        row("commit")
            .ready([query("BEGIN")])
            .ready([query("DELETE FROM items WHERE id = 1")])
            .ready([query("COMMIT")])
            .ready([query("SELECT count(*) FROM items")])
            .writes(),
        row("rollback")
            .ready([query("BEGIN")])
            .ready([query("DELETE FROM items")])
            .ready([query("ROLLBACK")])
            .ready([query("SELECT count(*) FROM items")])
            .writes(),
        row("a failed transaction refuses all but its end")
            .ready([query("BEGIN")])
            .ready([query("SELECT 1/0")])
            .ready([query("SELECT 1")])
            .ready([run("SELECT 1")])
            .ready([query("ROLLBACK")])
            .ready([query("SELECT 1")]),
        row("COMMIT of a failed transaction answers ROLLBACK")
            .ready([query("BEGIN")])
            .ready([query("SELECT 1/0")])
            .ready([query("COMMIT")])
            .ready([query("SELECT 1")]),
        row("BEGIN to COMMIT in one simple query")
            .ready([query("BEGIN; SELECT 1; COMMIT")])
            .ready([query("SELECT 2")]),
        row("BEGIN in the middle of a simple query")
            .ready([query("SELECT 1; BEGIN; SELECT 2")])
            .ready([query("COMMIT; SELECT 3; BEGIN")])
            .ready([query("ROLLBACK")]),
        row("an error after BEGIN in one simple query leaves a failed transaction")
            .ready([query("BEGIN; SELECT 1/0; COMMIT")])
            .ready([query("COMMIT")]),
        row("savepoints")
            .ready([query("BEGIN")])
            .ready([query("SAVEPOINT a")])
            .ready([query("SELECT 1/0")])
            .ready([query("ROLLBACK TO a")])
            .ready([query("SELECT 1")])
            .ready([query("RELEASE a")])
            .ready([query("RELEASE a")])
            .ready([query("COMMIT")]),
        row("COMMIT AND CHAIN")
            .ready([query("BEGIN ISOLATION LEVEL SERIALIZABLE")])
            .ready([query("COMMIT AND CHAIN")])
            .ready([query("SHOW transaction_isolation")])
            .ready([query("ROLLBACK AND CHAIN")])
            .ready([query("SHOW transaction_isolation")])
            .ready([query("COMMIT")]),
        row("BEGIN with options, and twice")
            .ready([query("START TRANSACTION READ ONLY, ISOLATION LEVEL REPEATABLE READ")])
            .ready([query("BEGIN")])
            .ready([query("DELETE FROM items")])
            .ready([query("END")]),
        row("transactions through the extended protocol")
            .ready([run("BEGIN")])
            .ready([run("DELETE FROM items")])
            .ready([run("SELECT count(*) FROM items")])
            .ready([run("ROLLBACK")])
            .ready([run("SELECT count(*) FROM items")])
            .writes(),
        row("simple and extended in one transaction")
            .ready([query("BEGIN")])
            .ready([run("SELECT 1")])
            .ready([query("SELECT 2")])
            .ready([run("SELECT 1/0")])
            .ready([run("COMMIT")]),
        row("two-phase commit")
            .ready([query("BEGIN; DELETE FROM items WHERE id = 1")])
            .ready([query("PREPARE TRANSACTION 'twin'")])
            .ready([query("COMMIT PREPARED 'twin'")])
            .ready([query("COMMIT PREPARED 'twin'")])
            .ready([query("SELECT count(*) FROM items")])
            .writes(),
        row("a cursor in a transaction")
            .ready([query("BEGIN")])
            .ready([query("DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 5) n")])
            .ready([query("FETCH 2 FROM c; MOVE 1 FROM c")])
            .ready([query("FETCH ALL FROM c")])
            .ready([query("CLOSE c; COMMIT")]),
        row("SET LOCAL and the parameters it reports")
            .ready([query("BEGIN")])
            .ready([query("SET LOCAL TimeZone = 'Asia/Tokyo'")])
            .ready([query("SHOW TimeZone")])
            .ready([query("COMMIT")])
            .ready([query("SHOW TimeZone")]),
        row("SET that is rolled back, with a savepoint")
            .ready([query("BEGIN; SET application_name = 'a'; SAVEPOINT s")])
            .ready([query("SET application_name = 'b'")])
            .ready([query("ROLLBACK TO s")])
            .ready([query("SHOW application_name")])
            .ready([query("ROLLBACK")])
            .ready([query("SHOW application_name")]),
        row("an idle transaction between other clients' work")
            .ready([query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM items")])
            .ready([query("SELECT count(*) FROM items")])
            .ready([query("COMMIT")])
            .ready([query("SELECT 1")])
            .ready([query("SELECT 2")])
            .ready([query("BEGIN; SELECT 3")])
            .ready([query("END")]),
        row("transactions pipelined as simple queries").readies(
            6,
            [
                query("BEGIN"),
                query("SELECT 1"),
                query("COMMIT"),
                query("BEGIN"),
                query("SELECT 1/0"),
                query("ROLLBACK"),
            ],
        ),
    ]
}
