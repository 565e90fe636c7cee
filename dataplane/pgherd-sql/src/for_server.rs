//! Commands to the proxy in texts that a server executes: among other statements, in the extended
//! protocol, inside transactions.
//!
//! There the proxy's settings are custom parameters of Postgres, which knows best what becomes of
//! them. What it does not know is put into its words: pgcat's commands, and SHOW of what was never
//! set. What it would take without a look is looked at here.

use std::borrow::Cow;
use std::ops::Range;

use crate::command::{Tokens, of_tokens, text};
use crate::lexer::{Lexer, Token};
use crate::{Command, Setting, SettingName};

/// Longer texts are left as they are.
const LONGEST: usize = 64 * 1024;
/// More of a statement than any command has, and any call of `set_config` at the beginning of one.
const MOST_TOKENS: usize = 64;

/// What becomes of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForServer {
    /// It goes to the server like this.
    Text(Vec<u8>),
    /// It is refused: [`Command::Invalid`] or [`Command::Unrecognized`].
    Refused(Command),
}

/// What becomes of a text that a server executes; `None` when it goes as it is.
pub fn for_server(sql: &[u8]) -> Option<ForServer> {
    if sql.len() > LONGEST || !may_speak(sql) {
        return None;
    }
    let sql = std::str::from_utf8(sql).ok()?;
    let mut lexer = Lexer::new(sql.as_bytes());
    let mut tokens: Vec<(Token, &str)> = Vec::new();
    let mut at: Range<usize> = 0..0;
    let (mut out, mut copied) = (String::new(), 0);
    loop {
        let next = lexer.next_token().ok()?;
        match &next {
            Some((Token::Comment, _)) => continue,
            Some((token, range)) if *token != Token::Semicolon => {
                if tokens.is_empty() {
                    at.start = range.start;
                }
                at.end = range.end;
                if tokens.len() < MOST_TOKENS {
                    tokens.push((*token, sql.get(range.clone())?));
                }
                continue;
            }
            _ => {}
        }
        match of_tokens(&tokens).or_else(|| wrong_call(&tokens)) {
            Some(wrong @ (Command::Invalid { .. } | Command::Unrecognized { .. })) => {
                return Some(ForServer::Refused(wrong));
            }
            Some(command) => {
                if let Some(words) = in_words_of_postgres(&command) {
                    out.push_str(sql.get(copied..at.start)?);
                    out.push_str(&words);
                    copied = at.end;
                }
            }
            None => {}
        }
        tokens.clear();
        if next.is_none() {
            break;
        }
    }
    if copied == 0 {
        return None;
    }
    out.push_str(sql.get(copied..)?);
    Some(ForServer::Text(out.into_bytes()))
}

/// A cheap look whether a text may speak to the proxy.
fn may_speak(sql: &[u8]) -> bool {
    let says = |from: usize, word: &[u8]| {
        sql.get(from..)
            .and_then(|rest| rest.get(..word.len()))
            .is_some_and(|it| it.eq_ignore_ascii_case(word))
    };
    // By the rarest letters of its words: pgherd, shard, server, primary.
    memchr::memchr2_iter(b'h', b'H', sql)
        .any(|at| at >= 1 && says(at - 1, b"shard") || at >= 2 && says(at - 2, b"pgherd"))
        || memchr::memchr2_iter(b'v', b'V', sql).any(|at| at >= 3 && says(at - 3, b"server"))
        || memchr::memchr2_iter(b'y', b'Y', sql).any(|at| at >= 6 && says(at - 6, b"primary"))
}

/// The statement that does in Postgres what the command says, unless it is one already.
fn in_words_of_postgres(command: &Command) -> Option<String> {
    Some(match command {
        Command::Set { name, setting, local } => {
            let own = setting.name().parameter();
            if *name == own {
                return None;
            }
            let scope = if *local { "LOCAL " } else { "" };
            format!("SET {scope}{own} TO '{}'", setting.value().replace('\'', "''"))
        }
        // A parameter that was never set is none, which SHOW says.
        Command::Show { name, column } => {
            let (parameter, unset) = (name.parameter(), name.unset());
            let default = unset.value();
            format!(
                "SELECT COALESCE(NULLIF(pg_catalog.current_setting('{parameter}', true), ''), \
                 '{default}') AS \"{column}\""
            )
        }
        // pgcat has no DEFAULT and no RESET of its own, but its names are understood here too.
        Command::SetDefault { name, local } => {
            let scope = if *local { "LOCAL " } else { "" };
            format!("SET {scope}{} TO DEFAULT", name.parameter())
        }
        Command::Reset(name) => format!("RESET {}", name.parameter()),
        Command::Invalid { .. } | Command::Unrecognized { .. } => return None,
    })
}

/// A call of `set_config` with a value that the setting does not take, or for none that there is.
fn wrong_call(tokens: Tokens<'_, '_>) -> Option<Command> {
    tokens.windows(6).find_map(|window| {
        let [
            (Token::Word, function),
            (Token::Other, "("),
            name,
            (Token::Other, ","),
            value,
            (Token::Other, end),
        ] = window
        else {
            return None;
        };
        if !function.eq_ignore_ascii_case("set_config") {
            return None;
        }
        let value = Some(value).filter(|_| matches!(*end, "," | ")"));
        let name = literal(name)?;
        let own = name.get(..7).is_some_and(|it| it.eq_ignore_ascii_case("pgherd."));
        if !own {
            return None;
        }
        let Some(setting) = SettingName::of_parameter(&name) else {
            return Some(Command::Unrecognized { name: name.to_ascii_lowercase() });
        };
        let value = literal(value?)?;
        let wrong = Setting::of(setting, &value).is_none();
        let name = setting.parameter();
        wrong.then(|| Command::Invalid { name, value: value.into_owned() })
    })
}

/// The value of a string.
fn literal<'s>(token: &(Token, &'s str)) -> Option<Cow<'s, str>> {
    if token.0 == Token::String { text(&[*token])? } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: Option<&str>) {
        let found = match for_server(sql.as_bytes()) {
            Some(ForServer::Text(text)) => Some(String::from_utf8(text).unwrap()),
            Some(ForServer::Refused(command)) => Some(format!("{command:?}")),
            None => None,
        };
        assert_eq!(found.as_deref(), expected, "{sql}");
    }

    #[test]
    fn what_postgres_understands_stays() {
        for sql in [
            "SET pgherd.role = 'primary'",
            "SELECT 1; SET LOCAL pgherd.role TO replica; SELECT 2",
            "SELECT set_config('pgherd.role', 'any', false)",
            "SELECT set_config('pgherd.role', $1, false), set_config('a.b', 'sideways', false)",
            "SELECT 'SET SHARD TO ''x'''; SELECT 1 /* SHOW SHARD; */",
            "SELECT set_config('pgherd.role', 'side' || 'ways', false)",
            "SELECT * FROM shard; UPDATE server SET role = 'x'",
            "SELECT 'unclosed pgherd.",
            "",
        ] {
            check(sql, None);
        }
    }

    #[test]
    fn the_rest_is_put_into_its_words() {
        check("SET SERVER ROLE TO 'replica'", Some("SET pgherd.role TO 'replica'"));
        check(
            "/* a */ SELECT 1; set sharding key to 'it''s' /* b */ ;SELECT 2",
            Some("/* a */ SELECT 1; SET pgherd.sharding_key TO 'it''s' /* b */ ;SELECT 2"),
        );
        check(
            "SET PRIMARY READS TO 'default'; SET SHARD TO any;",
            Some("SET pgherd.primary_reads TO 'default'; SET pgherd.shard TO 'any';"),
        );
        check(
            "SHOW SERVER ROLE",
            Some(
                "SELECT COALESCE(NULLIF(pg_catalog.current_setting('pgherd.role', true), ''), \
                 'auto') AS \"server role\"",
            ),
        );
    }

    #[test]
    fn wrong_values_are_named() {
        let invalid = "Invalid { name: \"pgherd.role\", value: \"x\" }";
        check("SELECT 1; SET pgherd.role = x", Some(invalid));
        check("SELECT 1, SET_CONFIG ( 'pgherd.Role', 'x' , true)", Some(invalid));
        let unrecognized = "Unrecognized { name: \"pgherd.rol\" }";
        check("SHOW pgherd.rol; SELECT 1", Some(unrecognized));
        check("SELECT set_config('pgherd.rol', $1, true)", Some(unrecognized));
    }
}
