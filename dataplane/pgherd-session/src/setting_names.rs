//! The names of custom parameters (`my.var`) that a statement's text sets, and of those that it
//! resets.
//!
//! Postgres lists all parameters that a session has set but the custom ones; they can be asked for
//! by name only.

use crate::blank;

/// How far is read behind each `SET`: a text may be full of them. Who writes more before the name is
/// taken to set what is not known.
const MAX_READ: usize = 4096;

/// How much is read of the arguments of all calls of `set_config` in one text, whose values may be
/// long: a text may be full of these, too.
const MAX_ARGUMENTS: usize = 1 << 20;

/// Names that are told; the others are not known.
const MAX_NAMES: usize = 256;

/// What a text says of the custom parameters that it sets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SettingNames {
    /// Their names, as `current_setting` takes them.
    pub names: Vec<String>,
    /// There may be others, as with `set_config($1, $2, false)`.
    pub unknown: bool,
    /// What `RESET` names; `all` for all.
    pub resets: Vec<String>,
    /// What is set, and not reset behind that: a `RESET` before it leads nowhere.
    pub set_again: Vec<String>,
    /// A `set_config` outlives its transaction.
    pub outlives: bool,
}

/// Whether a text begins with `SET`, behind comments.
pub fn begins_with_set(text: &[u8]) -> bool {
    starts_with_word(blank::skip(text), b"set")
}

/// Whether there may be a `RESET` in a text.
pub fn may_reset(text: &[u8]) -> bool {
    begins_with_reset(text) || has_several(text)
}

/// Whether a text may hold several statements.
pub fn has_several(text: &[u8]) -> bool {
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    memchr::memchr(b';', text).is_some_and(|at| at + 1 < text.len())
}

/// Whether a text begins with `RESET`, or with `DISCARD`, which does the same and more.
pub fn begins_with_reset(text: &[u8]) -> bool {
    let text = blank::skip(text);
    starts_with_word(text, b"reset") || starts_with_word(text, b"discard")
}

/// Looks for `SET [SESSION | LOCAL] a.b` and `set_config('a.b', …)`. Names too many do no harm.
pub fn find(text: &[u8]) -> SettingNames {
    let mut found = SettingNames::default();
    if starts_with_word(blank::skip(text), b"discard") {
        found.resets.push("all".to_owned());
    }
    let mut budget = MAX_ARGUMENTS;
    for at in memchr::memchr2_iter(b's', b'S', text) {
        if starts_with_word(&text[at..], b"set")
            && at >= 2
            && starts_with_word(&text[at - 2..], b"reset")
            && !at.checked_sub(3).is_some_and(|before| is_identifier(text[before]))
        {
            found.take_reset(beginning(&text[at + 3..]).0);
            continue;
        }
        let preceded = at.checked_sub(1).is_some_and(|before| is_identifier(text[before]));
        if preceded || !text[at..].get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"set")) {
            continue;
        }
        let rest = &text[at + 3..];
        match rest.first() {
            Some(b'_') if starts_with_word(&rest[1..], b"config") => {
                found.take_set_config(&rest[b"_config".len()..], &mut budget);
            }
            Some(next) if !is_identifier(*next) => {
                let (rest, is_cut) = beginning(rest);
                found.take_set(rest, is_cut);
            }
            _ => {}
        }
    }
    found
}

/// As much of a text as is read, and whether there is more.
fn beginning(text: &[u8]) -> (&[u8], bool) {
    (&text[..text.len().min(MAX_READ)], text.len() > MAX_READ)
}

impl SettingNames {
    fn take_set(&mut self, rest: &[u8], is_cut: bool) {
        let mut rest = blank::skip(rest);
        for scope in [&b"session"[..], b"local"] {
            if starts_with_word(rest, scope) {
                rest = blank::skip(&rest[scope.len()..]);
                break;
            }
        }
        let name = name(rest);
        self.unknown |= is_cut
            && match (&name, rest.first()) {
                (Some((_, behind)), _) => blank::skip(behind).is_empty(),
                (None, first) => first.is_none_or(|&it| is_identifier(it) || it == b'"'),
            };
        let Some((name, rest)) = name else { return };
        let rest = blank::skip(rest);
        let is_default = |rest: &[u8]| starts_with_word(blank::skip(rest), b"default");
        let to_default = match name.as_str() {
            "time" => {
                starts_with_word(rest, b"zone") && {
                    let zone = &rest[b"zone".len()..];
                    is_default(zone) || starts_with_word(blank::skip(zone), b"local")
                }
            }
            _ => {
                rest.strip_prefix(b"=").is_some_and(is_default)
                    || starts_with_word(rest, b"to") && is_default(&rest[2..])
            }
        };
        let full = if name == "time" { "timezone" } else { name.as_str() };
        if to_default {
            self.add_reset(full.to_owned());
        } else {
            self.resets.retain(|reset| !reset.eq_ignore_ascii_case(full));
            self.set_again.push(full.to_owned());
        }
        if name.contains('.') {
            self.add(name);
        }
    }

    fn take_reset(&mut self, rest: &[u8]) {
        if let Some((name, _)) = name(blank::skip(rest)) {
            self.add_reset(if name == "time" { "timezone".to_owned() } else { name });
        }
    }

    fn add_reset(&mut self, name: String) {
        self.set_again.retain(|set| name != "all" && !set.eq_ignore_ascii_case(&name));
        self.resets.push(name);
    }

    fn take_set_config(&mut self, rest: &[u8], budget: &mut usize) {
        let blank = beginning(rest).0;
        let rest = &rest[blank.len() - blank::skip(blank).len()..];
        let arguments = rest.strip_prefix(b"(").and_then(|rest| arguments(rest, budget));
        let Some(arguments) = arguments else {
            self.unknown = true;
            self.outlives = true;
            return;
        };
        // One that ends with its transaction needs no name.
        if arguments.last().is_some_and(|last| is_true(last)) {
            return;
        }
        self.outlives = true;
        match arguments.first().and_then(|first| literal(first)) {
            Some(name) if name.contains('.') => self.add(name),
            Some(_) => {}
            None => self.unknown = true,
        }
    }

    fn add(&mut self, name: String) {
        if self.names.contains(&name) {
            return;
        }
        match self.names.len() < MAX_NAMES {
            true => self.names.push(name),
            false => self.unknown = true,
        }
    }
}

fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        && !text.get(word.len()).is_some_and(|&next| is_identifier(next))
}

/// `a` or `a.b`, with either part in quotes, and what stands behind it.
fn name(mut text: &[u8]) -> Option<(String, &[u8])> {
    let mut name = String::new();
    loop {
        let (part, rest) = match text.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = memchr::memchr(b'"', quoted)?;
                (std::str::from_utf8(&quoted[..end]).ok()?.to_owned(), &quoted[end + 1..])
            }
            None => {
                let end = text.iter().position(|&b| !is_identifier(b)).unwrap_or(text.len());
                let part = std::str::from_utf8(&text[..end]).ok()?;
                (part.to_ascii_lowercase(), &text[end..])
            }
        };
        if part.is_empty() {
            return None;
        }
        name.push_str(&part);
        match blank::skip(rest).strip_prefix(b".") {
            Some(rest) => {
                name.push('.');
                text = blank::skip(rest);
            }
            None => return Some((name, rest)),
        }
    }
}

/// The arguments of a call, cut at its commas; `None` when its end is not in the text, or farther
/// away than the budget allows.
fn arguments<'t>(text: &'t [u8], budget: &mut usize) -> Option<Vec<&'t [u8]>> {
    let text = &text[..text.len().min(*budget)];
    let mut arguments = Vec::new();
    let (mut depth, mut start, mut at) = (0_usize, 0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\'' | b'"' => match memchr::memchr(byte, &text[at + 1..]) {
                Some(length) => at += 1 + length,
                None => break,
            },
            b'(' | b'[' => depth += 1,
            b')' if depth == 0 => {
                arguments.push(&text[start..at]);
                *budget -= at;
                return Some(arguments);
            }
            b')' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                arguments.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    *budget -= text.len();
    None
}

/// The value of a plain string literal.
fn literal(argument: &[u8]) -> Option<String> {
    let text = argument.trim_ascii();
    let text = text.strip_suffix(b"::text").unwrap_or(text).trim_ascii();
    let value = text.strip_prefix(b"'")?.strip_suffix(b"'")?;
    let plain = !value.iter().any(|b| matches!(b, b'\'' | b'\\'));
    plain.then(|| std::str::from_utf8(value).ok().map(str::to_owned))?
}

fn is_true(argument: &[u8]) -> bool {
    let text = argument.trim_ascii();
    [&b"true"[..], b"'t'", b"'true'", b"'on'", b"1::bool"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, names: &[&str], unknown: bool) {
        let found = find(text.as_bytes());
        assert_eq!(
            (found.names, found.unknown),
            (names.iter().map(ToString::to_string).collect(), unknown),
            "{text}"
        );
    }

    #[test]
    fn names_are_found_where_they_are_set() {
        check("SET my.var = 1", &["my.var"], false);
        check("set session My.\"Var\" to 'x'; SET LOCAL a.b.c = 2", &["my.Var", "a.b.c"], false);
        check("SET /* x */ my . var = 1; RESET x", &["my.var"], false);
        check("SET\x0bmy.var = 1; SET -- x\r/* /* */ */a.b = 1", &["my.var", "a.b"], false);
        let resets =
            find(b"reset Work_Mem; RESET my.var; RESET TIME ZONE; RESET ALL; SELECT preset").resets;
        assert_eq!(resets, ["work_mem", "my.var", "timezone", "all"]);
        check("SELECT set_config('app.user', $1, false)", &["app.user"], false);
        check(
            "SELECT pg_catalog.SET_CONFIG ( 'a.b'::text , coalesce($1, 'x,y'), $2)",
            &["a.b"],
            false,
        );
    }

    #[test]
    fn what_ends_with_its_transaction_needs_no_name() {
        check("SELECT set_config($1, $2, true), set_config('a.b', f(1, 2), TRUE)", &[], false);
        check("SELECT set_config('search_path', 'a, b', false)", &[], false);
        check("SET work_mem = '1MB'", &[], false);
    }

    #[test]
    fn names_that_cannot_be_read_are_told_of() {
        check("SELECT set_config($1, $2, false)", &[], true);
        check("SELECT set_config('a.' || 'b', $2, false)", &[], true);
        check("SELECT set_config('it''s.b', $2, false)", &[], true);
        check("SELECT set_config('a.b', ", &[], true);
        check("SELECT set_config", &[], true);
    }

    #[test]
    fn what_is_set_behind_its_reset_is_told() {
        let found = find(b"SET a = 1; RESET ALL; SET b = 2; RESET c; SET c = 3; SET TIME ZONE 'x'");
        assert_eq!(
            (found.resets, found.set_again),
            (vec!["all".to_owned()], ["b", "c", "timezone"].map(String::from).to_vec())
        );
        let found = find(b"RESET a; SET a = 1; RESET a");
        assert_eq!((found.resets, found.set_again), (vec!["a".to_owned()], vec![]));
    }

    #[test]
    fn a_name_that_is_far_away_is_not_known() {
        let blank = " ".repeat(MAX_READ);
        for text in
            ["SET|a.b = 1", "SET a.|b = 1", "SET a|.b = 1", "SET a.\"|\" = 1", "SET a.b|c = 1"]
        {
            let far = text.replacen('|', &blank, 1);
            assert!(find(far.as_bytes()).unknown, "{text}");
        }
        assert!(!find(format!("UPDATE t SET (a) = ('{blank}')").as_bytes()).unknown);
        assert!(!find(format!("SET a = '{blank}'").as_bytes()).unknown);
        let long =
            format!("SELECT set_config('a.b', '{blank}', false), set_config($1, '{blank}', true)");
        check(&long, &["a.b"], false);
        let many: String = (0..=MAX_NAMES).map(|n| format!("SET a.b{n} = 1;")).collect();
        assert!(find(many.as_bytes()).unknown);
    }

    #[test]
    fn a_text_full_of_calls_is_read_in_time() {
        let begun = std::time::Instant::now();
        for text in ["set_config(", "set_config('", "SET /*", "SET \"", "SET a."] {
            find(text.repeat(64 * 1024 / text.len()).as_bytes());
        }
        // Two seconds of a processor, of which a busy machine may have little.
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_set_is_seen_behind_comments() {
        assert!(begins_with_set(b"\x0b/* /* */ */ SET a = 1"));
        assert!(begins_with_set(b"/* x */ -- y\n SET a = 1") && begins_with_set(b"set x to 1"));
        assert!(
            !begins_with_set(b"SETTLE") && !begins_with_set(b"/* SET") && !begins_with_set(b"")
        );
    }

    #[test]
    fn a_set_config_that_outlives_its_transaction_is_told_from_one_that_does_not() {
        assert!(find(b"SELECT set_config('work_mem', '1MB', false)").outlives);
        assert!(!find(b"SELECT set_config('work_mem', '1MB', true)").outlives);
    }

    #[test]
    fn other_words_are_left_alone() {
        check("SELECT reset.a, asset.b, settings.c FROM offset_x", &[], false);
        check("", &[], false);
        check("SET", &[], false);
        check("SET a.", &[], false);
        check("SET \"a", &[], false);
    }
}
