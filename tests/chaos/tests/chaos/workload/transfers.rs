//! A bank: money goes from one account to another, and the ledger says so.

use pgherd_harness::raw::frontend::query;
use rand::RngExt;

use super::books::Table;
use super::session::{completed, expect_rows};
use super::{ACCOUNTS, Failure, Fate, Kind, Turn, Work, ask};

/// One transfer in each operation, statement by statement or all in one message.
pub struct Transfers;

impl Work for Transfers {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Kind, (Kind, Failure)> {
        turn.books.note(Table::Ledger, turn.id, Fate::RolledBack);
        let mut kind = Kind::Transfer;
        let fate = transfer(turn, &mut kind).map_err(|failure| (kind, failure))?;
        turn.books.note(Table::Ledger, turn.id, fate);
        Ok(Kind::Transfer)
    }
}

fn transfer(turn: &mut Turn<'_>, kind: &mut Kind) -> Result<Fate, Failure> {
    let (id, token) = (turn.id, turn.token());
    let source = turn.rng.random_range(1..=ACCOUNTS);
    let target = (source + turn.rng.random_range(1..ACCOUNTS) - 1) % ACCOUNTS + 1;
    let amount = turn.rng.random_range(1..20);
    // In the order of the accounts, so that no two of them wait for each other.
    let mut changes = [(source, -amount), (target, amount)];
    changes.sort_unstable();
    let changes = changes.map(|(account, amount)| {
        format!(
            "UPDATE accounts SET balance = balance + {amount} WHERE id = {account} \
             RETURNING '{token}'"
        )
    });
    let entry = format!(
        "INSERT INTO ledger VALUES ({id}, {source}, {target}, {amount}) RETURNING '{token}'"
    );
    let at_once = turn.rng.random_range(0..3) == 0;
    let client = turn.session.client()?;
    if at_once {
        let [first, second] = changes;
        turn.books.note(Table::Ledger, id, Fate::Unknown);
        let all = format!("BEGIN; {first}; {second}; {entry}; COMMIT");
        let answer = ask(client, &query(&all), 1)?;
        expect_rows(&answer, &token, 3)?;
        return fate(&completed(&answer), 5);
    }
    ask(client, &query("BEGIN"), 1)?;
    *kind = Kind::BegunTransfer;
    for statement in changes.into_iter().chain([entry]) {
        let answer = ask(client, &query(&statement), 1)?;
        expect_rows(&answer, &token, 1)?;
    }
    turn.books.note(Table::Ledger, id, Fate::Unknown);
    let answer = ask(client, &query("COMMIT"), 1)?;
    fate(&completed(&answer), 1)
}

fn fate(tags: &[String], count: usize) -> Result<Fate, Failure> {
    match tags.last().map(String::as_str) {
        Some("COMMIT") if tags.len() == count => Ok(Fate::Committed),
        _ => Err(Failure::Wrong(format!("a transfer was answered with {tags:?}"))),
    }
}
