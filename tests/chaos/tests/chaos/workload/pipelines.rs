//! Many statements in one write, with one Sync or several.

use pgherd_harness::raw::Message;
use pgherd_harness::raw::frontend::{bind, execute, parse, sync};
use rand::RngExt;

use super::books::Table;
use super::{Failure, Fate, Kind, Turn, Work, ask};

const STATEMENTS: u64 = 5;

/// Reads with a Sync each, or writes with one Sync for all, which makes them one transaction.
pub struct Pipelines;

impl Work for Pipelines {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Kind, (Kind, Failure)> {
        let token = turn.token();
        if turn.rng.random_range(0..2) == 0 {
            let sql = "SELECT $1::text";
            let one = |n| [statement(sql, &format!("{token}.{n}")), sync()].concat();
            let messages: Vec<u8> = (0..STATEMENTS).flat_map(one).collect();
            pipeline(turn, &messages, STATEMENTS as usize)
                .map_err(|failure| (Kind::PipelinedRead, failure))?;
            return Ok(Kind::PipelinedRead);
        }
        let (table, id) = (Table::Piped(STATEMENTS), turn.id);
        turn.books.note(table, id, Fate::RolledBack);
        let one = |n| {
            let sql = format!("INSERT INTO piped VALUES ({id}, {n}) RETURNING $1::text");
            statement(&sql, &format!("{token}.{n}"))
        };
        let mut messages: Vec<u8> = (0..STATEMENTS).flat_map(one).collect();
        messages.extend(sync());
        turn.session.client().map_err(|failure| (Kind::PipelinedWrite, failure))?;
        turn.books.note(table, id, Fate::Unknown);
        pipeline(turn, &messages, 1).map_err(|failure| (Kind::PipelinedWrite, failure))?;
        turn.books.note(table, id, Fate::Committed);
        Ok(Kind::PipelinedWrite)
    }
}

fn statement(sql: &str, value: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[Some(value.as_bytes())]), execute("", 0)].concat()
}

/// The rows must be ours, each in its turn.
fn pipeline(turn: &mut Turn<'_>, messages: &[u8], readies: usize) -> Result<(), Failure> {
    let token = turn.token();
    let answer = ask(turn.session.client()?, messages, readies)?;
    let rows: Vec<String> = answer
        .iter()
        .filter_map(Message::data_row)
        .map(|row| String::from_utf8_lossy(row.concat_first()).into_owned())
        .collect();
    let expected: Vec<String> = (0..STATEMENTS).map(|n| format!("{token}.{n}")).collect();
    if rows == expected {
        Ok(())
    } else {
        Err(Failure::Wrong(format!("{rows:?} instead of {expected:?}")))
    }
}

trait FirstValue {
    fn concat_first(&self) -> &[u8];
}

impl FirstValue for Vec<Option<&[u8]>> {
    fn concat_first(&self) -> &[u8] {
        self.first().copied().flatten().unwrap_or_default()
    }
}
