//! Parameters, notifications, and what else a session keeps.

use pgherd_harness::raw::frontend::{bind, execute, parse, query, sync, terminate};

use crate::twin::script::{Row, row};

/// Parse, Bind, Execute and Sync of a statement without parameters.
fn run(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat()
}

pub fn rows() -> Vec<Row> {
    vec![
        row("SET reports TimeZone, application_name and client_encoding")
            .ready([query("SET TimeZone = 'Europe/Paris'")])
            .ready([run("SET application_name = 'twin'")])
            .ready([query("SET client_encoding = 'LATIN1'; SELECT 'caf' || chr(233)")])
            .ready([query("RESET client_encoding; RESET TimeZone")]),
        row("SET that is rolled back reports the old value")
            .ready([query("SET TimeZone = 'Europe/Paris'")])
            .ready([query("BEGIN; SET TimeZone = 'Asia/Tokyo'")])
            .ready([query("ROLLBACK")]),
        row("set_config in a query reports in the middle of it").ready([query(
            "SELECT 1; SELECT set_config('TimeZone', 'Asia/Tokyo', false); SELECT 2",
        )]),
        row("a bad value fails at the SET")
            .ready([query("SET TimeZone = 'Nowhere/Land'")])
            .ready([query("SHOW TimeZone")]),
        row("DISCARD ALL resets and reports")
            .ready([query("SET TimeZone = 'Asia/Tokyo'")])
            .ready([query("DISCARD ALL")]),
        row("DISCARD ALL in a transaction")
            .ready([query("BEGIN")])
            .ready([query("DISCARD ALL")])
            .ready([query("ROLLBACK")]),
        row("NOTIFY without a listener").ready([query("NOTIFY nobody, 'hello'")]),
        row("LISTEN and NOTIFY on one connection")
            .ready([query("LISTEN channel")])
            .ready([query("NOTIFY channel, 'first'")])
            .ready([query("BEGIN; NOTIFY channel, 'second'")])
            .ready([query("SELECT 1")])
            .ready([query("COMMIT")])
            .ready([query("UNLISTEN channel")])
            .ready([query("NOTIFY channel, 'unheard'")]),
        row("temporary tables")
            .ready([query("CREATE TEMP TABLE mine (n int)")])
            .ready([query("INSERT INTO mine VALUES (1)")])
            .ready([query("SELECT n + 0 FROM mine")])
            .ready([query("DROP TABLE mine")]),
        row("temporary tables within a transaction")
            .ready([query("BEGIN; CREATE TEMP TABLE mine (n int) ON COMMIT DROP")])
            .ready([query("INSERT INTO mine VALUES (1)")])
            .ready([query("COMMIT")]),
        row("a cursor WITH HOLD")
            .ready([query("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3)")])
            .ready([query("COMMIT")])
            .ready([query("FETCH 2 FROM c")])
            .ready([query("CLOSE c")]),
        row("advisory locks")
            .ready([query("SELECT pg_try_advisory_lock(1)")])
            .ready([query("SELECT pg_advisory_unlock(1)")])
            .ready([query("SELECT pg_advisory_unlock(1)")]),
        row("terminate at once").closed([terminate()]),
        row("terminate after a query").ready([query("SELECT 1")]).closed([terminate()]),
        row("terminate in the middle: what follows is not read")
            .ready([query("SELECT 1")])
            .closed([terminate(), query("SELECT 'unread'")]),
        row("terminate in a transaction").ready([query("BEGIN")]).closed([terminate()]),
        row("terminate in an open batch")
            .until(b'1', [parse("", "SELECT 1", &[]), pgherd_harness::raw::frontend::flush()])
            .closed([terminate()]),
    ]
}
