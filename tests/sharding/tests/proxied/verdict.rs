//! What one Postgres says against what the proxy says.

use anyhow::Result;

use crate::corpus::Case;
use crate::stand::Stand;
use crate::wire::{self, Parameter, Reply, Way};

/// How a statement was answered.
#[derive(Debug)]
pub enum Verdict {
    /// Byte for byte; with a word on what is told of an error besides, if that differs.
    Exact(Option<String>),
    /// With these words.
    Refused(String),
    Wrong(String),
    /// The connection was.
    Dropped(String),
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Exact(None) => "exact",
            Self::Exact(Some(_)) => "exact but for details",
            Self::Refused(_) => "refused",
            Self::Wrong(_) => "wrong",
            Self::Dropped(_) => "dropped",
        }
    }

    /// What is wrong with it.
    pub fn complaint(&self, case: &Case) -> Option<String> {
        match (self, &case.refused) {
            // The words are the planner's; the session may say it in others, or have another way.
            (Self::Refused(_) | Self::Exact(_), _) => None,
            (Self::Wrong(text) | Self::Dropped(text), _) => {
                Some(format!("{}: {text}", self.word()))
            }
        }
    }
}

/// Runs a statement on both sides and undoes what it did.
pub fn judge(stand: &mut Stand, case: &Case, way: Way, in_block: bool) -> Result<Verdict> {
    // A row as text is the same on all shards; as binary it has OIDs inside.
    if case.refused.as_deref().is_some_and(|it| it != "whole row") {
        return judge_refusal(stand, case, way, in_block);
    }
    let parameters = wire::parameters(&mut stand.whole, &case.sql, &case.parameters)?;
    // What has other columns afterwards cannot be compared column by column.
    let writes = case.file.starts_with("write") && case.file != "write_ddl";
    if writes {
        stand.restart_sequences()?;
    }
    if in_block {
        stand.whole.rows("BEGIN")?;
    }
    let expected = wire::ask(&mut stand.whole, way, &case.sql, &parameters)?;
    let mut dropped = None;
    if in_block {
        dropped = stand.proxied.rows("BEGIN").err();
    }
    let got = match dropped {
        Some(error) => Err(error),
        None => wire::ask(&mut stand.proxied, way, &case.sql, &parameters),
    };
    let verdict = match got {
        Err(error) => Verdict::Dropped(format!("{error:#}").chars().take(300).collect()),
        Ok(got) => match compare(case, &expected, &got) {
            Verdict::Exact(detail) if writes && expected.error.is_none() => {
                match stand.compare_tables(in_block)? {
                    None => Verdict::Exact(detail),
                    Some(difference) => Verdict::Wrong(difference),
                }
            }
            verdict => verdict,
        },
    };
    if in_block {
        stand.whole.rows("ROLLBACK")?;
        if !matches!(verdict, Verdict::Dropped(_)) && stand.proxied.rows("ROLLBACK").is_err() {
            stand.reconnect()?;
            return Ok(Verdict::Dropped("at ROLLBACK".to_owned()));
        }
    } else if writes {
        stand.restore()?;
    }
    if matches!(verdict, Verdict::Dropped(_)) {
        stand.reconnect()?;
    }
    Ok(verdict)
}

/// What must be refused is not run elsewhere: it would change things there.
fn judge_refusal(stand: &mut Stand, case: &Case, way: Way, in_block: bool) -> Result<Verdict> {
    let text = |it: &Option<String>| it.as_ref().map(|it| it.clone().into_bytes());
    let values = case.parameters.iter();
    let parameters: Vec<_> =
        values.map(|it| Parameter { text: text(it), binary: text(it) }).collect();
    if in_block {
        stand.proxied.rows("BEGIN")?;
    }
    let reply = match wire::ask(&mut stand.proxied, way, &case.sql, &parameters) {
        Ok(reply) => reply,
        Err(error) => {
            stand.reconnect()?;
            return Ok(Verdict::Dropped(format!("{error:#}").chars().take(300).collect()));
        }
    };
    if in_block {
        stand.proxied.rows("ROLLBACK")?;
    }
    Ok(match reply.error {
        Some((code, message)) if code == "0A000" => Verdict::Refused(message),
        error => Verdict::Wrong(format!("should be refused: {error:?}, {:?}", reply.tags)),
    })
}

fn compare(case: &Case, expected: &Reply, got: &Reply) -> Verdict {
    let (expected, got) = (sorted(case, expected), sorted(case, got));
    let refusal = got.error.as_ref().filter(|(code, _)| code == "0A000");
    if let Some((_, message)) = refusal
        && expected.error != got.error
    {
        return Verdict::Refused(message.clone());
    }
    let same = Reply { rest: expected.rest.clone(), ..got.clone() } == expected;
    match same {
        true if expected.rest == got.rest => Verdict::Exact(None),
        true => Verdict::Exact(Some(difference(&expected, &got))),
        false => Verdict::Wrong(difference(&expected, &got)),
    }
}

fn sorted(case: &Case, reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    if !case.ordered {
        reply.rows.sort();
    }
    // How far it came before the error depends on where the rows lie.
    if reply.error.is_some() {
        reply.rows.clear();
        reply.columns.clear();
    }
    reply
}

/// The first thing in which they differ.
fn difference(expected: &Reply, got: &Reply) -> String {
    if expected.error != got.error {
        let short = |reply: &Reply| match &reply.error {
            Some((code, message)) => format!("{code} {message}"),
            None => format!("{:?}, {} rows", reply.tags, reply.rows.len()),
        };
        return format!("expected {}\n    got {}", short(expected), short(got));
    }
    let parts = [
        ("types", format!("{:?}", expected.types), format!("{:?}", got.types)),
        ("columns", format!("{:?}", expected.columns), format!("{:?}", got.columns)),
        ("tags", format!("{:?}", expected.tags), format!("{:?}", got.tags)),
        ("status", format!("{:?}", expected.status), format!("{:?}", got.status)),
        ("rest", format!("{:?}", expected.rest), format!("{:?}", got.rest)),
    ];
    for (what, expected, got) in parts {
        if expected != got {
            return format!("{what}: expected {expected:.400}\n    got {got:.400}");
        }
    }
    let pairs = expected.rows.iter().zip(&got.rows).enumerate();
    let counts = format!("{} rows against {}", expected.rows.len(), got.rows.len());
    match pairs.into_iter().find(|(_, (expected, got))| expected != got) {
        Some((row, (expected, got))) => {
            format!("{counts}; row {row}: expected {}\n    got {}", show(expected), show(got))
        }
        None => counts,
    }
}

fn show(row: &[Option<Vec<u8>>]) -> String {
    let shown = |it: &Option<Vec<u8>>| match it {
        Some(bytes) => bytes.escape_ascii().to_string(),
        None => "NULL".to_owned(),
    };
    let row: Vec<String> = row.iter().map(shown).collect();
    row.join(" | ").chars().take(400).collect()
}
