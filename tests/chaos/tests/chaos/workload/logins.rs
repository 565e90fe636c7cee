//! A client that comes, asks once, and goes.

use pgherd_harness::raw::frontend::query;

use super::session::expect_rows;
use super::{Failure, Kind, Turn, Work, ask};

/// A connection for each operation.
pub struct Logins;

impl Work for Logins {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Kind, (Kind, Failure)> {
        visit(turn).map_err(|failure| (Kind::Login, failure))?;
        turn.session.say_goodbye();
        Ok(Kind::Login)
    }
}

fn visit(turn: &mut Turn<'_>) -> Result<(), Failure> {
    let token = turn.token();
    let answer = ask(turn.session.client()?, &query(&format!("SELECT '{token}'")), 1)?;
    expect_rows(&answer, &token, 1)
}
