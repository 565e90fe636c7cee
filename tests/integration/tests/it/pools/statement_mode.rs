//! In statement mode a transaction lasts for one message or batch, and nobody ends up inside one.

use anyhow::Result;
use pgherd_harness::raw::frontend::{
    bind, copy_data, copy_done, execute, flush, parse, query, sync,
};
use pgherd_harness::raw::{Client, Message};

use super::stand::Stand;

const REFUSED: &str = "transaction blocks not allowed in statement pooling mode";

fn stand() -> Result<Stand> {
    Stand::start(|config| config.pool_size(1).user_setting("app", "pool_mode", "\"statement\""))
}

fn rows(stand: &Stand) -> Result<String> {
    Ok(stand.postgres.sql("SELECT count(*) FROM t")?.concat().concat())
}

/// All tags of an answer, with the states of ReadyForQuery and the texts of errors.
fn shown(messages: &[Message]) -> Vec<String> {
    let show = |message: &Message| match message.tag {
        b'E' => format!(
            "E {} {}",
            message.sqlstate().unwrap_or_default(),
            message.field(b'M').unwrap_or_default()
        ),
        b'C' | b'Z' => {
            let body = message.body.strip_suffix(&[0]).unwrap_or(&message.body);
            format!("{} {}", char::from(message.tag), body.escape_ascii())
        }
        tag => char::from(tag).to_string(),
    };
    messages.iter().map(show).collect()
}

/// What is sent in one write is answered so, leaves so many rows, and never a transaction.
#[track_caller]
fn check(messages: &[Vec<u8>], readies: usize, answer: &[&str], count: &str) {
    let run = || -> Result<()> {
        let stand = stand()?;
        let mut client = stand.client()?;
        client.send(&messages.concat())?;
        let seen = client.until_ready(readies)?;
        assert_eq!(shown(&seen), answer);
        // The next one has the connection at once, and it is clean.
        let mut next = stand.client()?;
        assert_eq!(next.value("SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid() AND xact_start = query_start")?, "1");
        assert_eq!(rows(&stand)?, count);
        assert_eq!(client.value("SELECT 'goes on'")?, "goes on");
        assert_eq!(stand.connections()?, 1);
        Ok(())
    };
    run().unwrap_or_else(|error| panic!("{error:#}"));
}

fn insert() -> [Vec<u8>; 3] {
    [parse("", "INSERT INTO t VALUES (1)", &[]), bind("", "", &[]), execute("", 0)]
}

#[test]
fn begin_is_refused() {
    let refused = format!("E 0A000 {REFUSED}");
    check(&[query("BEGIN")], 1, &["C BEGIN", &refused, "Z I"], "0");
    let insert = "BEGIN; INSERT INTO t VALUES (1)";
    check(&[query(insert)], 1, &["C BEGIN", "C INSERT 0 1", &refused, "Z I"], "0");
    let batch = [parse("", "START TRANSACTION READ WRITE", &[]), bind("", "", &[]), execute("", 0)];
    let answer = ["1", "2", "C START TRANSACTION", &refused, "Z I"];
    check(&[batch.concat(), sync()], 1, &answer, "0");
    let chain = "BEGIN; COMMIT AND CHAIN";
    check(&[query(chain)], 1, &["C BEGIN", "C COMMIT", &refused, "Z I"], "0");
}

#[test]
fn what_was_sent_behind_a_begin_is_not_inside_it() {
    let refused = format!("E 0A000 {REFUSED}");
    let pipeline = [query("BEGIN"), query("INSERT INTO t VALUES (1)"), query("ROLLBACK")];
    // Each for itself: the INSERT is committed, and there is nothing to roll back.
    let answer = ["C BEGIN", &refused, "Z I", "C INSERT 0 1", "Z I", "N", "C ROLLBACK", "Z I"];
    check(&pipeline, 3, &answer, "1");
    let begin = [parse("", "BEGIN", &[]), bind("", "", &[]), execute("", 0)];
    let answer = ["1", "2", "C BEGIN", &refused, "Z I", "1", "2", "C INSERT 0 1", "Z I"];
    check(&[begin.concat(), sync(), insert().concat(), sync()], 2, &answer, "1");
}

#[test]
fn a_transaction_that_has_failed_is_ended() {
    let answer = ["C BEGIN", "E 22012 division by zero", "Z I"];
    check(&[query("BEGIN; SELECT 1/0")], 1, &answer, "0");
    let copy = [query("BEGIN; COPY t FROM STDIN"), copy_data(b"no number\n"), copy_done()];
    let answer =
        ["C BEGIN", "G", "E 22P02 invalid input syntax for type integer: \"no number\"", "Z I"];
    check(&copy, 1, &answer, "0");
}

#[test]
fn several_statements_of_one_message_or_batch_are_one_transaction() {
    let two = "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)";
    check(&[query(two)], 1, &["C INSERT 0 1", "C INSERT 0 1", "Z I"], "2");
    let failed = "INSERT INTO t VALUES (1); SELECT 1/0";
    check(&[query(failed)], 1, &["C INSERT 0 1", "E 22012 division by zero", "Z I"], "0");
    let whole = "BEGIN; INSERT INTO t VALUES (1); COMMIT";
    check(&[query(whole)], 1, &["C BEGIN", "C INSERT 0 1", "C COMMIT", "Z I"], "1");
    let batch = [insert().concat(), flush(), insert().concat(), sync()];
    check(&batch, 1, &["1", "2", "C INSERT 0 1", "1", "2", "C INSERT 0 1", "Z I"], "2");
    let copy = [query("COPY t FROM STDIN"), copy_data(b"1\n2\n"), copy_done()];
    check(&copy, 1, &["G", "C COPY 2", "Z I"], "2");
}

#[test]
fn the_connection_goes_back_after_each_statement() -> Result<()> {
    let stand = stand()?;
    let mut clients: Vec<Client> = (0..5).map(|_| stand.client()).collect::<Result<_>>()?;
    for round in 0..20 {
        for client in &mut clients {
            let error = client.simple("BEGIN")?;
            assert_eq!(shown(&error).last().map(String::as_str), Some("Z I"));
            assert_eq!(client.value(&format!("SELECT {round}"))?, round.to_string());
        }
    }
    assert_eq!(stand.connections()?, 1);
    // Statements that were prepared are there wherever the client ends up.
    for client in &mut clients {
        client.send(&[parse("s", "SELECT $1::int + 1", &[]), sync()].concat())?;
        client.until_ready(1)?;
    }
    for client in &mut clients {
        client.send(&[bind("", "s", &[Some(b"41")]), execute("", 0), sync()].concat())?;
        let answer = client.until_ready(1)?;
        assert_eq!(shown(&answer), ["2", "D", "C SELECT 1", "Z I"]);
    }
    Ok(())
}
