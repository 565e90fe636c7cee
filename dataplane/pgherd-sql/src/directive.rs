//! Wishes in comments: `/* pgherd: role=primary, shard=2, key=42 */`, and sqlcommenter's
//! `traceparent`.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::Lexical;
use crate::lexer::{Lexer, Token, is_space};

/// Which instances a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoleWish {
    Primary,
    Replica,
    Any,
}

impl RoleWish {
    /// By the word that users write.
    pub fn named(name: &str) -> Option<Self> {
        let wishes = [Self::Primary, Self::Replica, Self::Any];
        wishes.into_iter().find(|it| it.word().eq_ignore_ascii_case(name))
    }

    /// The word that users write.
    pub fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Any => "any",
        }
    }
}

/// What the comments of a text ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directive {
    pub role: Option<RoleWish>,
    pub shard: Option<u32>,
    pub key: Option<String>,
    pub traceparent: Option<String>,
    /// What stands behind `pgherd:` and is not understood, the first of it.
    pub invalid: Option<String>,
}

/// Made once: to prepare a search costs more than to look through a short text.
static OWN_NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("pgherd"));
static TRACEPARENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("traceparent"));
/// Of keys, and of what is reported as invalid.
const LONGEST_VALUE: usize = 1024;

/// Whether a text has the proxy's name in it, as every wish in a comment and every setting of the
/// proxy do. Some nanoseconds, and a few more for each hundred bytes.
pub fn names_proxy(sql: &[u8]) -> bool {
    OWN_NAME.find(sql).is_some()
}

/// The directive in a text's comments under the default settings, if there is one.
pub fn directive(sql: &[u8]) -> Option<Directive> {
    directive_in(sql, Lexical::default())
}

/// The directive in a text's comments, if there is one: in any comment of any of its statements;
/// the last one wins. What stands in strings does not count.
pub fn directive_in(sql: &[u8], lexical: Lexical) -> Option<Directive> {
    // Without these words there is none.
    if !names_proxy(sql) && TRACEPARENT.find(sql).is_none() {
        return None;
    }
    // Where comments begin cannot be seen: better no directive than one out of a string.
    if lexical.objection(sql).is_some() {
        return None;
    }
    let mut directive = Directive::default();
    let mut lexer = Lexer::new(sql);
    while let Ok(Some((token, range))) = lexer.next_token() {
        if token == Token::Comment
            && let Ok(comment) = std::str::from_utf8(sql.get(range).unwrap_or_default())
        {
            directive.read(inside(comment));
        }
    }
    (directive != Directive::default()).then_some(directive)
}

/// A comment without its marks.
fn inside(comment: &str) -> &str {
    let block = comment.strip_prefix("/*").and_then(|it| it.strip_suffix("*/"));
    block.or_else(|| comment.strip_prefix("--")).unwrap_or(comment).trim()
}

impl Directive {
    fn read(&mut self, comment: &str) {
        match comment.strip_prefix("pgherd:") {
            Some(wishes) => self.read_wishes(wishes),
            None => self.read_traceparent(comment),
        }
    }

    fn read_wishes(&mut self, mut rest: &str) {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
            if rest.is_empty() {
                return;
            }
            let wish = rest;
            let understood = rest.split_once('=').and_then(|(name, behind)| {
                let (value, behind) = value(behind)?;
                rest = behind;
                self.wish(name.trim(), value)
            });
            if understood.is_none() {
                let end = wish.find(',').unwrap_or(wish.len());
                let text = wish.chars().take(LONGEST_VALUE.min(end)).collect();
                self.invalid.get_or_insert(text);
                return;
            }
        }
    }

    fn wish(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "role" => self.role = Some(RoleWish::named(value)?),
            "shard" => self.shard = Some(value.parse().ok()?),
            "key" if !value.is_empty() && value.len() <= LONGEST_VALUE => {
                self.key = Some(value.to_owned());
            }
            "traceparent" if is_traceparent(value) => self.traceparent = Some(value.to_owned()),
            _ => return None,
        }
        Some(())
    }

    /// sqlcommenter: `key='value',…`, values URL-encoded, which changes nothing in this one.
    fn read_traceparent(&mut self, comment: &str) {
        for pair in comment.split(',') {
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            let value = value.trim().trim_matches('\'');
            if name.trim_end() == "traceparent" && is_traceparent(value) {
                self.traceparent = Some(value.to_owned());
            }
        }
    }
}

/// A value and what follows it: in quotes, or up to the next comma or white space.
fn value(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    for quote in ['\'', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote);
        }
    }
    let end = text.find(|c: char| c == ',' || u8::try_from(c).is_ok_and(is_space));
    Some(text.split_at(end.unwrap_or(text.len())))
}

/// `00-<32 digits>-<16 digits>-<2 digits>` of W3C Trace Context, all hexadecimal.
pub fn is_traceparent(text: &str) -> bool {
    let lengths = [2, 32, 16, 2];
    let mut parts = text.split('-');
    let matches = lengths.iter().all(|&length| {
        parts.next().is_some_and(|part| {
            part.len() == length
                && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    });
    matches && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: Option<Directive>) {
        assert_eq!(directive(sql.as_bytes()), expected, "{sql}");
    }

    fn role(role: RoleWish) -> Option<Directive> {
        Some(Directive { role: Some(role), ..Directive::default() })
    }

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn comments_say_where_to() {
        check("/* pgherd: role=primary */ SELECT 1", role(RoleWish::Primary));
        check("SELECT 1 /*pgherd:role=replica*/", role(RoleWish::Replica));
        check("SELECT 1 -- pgherd: role=ANY\n + 1", role(RoleWish::Any));
        check("SELECT 1; /* x */ SELECT 2 /* pgherd: role = 'any' */", role(RoleWish::Any));
        let all = Directive {
            role: Some(RoleWish::Primary),
            shard: Some(2),
            key: Some("a b,c".to_owned()),
            traceparent: Some(PARENT.to_owned()),
            invalid: None,
        };
        let sql = format!(
            "/* pgherd: role=primary, shard=2, key=\"a b,c\" */ SELECT 1 /*traceparent='{PARENT}'*/"
        );
        check(&sql, Some(all));
    }

    #[test]
    fn strings_and_names_are_no_comments() {
        check("SELECT '/* pgherd: role=primary */'", None);
        check("SELECT $$ -- pgherd: role=primary\n$$", None);
        check("SELECT \"/* pgherd: role=primary */\"", None);
        check("SELECT E'\\'/* pgherd: role=primary */'", None);
        check("SELECT 'it is pgherd: role=primary'", None);
        check("SELECT 1 /* not for pgherd: role=primary */", None);
        check("", None);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        let rows = [
            ("role=boss", "role=boss"),
            ("shard=-1, role=any", "shard=-1"),
            ("colour=red", "colour=red"),
            ("role", "role"),
            ("key='open", "key='open"),
            ("traceparent=xyz", "traceparent=xyz"),
        ];
        for (wish, invalid) in rows {
            let found = directive(format!("/* pgherd: {wish} */ SELECT 1").as_bytes());
            assert_eq!(found.and_then(|it| it.invalid).as_deref(), Some(invalid), "{wish}");
        }
    }

    #[test]
    fn sqlcommenter_tells_of_traces() {
        let found = |sql: &str| directive(sql.as_bytes()).and_then(|it| it.traceparent);
        let parent = Some(PARENT.to_owned());
        assert_eq!(found(&format!("SELECT 1 /*app='x%2Cy',traceparent='{PARENT}'*/")), parent);
        assert_eq!(found(&format!("SELECT 1 /*traceparent='{PARENT}',z='1'*/;")), parent);
        assert_eq!(found(&format!("SELECT '/*traceparent=''{PARENT}''*/'")), None);
        assert_eq!(found("SELECT 1 /*traceparent='00-xyz-1-01'*/"), None);
    }
}
