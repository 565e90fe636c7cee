//! Cursors of SQL: on one shard where its query has one, otherwise rows that are kept here.

use std::rc::Rc;

use ahash::AHashMap;
use pgherd_plan::{Finish, Plan};
use pgherd_sql::{Lexer, Token};
use pgherd_wire::description::row_type;
use pgherd_wire::owed::Audience;
use pgherd_wire::{ErrorResponse, backend, frame};

use super::branch::{Passing, Question};
use super::coordinator::Coordinator;
use super::execute::{Done, Job};
use super::failure::Failure;
use super::shapes::Shape;
use super::transaction::State;
use super::verb::Nature;

/// The cursors of the open transaction.
pub(crate) type Cursors = AHashMap<String, Cursor>;

/// A cursor.
pub(crate) enum Cursor {
    /// It is on this shard's branch. With its columns where that shard knows them by other tables,
    /// and whether they are in binary.
    On(usize, Option<(Rc<Shape>, bool)>),
    Kept(Kept),
}

/// A cursor whose rows are all here.
pub(crate) struct Kept {
    rows: Vec<Vec<u8>>,
    shape: Rc<Shape>,
    /// Before the first row it is 0, on the last one their number, and one more behind it.
    at: usize,
    scrolls: bool,
    /// NO SCROLL.
    forbids: bool,
}

/// What a FETCH asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many rows; backward when negative.
    Forward(i64),
    Absolute(i64),
    Relative(i64),
}

/// `invalid_cursor_name`
const NO_CURSOR: &str = "34000";
/// `duplicate_cursor`
const DUPLICATE: &str = "42P03";
pub(super) const ALL: i64 = i64::MAX;

/// The tokens of a text, without comments.
pub(super) fn tokens(text: &str) -> Vec<(Token, std::ops::Range<usize>)> {
    let mut lexer = Lexer::new(text.as_bytes());
    let mut tokens = Vec::new();
    while let Ok(Some((token, range))) = lexer.next_token() {
        if token != Token::Comment {
            tokens.push((token, range));
        }
    }
    tokens
}

/// What stands behind the first of these words.
pub(super) fn behind<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let found = tokens(text).into_iter().find(|(token, range)| {
        *token == Token::Word
            && text.get(range.clone()).is_some_and(|it| it.eq_ignore_ascii_case(word))
    });
    text.get(found?.1.end..)
}

fn has_word(text: &str, word: &str) -> bool {
    behind(text, word).is_some()
}

impl Step {
    /// As it is written in a FETCH or MOVE; `None` when it is not understood.
    fn read(text: &str) -> Option<Self> {
        let words: Vec<String> = tokens(text)
            .into_iter()
            .filter(|(token, _)| *token != Token::Semicolon)
            .filter_map(|(_, range)| text.get(range).map(str::to_ascii_lowercase))
            .collect();
        // The verb, and the cursor's name.
        let (_, words) = words.split_first()?;
        let (_, words) = words.split_last()?;
        let words = match words {
            [words @ .., last] if last == "from" || last == "in" => words,
            words => words,
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let number = |words: &[&str]| match words {
            ["-", number] => number.parse::<i64>().ok().map(|it| -it),
            ["+", number] | [number] => number.parse().ok(),
            _ => None,
        };
        Some(match words.as_slice() {
            [] | ["next" | "forward"] => Self::Forward(1),
            ["prior" | "backward"] => Self::Forward(-1),
            ["first"] => Self::Absolute(1),
            ["last"] => Self::Absolute(-1),
            ["all"] | ["forward", "all"] => Self::Forward(ALL),
            ["backward", "all"] => Self::Forward(-ALL),
            ["absolute", count @ ..] => Self::Absolute(number(count)?),
            ["relative", count @ ..] => Self::Relative(number(count)?),
            ["backward", count @ ..] => Self::Forward(-number(count)?),
            ["forward", count @ ..] | count => Self::Forward(number(count)?),
        })
    }
}

impl Kept {
    /// Moves, and says which rows that gives, counted from 0, in their order.
    fn step(&mut self, step: Step) -> Vec<usize> {
        let count = self.rows.len();
        let last = i64::try_from(count).unwrap_or(ALL);
        let here = i64::try_from(self.at).unwrap_or(ALL);
        let place = |at: i64| usize::try_from(at.clamp(0, last + 1)).unwrap_or(0);
        let on = |at: usize| (1..=count).contains(&at).then(|| at - 1).into_iter().collect();
        match step {
            // The row on which it is, once more.
            Step::Forward(0) | Step::Relative(0) => on(self.at),
            Step::Forward(rows) if rows > 0 => {
                let from = self.at;
                let to = place(here.saturating_add(rows));
                self.at = to;
                (from..to.min(count)).collect()
            }
            Step::Forward(rows) => {
                let from = self.at;
                let to = place(here.saturating_add(rows));
                self.at = to;
                (to.max(1)..from).rev().map(|at| at - 1).collect()
            }
            Step::Absolute(at) => {
                let at = if at < 0 { (last + 1).saturating_add(at) } else { at };
                self.at = place(at);
                on(self.at)
            }
            Step::Relative(rows) => {
                self.at = place(here.saturating_add(rows));
                on(self.at)
            }
        }
    }

    /// Whether a step goes only forward.
    fn is_forward(&self, step: Step) -> bool {
        let here = i64::try_from(self.at).unwrap_or(ALL);
        match step {
            Step::Forward(rows) | Step::Relative(rows) => rows >= 0,
            Step::Absolute(at) => at >= here,
        }
    }
}

impl Coordinator {
    /// DECLARE CURSOR.
    pub(crate) async fn declare(
        &mut self,
        name: &str,
        holds: bool,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        if holds {
            return Err(Failure::unsupported(
                "a cursor WITH HOLD",
                "Declare it in a transaction, without HOLD.",
            ));
        }
        // Statements of one text are a block, too.
        let is_in_block = match self.transaction.state {
            State::Block => true,
            State::Implicit => job.is_simple,
            State::None | State::Failed => false,
        };
        if !is_in_block {
            let text = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(Failure::error("25P01", text));
        }
        if self.cursors.contains_key(name) || self.extended.portals.contains_key(name.as_bytes()) {
            return Err(Failure::error(DUPLICATE, format!("cursor \"{name}\" already exists")));
        }
        let query = behind(job.text, "for").ok_or_else(super::coordinator::not_understood)?;
        let head = job.text.len() - query.len();
        let head = job.text.get(..head).unwrap_or_default();
        let inner = Job { text: query, is_simple: false, nature: Nature::Reads, ..*job };
        let mut plan = self.plan(&inner).await?;
        while let Plan::Merge(merge) = plan {
            plan = *merge.otherwise;
        }
        let shard = match plan {
            Plan::Single(shard) => Some(shard),
            Plan::Any => Some(self.shard_for(query)),
            Plan::Finish(finish) => {
                let cursor = Box::pin(self.declare_finished(name, head, &finish, &inner)).await?;
                self.keep_cursor(name, cursor);
                return Ok(Done::tagged("DECLARE CURSOR"));
            }
            _ => None,
        };
        if let Some(shard) = shard {
            let done = self.on_one(shard, job).await?;
            self.keep_cursor(name, Cursor::On(shard, None));
            return Ok(done);
        }
        if has_word(head, "binary") {
            return Err(Failure::unsupported("a BINARY cursor", "Use the extended protocol."));
        }
        let scrolls = has_word(head, "scroll") && !has_word(head, "no");
        let shape = self.shape(query, job.types).await?;
        let outer = self.front.begin_capture(self.budget());
        let done = Box::pin(self.execute(&Job { formats: &[], ..inner })).await;
        let rows = self.front.end_capture(outer);
        done?;
        let forbids = has_word(head, "scroll") && !scrolls;
        let kept = Kept { rows: rows.into(), shape, at: 0, scrolls, forbids };
        self.keep_cursor(name, Cursor::Kept(kept));
        Ok(Done::tagged("DECLARE CURSOR"))
    }

    fn keep_cursor(&mut self, name: &str, cursor: Cursor) {
        self.cursors.insert(name.to_owned(), cursor);
        self.transaction.log_cursor(name);
    }

    /// A cursor over gathered rows, on the one Postgres that finishes the query.
    async fn declare_finished(
        &mut self,
        name: &str,
        head: &str,
        finish: &Finish,
        job: &Job<'_>,
    ) -> Result<Cursor, Failure> {
        let shape = self.shape(job.text, job.types).await?;
        let job = Job { types: &shape.parameters, ..*job };
        let gathered = self.with_gathered(&finish.gathers, finish.first_parameter, &job).await?;
        let arguments = gathered.as_ref().unwrap_or(job.arguments);
        let sql = format!("{head} {}", finish.query);
        let question = Question { sql: sql.as_bytes(), types: job.types, arguments, formats: &[] };
        let shard = self.any_shard();
        let branch = self.branch(shard).await?;
        branch.send_question(&question, Audience::Client).await?;
        branch.forward(Passing::NOTHING).await.map_err(super::execute::about_own_text)?;
        let fetch = format!("FETCH 0 FROM {}", super::transaction::quoted(name));
        let row = branch.describe(&Question::plain(&fetch)).await?.row;
        if row.as_deref().map(row_type) == shape.row.as_deref().map(row_type) {
            return Ok(Cursor::On(shard, Some((shape, has_word(head, "binary")))));
        }
        branch.simple(&format!("CLOSE {}", super::transaction::quoted(name))).await?;
        Err(Failure::unsupported(
            "a query whose columns would be others",
            "Cast them to the type that they shall have.",
        ))
    }

    /// FETCH and MOVE. In the simple protocol a RowDescription goes before the rows.
    pub(crate) async fn fetch(
        &mut self,
        name: &str,
        moves: bool,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        let kept = match self.cursors.get_mut(name) {
            None if self.extended.portals.contains_key(name.as_bytes()) => {
                let step = Step::read(job.text).ok_or_else(super::coordinator::not_understood)?;
                return Box::pin(self.fetch_portal(name, moves, step, job)).await;
            }
            None => return Err(no_cursor(name)),
            Some(Cursor::On(shard, Some((shape, binary)))) if job.is_simple && !moves => {
                let (shard, row) = (*shard, shape.row_in(if *binary { &[1] } else { &[] }));
                let branch = self.branch(shard).await?;
                branch.send_simple(job.text.as_bytes(), Audience::Client).await?;
                let passing = Passing { expected: row.as_deref(), ..job.passing() };
                return Ok(Done::of(branch.forward(passing).await?));
            }
            Some(Cursor::On(shard, _)) => {
                let shard = *shard;
                return self.on_one(shard, job).await;
            }
            Some(Cursor::Kept(kept)) => kept,
        };
        let step = Step::read(job.text).ok_or_else(super::coordinator::not_understood)?;
        if kept.forbids && !kept.is_forward(step) {
            return Err(only_forward());
        }
        if !kept.scrolls && !kept.is_forward(step) {
            return Err(Failure::refused(
                ErrorResponse::error(
                    pgherd_wire::sqlstate::FEATURE_NOT_SUPPORTED,
                    "a cursor over shards moves backward only when it was declared with SCROLL",
                )
                .hint("Declare it with SCROLL."),
            ));
        }
        let rows = kept.step(step);
        if moves {
            return Ok(Done::tagged(&format!("MOVE {}", rows.len())));
        }
        if job.formats.iter().any(|it| *it != 0) {
            return Err(Failure::unsupported(
                "rows of a cursor in binary",
                "Ask for them in text, or execute the query by itself.",
            ));
        }
        if job.is_simple
            && let Some(row) = &kept.shape.row
        {
            self.front.put(|out| {
                frame::put(out, backend::tag::ROW_DESCRIPTION, |out| out.extend_from_slice(row));
            });
        }
        for index in &rows {
            if let Some(row) = kept.rows.get(*index) {
                self.front.put_row(row)?;
            }
        }
        Ok(Done::tagged(&format!("FETCH {}", rows.len())))
    }

    /// Execute of a cursor as a portal, with a limit or 0.
    pub(super) async fn execute_cursor(&mut self, name: &str, limit: usize) -> Result<(), Failure> {
        if self.transaction.state == State::Failed {
            return Err(super::coordinator::in_failed_transaction());
        }
        let count = match self.cursors.get_mut(name) {
            None => return Err(no_cursor(name)),
            Some(Cursor::Kept(kept)) => {
                let rows = if limit == 0 { ALL } else { i64::try_from(limit).unwrap_or(ALL) };
                let rows = kept.step(Step::Forward(rows));
                for index in &rows {
                    if let Some(row) = kept.rows.get(*index) {
                        self.front.put_row(row)?;
                    }
                }
                rows.len()
            }
            Some(Cursor::On(shard, _)) => {
                let shard = *shard;
                let many = if limit == 0 { "ALL".to_owned() } else { limit.to_string() };
                let sql = format!("FETCH {many} FROM {}", super::transaction::quoted(name));
                let branch = self.branch(shard).await?;
                branch.send_simple(sql.as_bytes(), Audience::Client).await?;
                let tag = branch.forward(Passing::ROWS).await?.tag;
                let count = tag.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
                std::str::from_utf8(count).ok().and_then(|it| it.parse().ok()).unwrap_or(0)
            }
        };
        if limit > 0 && count == limit {
            self.front.put(|out| backend::put_empty(out, backend::tag::PORTAL_SUSPENDED));
        } else {
            Done::tagged(&format!("SELECT {count}")).put(&self.front);
        }
        Ok(())
    }

    /// What a FETCH returns.
    pub(crate) async fn shape_of_fetch(
        &mut self,
        name: &str,
        moves: bool,
        text: &str,
    ) -> Result<Rc<Shape>, Failure> {
        match self.cursors.get(name) {
            None => match self.extended.portals.get(name.as_bytes()) {
                Some(portal) if !moves => Ok(portal.shape()),
                Some(_) => Ok(Rc::default()),
                None => Err(no_cursor(name)),
            },
            Some(Cursor::Kept(_)) if moves => Ok(Rc::default()),
            Some(Cursor::Kept(kept)) => Ok(Rc::clone(&kept.shape)),
            Some(Cursor::On(_, Some(_))) if moves => Ok(Rc::default()),
            Some(Cursor::On(_, Some((shape, _)))) => Ok(Rc::clone(shape)),
            Some(Cursor::On(shard, None)) => {
                let shard = *shard;
                let question = super::branch::Question::plain(text);
                Ok(Rc::new(self.branch(shard).await?.describe(&question).await?))
            }
        }
    }

    /// CLOSE.
    pub(crate) async fn close_cursor(
        &mut self,
        name: Option<&str>,
    ) -> Result<&'static str, Failure> {
        let names: Vec<String> = match name {
            Some(name) if !self.cursors.contains_key(name) => {
                if !self.extended.portals.contains_key(name.as_bytes()) {
                    return Err(no_cursor(name));
                }
                self.close_portal(name.as_bytes()).await?;
                return Ok("CLOSE CURSOR");
            }
            Some(name) => vec![name.to_owned()],
            None => self.cursors.keys().cloned().collect(),
        };
        for name in names {
            if let Some(Cursor::On(shard, _)) = self.cursors.remove(&name)
                && let Some(branch) = self.branches.get(shard)
            {
                let sql = format!("CLOSE {}", super::transaction::quoted(&name));
                branch.simple(&sql).await?;
            }
        }
        Ok(if name.is_some() { "CLOSE CURSOR" } else { "CLOSE CURSOR ALL" })
    }
}

pub(super) fn only_forward() -> Failure {
    Failure::refused(
        ErrorResponse::error("55000", "cursor can only scan forward")
            .hint("Declare it with SCROLL option to enable backward scan."),
    )
}

fn no_cursor(name: &str) -> Failure {
    Failure::error(NO_CURSOR, format!("cursor \"{name}\" does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_says_what_it_wants() {
        for (text, expected) in [
            ("FETCH c", Step::Forward(1)),
            ("FETCH FROM c", Step::Forward(1)),
            ("FETCH 10 FROM c;", Step::Forward(10)),
            ("FETCH -2 IN c", Step::Forward(-2)),
            ("MOVE ALL \"C c\"", Step::Forward(ALL)),
            ("FETCH BACKWARD ALL FROM c", Step::Forward(-ALL)),
            ("FETCH FORWARD 3 /* x */ FROM c", Step::Forward(3)),
            ("FETCH PRIOR c", Step::Forward(-1)),
            ("FETCH LAST FROM c", Step::Absolute(-1)),
            ("FETCH ABSOLUTE -3 FROM c", Step::Absolute(-3)),
            ("FETCH RELATIVE 2 c", Step::Relative(2)),
        ] {
            assert_eq!(Step::read(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_cursor_moves_as_in_postgres() {
        let mut kept = Kept {
            rows: vec![Vec::new(); 3],
            shape: Rc::default(),
            at: 0,
            scrolls: true,
            forbids: false,
        };
        for (step, expected) in [
            (Step::Forward(2), vec![0, 1]),
            (Step::Forward(0), vec![1]),
            (Step::Forward(5), vec![2]),
            (Step::Forward(1), vec![]),
            (Step::Forward(-1), vec![2]),
            (Step::Forward(-ALL), vec![1, 0]),
            (Step::Forward(-1), vec![]),
            (Step::Absolute(-1), vec![2]),
            (Step::Absolute(2), vec![1]),
            (Step::Relative(-1), vec![0]),
            (Step::Relative(0), vec![0]),
            (Step::Absolute(9), vec![]),
            (Step::Forward(-2), vec![2, 1]),
            (Step::Absolute(0), vec![]),
            (Step::Forward(ALL), vec![0, 1, 2]),
        ] {
            assert_eq!(kept.step(step), expected, "{step:?}");
        }
    }
}
