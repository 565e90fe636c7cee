//! Commands that the proxy answers itself: `SET pgherd.role = …` and pgcat's `SET SHARD TO …`.

use std::borrow::Cow;

use crate::RoleWish;
use crate::directive::is_traceparent;
use crate::lexer::{Lexer, Token};

/// A text that is one command to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `local`: until the end of the transaction. `name`: as it was called.
    Set {
        name: &'static str,
        setting: Setting,
        local: bool,
    },
    /// `SET … TO DEFAULT`.
    SetDefault {
        name: SettingName,
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

impl SettingName {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Role,
        Self::Shard,
        Self::ShardingKey,
        Self::Traceparent,
        Self::ReadYourWrites,
        Self::PrimaryReads,
    ];

    /// As Postgres knows the parameter.
    pub fn parameter(self) -> &'static str {
        NAMES.iter().find(|(_, _, name)| *name == self).map_or("", |(full, _, _)| full)
    }

    /// The setting with no value.
    pub fn unset(self) -> Setting {
        match self {
            Self::Role => Setting::Role(None),
            Self::Shard => Setting::Shard(None),
            Self::ShardingKey => Setting::ShardingKey(None),
            Self::Traceparent => Setting::Traceparent(None),
            Self::ReadYourWrites => Setting::ReadYourWrites(None),
            Self::PrimaryReads => Setting::PrimaryReads(None),
        }
    }

    /// The setting that a parameter of Postgres's is, whose names are the same in any case.
    pub fn of_parameter(parameter: &str) -> Option<Self> {
        let same = |(full, _, _): &&(&str, &str, Self)| full.eq_ignore_ascii_case(parameter);
        NAMES.iter().find(same).map(|(_, _, name)| *name)
    }
}

impl Setting {
    /// Which one it is.
    pub fn name(&self) -> SettingName {
        match self {
            Self::Role(_) => SettingName::Role,
            Self::Shard(_) => SettingName::Shard,
            Self::ShardingKey(_) => SettingName::ShardingKey,
            Self::Traceparent(_) => SettingName::Traceparent,
            Self::ReadYourWrites(_) => SettingName::ReadYourWrites,
            Self::PrimaryReads(_) => SettingName::PrimaryReads,
        }
    }

    /// The value, as it is shown and can be set again.
    pub fn value(&self) -> Cow<'_, str> {
        let on = |value: Option<bool>, default: &'static str| match value {
            Some(true) => "on",
            Some(false) => "off",
            None => default,
        };
        Cow::Borrowed(match self {
            Self::Role(role) => role.map_or("auto", RoleWish::word),
            Self::Shard(Some(shard)) => return Cow::Owned(shard.to_string()),
            Self::Shard(None) => "any",
            Self::ShardingKey(text) | Self::Traceparent(text) => text.as_deref().unwrap_or(""),
            Self::ReadYourWrites(value) => on(*value, "off"),
            Self::PrimaryReads(value) => on(*value, "default"),
        })
    }

    /// The setting with this value; `None` when it takes no such value.
    pub fn of(name: SettingName, value: &str) -> Option<Self> {
        let value = Some(value).filter(|value| !value.is_empty());
        Some(match name {
            SettingName::Role => Self::Role(match value {
                Some(role) if !role.eq_ignore_ascii_case("auto") => Some(RoleWish::named(role)?),
                _ => None,
            }),
            SettingName::Shard => Self::Shard(match value {
                Some(number) if !number.eq_ignore_ascii_case("any") => Some(number.parse().ok()?),
                _ => None,
            }),
            SettingName::ShardingKey => Self::ShardingKey(value.map(str::to_owned)),
            SettingName::Traceparent => Self::Traceparent(match value {
                Some(parent) => Some(is_traceparent(parent).then(|| parent.to_owned())?),
                None => None,
            }),
            SettingName::ReadYourWrites => Self::ReadYourWrites(boolean(value)?),
            SettingName::PrimaryReads => Self::PrimaryReads(boolean(value)?),
        })
    }
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
    of_tokens(&tokens)
}

/// The command that the tokens are, without comments and semicolons.
pub(crate) fn of_tokens(tokens: Tokens<'_, '_>) -> Option<Command> {
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
pub(crate) fn may_begin(sql: &[u8]) -> bool {
    matches!(
        sql.trim_ascii_start(),
        [b'/', b'*', ..]
            | [b'-', b'-', ..]
            | [b's' | b'S', b'e' | b'E', b't' | b'T', ..]
            | [b's' | b'S', b'h' | b'H', b'o' | b'O', ..]
            | [b'r' | b'R', b'e' | b'E', b's' | b'S', ..]
    )
}

pub(crate) type Tokens<'t, 's> = &'t [(Token, &'s str)];

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
    let local = scope == Some(true);
    let Some(value) = value else { return Some(Command::SetDefault { name, local }) };
    Some(match Setting::of(name, &value) {
        Some(setting) => Command::Set { name: column, setting, local },
        None => Command::Invalid { name: column, value: value.into_owned() },
    })
}

/// The one value that the tokens are; `Some(None)` for DEFAULT.
pub(crate) fn text<'s>(tokens: Tokens<'_, 's>) -> Option<Option<Cow<'s, str>>> {
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
