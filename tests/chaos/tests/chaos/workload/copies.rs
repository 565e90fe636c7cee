//! COPY in both directions.

use pgherd_harness::raw::Client;
use pgherd_harness::raw::frontend::{copy_data, copy_done, query};
use rand::RngExt;

use super::books::Table;
use super::session::{completed, until_tag};
use super::{Failure, Fate, Kind, Turn, Work, ask};

const ROWS: u64 = 60;
/// In each CopyData of ours.
const ROWS_AT_ONCE: u64 = 10;

/// In and out, as it falls.
pub struct Copies;

impl Work for Copies {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Kind, (Kind, Failure)> {
        if turn.rng.random_range(0..2) == 0 {
            copy_out(turn).map_err(|failure| (Kind::CopyOut, failure))?;
            return Ok(Kind::CopyOut);
        }
        let (table, id) = (Table::Copied(ROWS), turn.id);
        turn.books.note(table, id, Fate::RolledBack);
        copy_in(turn).map_err(|failure| (Kind::CopyIn, failure))?;
        turn.books.note(table, id, Fate::Committed);
        Ok(Kind::CopyIn)
    }
}

fn copy_in(turn: &mut Turn<'_>) -> Result<(), Failure> {
    let (id, books) = (turn.id, turn.books);
    let client = turn.session.client()?;
    client.send(&query("COPY copied FROM STDIN")).map_err(|_| Failure::Closed { begun: false })?;
    until_tag(client, b'G')?;
    for from in (0..ROWS).step_by(ROWS_AT_ONCE as usize) {
        let rows = (from..from + ROWS_AT_ONCE).map(|n| format!("{id}\t{n}\n"));
        let rows: String = rows.collect();
        // What was said of it is read below.
        let _ = client.send(&copy_data(rows.as_bytes()));
    }
    books.note(Table::Copied(ROWS), id, Fate::Unknown);
    let tags = completed(&ask(client, &copy_done(), 1)?);
    if tags == [format!("COPY {ROWS}")] {
        Ok(())
    } else {
        Err(Failure::Wrong(format!("COPY was answered with {tags:?}")))
    }
}

fn copy_out(turn: &mut Turn<'_>) -> Result<(), Failure> {
    let (token, rows) = (turn.token(), turn.rng.random_range(1..400));
    let client: &mut Client = turn.session.client()?;
    let sql = format!("COPY (SELECT '{token}', n FROM generate_series(1, {rows}) n) TO STDOUT");
    let answer = ask(client, &query(&sql), 1)?;
    let mut next = 1;
    for message in answer.iter().filter(|message| message.tag == b'd') {
        let expected = format!("{token}\t{next}\n");
        if message.body != expected.as_bytes() {
            let row = String::from_utf8_lossy(&message.body).into_owned();
            return Err(Failure::Wrong(format!("{row:?} instead of {expected:?}")));
        }
        next += 1;
    }
    if next == rows + 1 {
        Ok(())
    } else {
        Err(Failure::Wrong(format!("{} of {rows} rows", next - 1)))
    }
}
