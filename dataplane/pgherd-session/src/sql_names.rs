//! Where an SQL text prepares, executes or deallocates a statement by its name.
//!
//! Postgres has one namespace for the statements of the protocol and those of SQL. This is a
//! lexer: it knows what is a word, a string and a comment, and which words begin such a statement.

use std::ops::Range;

use bytes::Bytes;
use pgherd_pool::{SqlUse, SqlVerb};

use crate::blank;

/// The longest text that is looked at.
pub const MAX_TEXT: usize = 64 * 1024;

/// The longest name, `NAMEDATALEN` less one: what is longer is cut by Postgres.
const MAX_NAME: usize = 63;

/// A cheap look whether [`find`] may find anything.
pub fn may_be_any(text: &[u8]) -> bool {
    let text = blank::trim_start(text);
    let Some(first) = text.first() else { return false };
    let begins =
        |word: &[u8]| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let likely = match first.to_ascii_lowercase() {
        b'p' => begins(b"prepare"),
        b'e' => begins(b"execute") || begins(b"explain"),
        b'd' => begins(b"deallocate") || begins(b"discard"),
        b'c' => begins(b"create"),
        b'/' | b'-' | b';' => true,
        _ => false,
    };
    likely
        || memchr::memchr(b';', text)
            .is_some_and(|at| !blank::trim_end(text.get(at + 1..).unwrap_or_default()).is_empty())
}

/// Every such place, in order.
pub fn find(text: &[u8]) -> Vec<SqlUse> {
    let mut found = Vec::new();
    let mut tokens = Lexer { text, at: 0 };
    let mut statement: Vec<Token> = Vec::new();
    loop {
        let token = tokens.next();
        match token {
            Some(token) if token.kind != Kind::End => {
                // What matters stands at the beginning; CREATE TABLE … AS EXECUTE may be long.
                if statement.len() < 1024 {
                    statement.push(token);
                }
                continue;
            }
            _ => found.extend(of_statement(text, &statement)),
        }
        statement.clear();
        if token.is_none() {
            return found;
        }
    }
}

fn of_statement(text: &[u8], tokens: &[Token]) -> Option<SqlUse> {
    let is = |at: usize, word: &str| {
        tokens.get(at).is_some_and(|token| {
            token.kind == Kind::Word
                && text[token.range.clone()].eq_ignore_ascii_case(word.as_bytes())
        })
    };
    let (verb, at) = if is(0, "prepare") {
        // PREPARE TRANSACTION 'name' has a string where a statement has AS or types.
        if is(1, "transaction") && tokens.get(2).is_some_and(|token| token.kind == Kind::Other) {
            return None;
        }
        (SqlVerb::Prepare, 1)
    } else if is(0, "execute") {
        (SqlVerb::Execute, 1)
    } else if is(0, "deallocate") {
        let at = if is(1, "prepare") && tokens.len() > 2 { 2 } else { 1 };
        (if is(at, "all") { SqlVerb::ForgetAll } else { SqlVerb::Deallocate }, at)
    } else if is(0, "discard") {
        return is(1, "all").then(SqlUse::all);
    } else if is(0, "explain") || is(0, "create") {
        // EXPLAIN [options] EXECUTE, CREATE TABLE … AS EXECUTE; and not CREATE TRIGGER … EXECUTE.
        let at = (1..tokens.len()).find(|&at| {
            is(at, "execute")
                && if is(0, "explain") {
                    is_after_options(text, &tokens[1..at])
                } else {
                    is(at - 1, "as")
                }
        })?;
        (SqlVerb::Execute, at + 1)
    } else {
        return None;
    };
    if verb == SqlVerb::ForgetAll {
        return Some(SqlUse::all());
    }
    let token = tokens.get(at)?;
    let name = name_of(text, token)?;
    Some(SqlUse { verb, name, at: token.range.clone(), exchanged: None })
}

/// Whether only options of EXPLAIN stand there.
fn is_after_options(text: &[u8], tokens: &[Token]) -> bool {
    match tokens {
        [] => true,
        [first, .., last] if text[first.range.clone()] == *b"(" => {
            text[last.range.clone()] == *b")"
        }
        words => words.iter().all(|token| {
            let word = &text[token.range.clone()];
            word.eq_ignore_ascii_case(b"analyze")
                || word.eq_ignore_ascii_case(b"analyse")
                || word.eq_ignore_ascii_case(b"verbose")
        }),
    }
}

/// A name as Postgres reads it: folded to lower case, or between quotation marks.
fn name_of(text: &[u8], token: &Token) -> Option<Bytes> {
    let written = &text[token.range.clone()];
    let mut name = match token.kind {
        Kind::Word => written.to_ascii_lowercase(),
        Kind::Quoted => {
            let inner = written.get(1..written.len().checked_sub(1)?)?;
            let mut name = Vec::with_capacity(inner.len());
            let mut rest = inner;
            while let Some(at) = memchr::memchr(b'"', rest) {
                name.extend_from_slice(&rest[..=at]);
                rest = rest.get(at + 2..).unwrap_or_default();
            }
            name.extend_from_slice(rest);
            name
        }
        Kind::Other | Kind::End => return None,
    };
    if name.len() > MAX_NAME {
        // Not in the middle of a character.
        let end = (0..=MAX_NAME).rev().find(|&end| name[end] & 0xc0 != 0x80).unwrap_or(0);
        name.truncate(end);
    }
    Some(name.into())
}

// === tokens ===

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Quoted,
    Other,
    /// A semicolon.
    End,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    range: Range<usize>,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let rest = self.text.get(self.at..)?;
        let &first = rest.first()?;
        let (kind, length) = match first {
            b';' => (Kind::End, 1),
            b'"' => (Kind::Quoted, quoted(rest, b'"', false)),
            b'\'' => (Kind::Other, quoted(rest, b'\'', false)),
            b'$' => (Kind::Other, dollar_quoted(rest)),
            b'e' | b'E' if rest.get(1) == Some(&b'\'') => {
                (Kind::Other, 1 + quoted(&rest[1..], b'\'', true))
            }
            b if is_word(b) => {
                let length = rest.iter().take_while(|&&b| is_word(b) || b == b'$').count();
                (if first.is_ascii_digit() { Kind::Other } else { Kind::Word }, length)
            }
            _ => (Kind::Other, 1),
        };
        let range = self.at..(self.at + length).min(self.text.len());
        self.at = range.end;
        Some(Token { kind, range })
    }

    fn skip_blanks(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at = self.text.len() - blank::skip(rest).len();
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Length of a string up to its closing mark; two of them are one inside.
fn quoted(text: &[u8], mark: u8, escapes: bool) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        if escapes && byte == b'\\' {
            at += 2;
        } else if byte != mark {
            at += 1;
        } else if text.get(at + 1) == Some(&mark) {
            at += 2;
        } else {
            return at + 1;
        }
    }
    text.len()
}

/// Length of `$tag$…$tag$`, or of the dollar alone.
fn dollar_quoted(text: &[u8]) -> usize {
    let tag = text[1..].iter().take_while(|&&b| is_word(b)).count();
    if text.get(tag + 1) != Some(&b'$') || text.get(1).is_some_and(u8::is_ascii_digit) {
        return 1;
    }
    let open = &text[..tag + 2];
    memchr::memmem::find(&text[open.len()..], open).map_or(text.len(), |at| at + 2 * open.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found: Vec<String> = find(text.as_bytes())
            .iter()
            .map(|it| {
                let written = &text[it.at.clone()];
                format!("{:?} {} {written}", it.verb, String::from_utf8_lossy(&it.name))
            })
            .collect();
        assert_eq!(found.join(", "), expected, "{text}");
        assert!(found.is_empty() || may_be_any(text.as_bytes()), "{text}");
    }

    #[test]
    fn statements_that_name_others_are_found() {
        check("PREPARE q AS SELECT 1", "Prepare q q");
        check("prepare Q (int) as select 1;", "Prepare q Q");
        check("EXECUTE s1(1)", "Execute s1 s1");
        check("/* x /* y */ */ execute\n\"S\"\"1\" (';')", "Execute S\"1 \"S\"\"1\"");
        check("DEALLOCATE s1", "Deallocate s1 s1");
        check("DEALLOCATE PREPARE s1", "Deallocate s1 s1");
        check("DEALLOCATE prepare", "Deallocate prepare prepare");
        check("EXPLAIN ANALYZE VERBOSE EXECUTE a", "Execute a a");
        check("\x0bEXECUTE\x0ba", "Execute a a");
        check("EXPLAIN (COSTS off, FORMAT json) EXECUTE a(1)", "Execute a a");
        check("CREATE TEMP TABLE t (a) AS EXECUTE q(1) WITH DATA", "Execute q q");
        check("DEALLOCATE ALL; DISCARD ALL", "ForgetAll  , ForgetAll  ");
        check(
            "BEGIN; SELECT ';', $$;execute x$$, E'\\';', \"a;b\"; EXECUTE a; -- ; execute no\n COMMIT",
            "Execute a a",
        );
    }

    #[test]
    fn others_are_left_alone() {
        for text in [
            "",
            "SELECT 1",
            "PREPARE TRANSACTION 'x'",
            "DISCARD PLANS",
            "CREATE TRIGGER t BEFORE INSERT ON x EXECUTE FUNCTION f()",
            "GRANT EXECUTE ON FUNCTION f() TO x",
            "EXPLAIN SELECT 1",
            "EXPLAIN SELECT execute FROM x",
            "SELECT 1; SELECT 'execute a'; SELECT $1",
            "EXECUTE",
            "'unclosed; execute a",
            "/* unclosed; execute a",
        ] {
            check(text, "");
        }
    }

    #[test]
    fn long_names_are_cut_as_postgres_cuts_them() {
        let name = format!("{}ä", "x".repeat(62));
        let found = find(format!("EXECUTE {name}").as_bytes());
        assert_eq!(found[0].name, "x".repeat(62));
    }
}
