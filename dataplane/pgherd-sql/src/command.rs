//! Commands that the proxy answers itself: `SET pgherd.role = …` and pgcat's `SET SHARD TO …`.

use std::borrow::Cow;

use crate::RoleWish;
use crate::directive::is_traceparent;
use crate::lexer::{Lexer, Token};

/// A text that is one command to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `local`: until the end of the transaction.
    Set {
        setting: Setting,
        local: bool,
    },
    Reset(SettingName),
    /// `column`: how the answer's only column is called.
    Show {
        name: SettingName,
        column: &'static str,
    },
    /// A value that the setting does not take: an error for the client (22023).
    Invalid {
        name: &'static str,
        value: String,
    },
    /// `pgherd.…` with a name that is no setting: an error for the client (42704).
    Unrecognized {
        name: String,
    },
}

/// A setting with its new value; `None` is what the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    Role(Option<RoleWish>),
    Shard(Option<u32>),
    ShardingKey(Option<String>),
    Traceparent(Option<String>),
    ReadYourWrites(Option<bool>),
    /// pgcat's `SET PRIMARY READS TO`: whether the primary serves reads, too.
    PrimaryReads(Option<bool>),
}

/// A setting of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SettingName {
    Role,
    Shard,
    ShardingKey,
    Traceparent,
    ReadYourWrites,
    PrimaryReads,
}

/// Names as in `SET pgherd.role = …`, and as pgcat's, in words.
const NAMES: &[(&str, &str, SettingName)] = &[
    ("pgherd.role", "server role", SettingName::Role),
    ("pgherd.shard", "shard", SettingName::Shard),
    ("pgherd.sharding_key", "sharding key", SettingName::ShardingKey),
    ("pgherd.traceparent", "", SettingName::Traceparent),
    ("pgherd.read_your_writes", "", SettingName::ReadYourWrites),
    ("pgherd.primary_reads", "primary reads", SettingName::PrimaryReads),
];
/// Longer texts are no commands, except that a sharding key may be long.
const LONGEST: usize = 4096;
const MOST_TOKENS: usize = 12;

/// The command that a text is, if it is one, under the default settings of the session. No text
/// that Postgres would execute is taken for one, but those that name `pgherd.…`.
pub fn command(sql: &[u8]) -> Option<Command> {
    if sql.len() > LONGEST || !may_begin(sql) {
        return None;
    }
    let sql = std::str::from_utf8(sql).ok()?;
    let mut tokens = Vec::new();
    let mut lexer = Lexer::new(sql.as_bytes());
    while let Some((token, range)) = lexer.next_token().ok()? {
        if token != Token::Comment {
            tokens.push((token, sql.get(range)?));
        }
        if tokens.len() > MOST_TOKENS {
            return None;
        }
    }
    while tokens.last().is_some_and(|(token, _)| *token == Token::Semicolon) {
        tokens.pop();
    }
    if tokens.iter().any(|(token, _)| *token == Token::Semicolon) {
        return None;
    }
    let ((Token::Word, first), rest) = tokens.split_first()? else { return None };
    match first.to_ascii_lowercase().as_str() {
        "set" => set(rest),
        "show" => match name(rest)? {
            (Name::Known { column, name, .. }, []) => Some(Command::Show { name, column }),
            (Name::Stranger(name), []) => Some(Command::Unrecognized { name }),
            _ => None,
        },
        "reset" => match name(rest)? {
            (Name::Known { name, .. }, []) => Some(Command::Reset(name)),
            (Name::Stranger(name), []) => Some(Command::Unrecognized { name }),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the text may begin with one of the words; almost none does, so this comes first.
fn may_begin(sql: &[u8]) -> bool {
    matches!(
        sql.trim_ascii_start(),
        [b'/', b'*', ..]
            | [b'-', b'-', ..]
            | [b's' | b'S', b'e' | b'E', b't' | b'T', ..]
            | [b's' | b'S', b'h' | b'H', b'o' | b'O', ..]
            | [b'r' | b'R', b'e' | b'E', b's' | b'S', ..]
    )
}

type Tokens<'t, 's> = &'t [(Token, &'s str)];

enum Name {
    Known { name: SettingName, column: &'static str, pgcat: bool },
    Stranger(String),
}

/// The setting that the tokens begin with, and what follows it.
fn name<'t, 's>(tokens: Tokens<'t, 's>) -> Option<(Name, Tokens<'t, 's>)> {
    if let [(Token::Word, ours), (Token::Other, "."), (Token::Word, setting), rest @ ..] = tokens
        && ours.eq_ignore_ascii_case("pgherd")
    {
        let full = format!("pgherd.{}", setting.to_ascii_lowercase());
        let known = NAMES.iter().find(|(it, _, _)| *it == full);
        let name = match known {
            Some(&(column, _, name)) => Name::Known { name, column, pgcat: false },
            None => Name::Stranger(full),
        };
        return Some((name, rest));
    }
    // The longest one first: none is the beginning of another.
    NAMES.iter().filter(|(_, words, _)| !words.is_empty()).find_map(|&(_, words, name)| {
        let count = words.split(' ').count();
        let (head, rest) = tokens.split_at_checked(count)?;
        let same = head
            .iter()
            .zip(words.split(' '))
            .all(|((token, text), word)| *token == Token::Word && text.eq_ignore_ascii_case(word));
        same.then_some((Name::Known { name, column: words, pgcat: true }, rest))
    })
}

fn set(tokens: Tokens<'_, '_>) -> Option<Command> {
    let scope = match tokens {
        [(Token::Word, word), ..] if word.eq_ignore_ascii_case("local") => Some(true),
        [(Token::Word, word), ..] if word.eq_ignore_ascii_case("session") => Some(false),
        _ => None,
    };
    let tokens = if scope.is_some() { tokens.get(1..)? } else { tokens };
    let (name, rest) = name(tokens)?;
    let (name, column, pgcat) = match name {
        // pgcat's own have no scope.
        Name::Known { pgcat: true, .. } if scope.is_some() => return None,
        Name::Known { name, column, pgcat } => (name, column, pgcat),
        Name::Stranger(name) => return Some(Command::Unrecognized { name }),
    };
    let ((Token::Word | Token::Other, sign), value) = rest.split_first()? else { return None };
    if !sign.eq_ignore_ascii_case("to") && (pgcat || *sign != "=") {
        return None;
    }
    let Some(value) = text(value) else {
        let value = value.iter().map(|(_, text)| *text).collect();
        return Some(Command::Invalid { name: column, value });
    };
    Some(match setting(name, &value) {
        Some(setting) => Command::Set { setting, local: scope == Some(true) },
        None => {
            let value = value.map(Cow::into_owned).unwrap_or_default();
            Command::Invalid { name: column, value }
        }
    })
}

/// The one value that the tokens are; `Some(None)` for DEFAULT.
fn text<'s>(tokens: Tokens<'_, 's>) -> Option<Option<Cow<'s, str>>> {
    let value = match tokens {
        [(Token::Word, word)] if word.eq_ignore_ascii_case("default") => return Some(None),
        [(Token::Word | Token::Integer | Token::Decimal, text)] => Cow::Borrowed(*text),
        [(Token::Other, "-"), (Token::Integer | Token::Decimal, number)] => {
            Cow::Owned(format!("-{number}"))
        }
        [(Token::Quoted, text)] => unquoted(text, '"')?,
        [(Token::String, text)] if text.starts_with('\'') => unquoted(text, '\'')?,
        [(Token::String, text)] if text.starts_with('$') => {
            let tag = text.get(..text.get(1..)?.find('$')? + 2)?;
            Cow::Borrowed(text.strip_prefix(tag)?.strip_suffix(tag)?)
        }
        _ => return None,
    };
    Some(Some(value))
}

/// What stands in quotes; `None` for a string in several parts.
fn unquoted(text: &str, quote: char) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    if !inner.contains(quote) {
        return Some(Cow::Borrowed(inner));
    }
    let doubled: String = [quote, quote].iter().collect();
    let plain = inner.replace(&doubled, "\u{0}");
    (!plain.contains(quote))
        .then(|| Cow::Owned(plain.replace('\u{0}', quote.encode_utf8(&mut [0; 4]))))
}

/// The setting with this value; `None` when it takes no such value.
fn setting(name: SettingName, value: &Option<Cow<'_, str>>) -> Option<Setting> {
    let value = value.as_deref();
    let unset = value.is_none_or(str::is_empty);
    Some(match name {
        SettingName::Role => Setting::Role(match value {
            Some(auto) if auto.eq_ignore_ascii_case("auto") => None,
            Some(_) if unset => None,
            Some(role) => Some(RoleWish::named(role)?),
            None => None,
        }),
        SettingName::Shard => Setting::Shard(match value {
            Some(any) if any.eq_ignore_ascii_case("any") || unset => None,
            Some(number) => Some(number.parse().ok()?),
            None => None,
        }),
        SettingName::ShardingKey => Setting::ShardingKey(value.map(str::to_owned)),
        SettingName::Traceparent => Setting::Traceparent(match value {
            Some(parent) if !unset => Some(is_traceparent(parent).then(|| parent.to_owned())?),
            _ => None,
        }),
        SettingName::ReadYourWrites => Setting::ReadYourWrites(boolean(value)?),
        SettingName::PrimaryReads => Setting::PrimaryReads(boolean(value)?),
    })
}

/// As Postgres reads booleans, in their usual spellings.
fn boolean(value: Option<&str>) -> Option<Option<bool>> {
    let Some(value) = value else { return Some(None) };
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(Some(true)),
        "off" | "false" | "no" | "0" => Some(Some(false)),
        "default" => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
