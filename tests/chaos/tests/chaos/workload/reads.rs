//! Readers that check that every row is theirs and that the bank's sum is what it always is.

use pgherd_harness::raw::frontend::{bind, execute, parse, query, sync};
use pgherd_harness::raw::{Client, Message};
use rand::RngExt;

use super::books::total;
use super::session::expect_rows;
use super::{ACCOUNTS, Failure, Kind, Turn, Work, ask};

/// Simple and extended queries, with short and long answers.
pub struct Reads;

impl Work for Reads {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Kind, (Kind, Failure)> {
        let token = turn.token();
        let (choice, rows) = (turn.rng.random_range(0..4), turn.rng.random_range(1..200));
        let read = |client: &mut Client| match choice {
            0 | 1 => {
                let sql = format!("SELECT '{token}', sum(balance), count(*) FROM accounts");
                let answer = ask(client, &query(&sql), 1)?;
                expect_rows(&answer, &token, 1)?;
                expect_sum(&answer)
            }
            2 => {
                let sql = format!("SELECT $1::text, n FROM generate_series(1, {rows}) n");
                let answer = ask(client, &batch("", &sql, &token), 1)?;
                expect_rows(&answer, &token, rows)
            }
            _ => {
                let sql =
                    format!("SELECT '{token}', repeat('x', 200) FROM generate_series(1, {rows}) n");
                let answer = ask(client, &query(&sql), 1)?;
                expect_rows(&answer, &token, rows)
            }
        };
        turn.session.client().and_then(read).map_err(|failure| (Kind::Read, failure))?;
        Ok(Kind::Read)
    }
}

fn expect_sum(answer: &[Message]) -> Result<(), Failure> {
    let row = answer.iter().find_map(Message::data_row).unwrap_or_default();
    let value = |place: usize| row.get(place).copied().flatten().map(String::from_utf8_lossy);
    let (sum, count) = (value(1), value(2));
    let right = sum.as_deref() == Some(&total().to_string())
        && count.as_deref() == Some(&ACCOUNTS.to_string());
    if right { Ok(()) } else { Err(Failure::Wrong(format!("the sum is {sum:?} of {count:?}"))) }
}

fn batch(name: &str, sql: &str, value: &str) -> Vec<u8> {
    let bind = bind("", name, &[Some(value.as_bytes())]);
    [parse(name, sql, &[]), bind, execute("", 0), sync()].concat()
}

/// A statement that is prepared once for each connection.
#[derive(Default)]
pub struct Prepared {
    /// The connection that it is prepared on.
    connection: u64,
}

impl Work for Prepared {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Kind, (Kind, Failure)> {
        let token = turn.token();
        let account = turn.rng.random_range(1..=ACCOUNTS).to_string();
        let prepared = self.connection;
        let work = |session: &mut super::Session| {
            session.client()?;
            let number = session.number();
            let client = session.client()?;
            if number != prepared {
                let sql = "SELECT $1::text, id, balance FROM accounts WHERE id = $2::int";
                ask(client, &[parse("by_id", sql, &[]), sync()].concat(), 1)?;
            }
            let values = [Some(token.as_bytes()), Some(account.as_bytes())];
            let messages = [bind("", "by_id", &values), execute("", 0), sync()].concat();
            let answer = ask(client, &messages, 1)?;
            expect_rows(&answer, &token, 1)?;
            Ok(number)
        };
        self.connection = work(turn.session).map_err(|failure| (Kind::Prepared, failure))?;
        Ok(Kind::Prepared)
    }
}
