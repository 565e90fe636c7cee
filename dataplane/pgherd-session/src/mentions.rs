//! What a statement's text says of session state that may stay on the server connection.
//!
//! This looks for words, it does not parse. It errs towards suspicion: one too many costs a
//! question to the server, one too few shows one client's state to another.

use crate::blank;
use crate::pins::Pins;

/// Bytes before a chunk of text that are looked at again with the next chunk, so that no word is
/// lost at the cut. Longer than every word and what must stand before it.
pub const OVERLAP: usize = 64;

/// Looks for mentions in a statement or a part of one, in linear time: each pass looks for the
/// rarest letter of its words.
pub fn find(text: &[u8]) -> Pins {
    let mut found = Pins::NONE;
    for at in memchr::memchr_iter(b'_', text) {
        let (before, rest) = text.split_at(at);
        if ends_with(before, b"advisory") && starts_with(rest, b"_lock") {
            found = found.and(Pins::ADVISORY_LOCK);
        } else if ends_with(before, b"advisory") && starts_with(rest, b"_unlock") {
            found = found.and(Pins::ENDS);
        } else if ends_with(before, b"set") && starts_with(rest, b"_config") {
            found = found.and(Pins::SETTINGS);
        } else if ends_with(before, b"pg") && starts_with(rest, b"_temp") {
            found = found.and(Pins::TEMPORARY);
        }
    }
    for at in memchr::memchr2_iter(b'm', b'M', text).filter(|&at| at >= 2) {
        let (before, rest) = text.split_at(at - 2);
        if starts_with(rest, b"temp") && makes_temporary(before) {
            found = found.and(Pins::TEMPORARY);
        }
    }
    for at in memchr::memchr2_iter(b'h', b'H', text) {
        let (before, rest) = text.split_at(at);
        if starts_with(rest, b"hold")
            && (last_word(before).eq_ignore_ascii_case(b"with") || is_cut_off(before))
        {
            found = found.and(Pins::HELD_CURSOR);
        }
    }
    found
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

fn ends_with(text: &[u8], word: &[u8]) -> bool {
    text.len() >= word.len() && text[text.len() - word.len()..].eq_ignore_ascii_case(word)
}

/// `CREATE [OR REPLACE] [LOCAL | GLOBAL] TEMP…` and `INTO [LOCAL | GLOBAL] TEMP…`.
fn makes_temporary(before: &[u8]) -> bool {
    let word = last_word(before);
    [&b"create"[..], b"replace", b"into", b"local", b"global"]
        .iter()
        .any(|start| word.eq_ignore_ascii_case(start))
        // A comment between the words hides the first one.
        || blank::trim_end(before).ends_with(b"*/")
        || is_cut_off(before)
}

/// Whether the word before so much white space has begun in the chunk before, if there is any.
fn is_cut_off(before: &[u8]) -> bool {
    let word = blank::trim_end(before).len();
    word < b"replace ".len() && before.len() - word >= OVERLAP / 2
}

/// The last word before some white space; empty when the text does not end in white space.
fn last_word(text: &[u8]) -> &[u8] {
    let trimmed = blank::trim_end(text);
    if trimmed.len() == text.len() {
        return &[];
    }
    let start = trimmed.iter().rposition(|b| !b.is_ascii_alphanumeric()).map_or(0, |i| i + 1);
    &trimmed[start..]
}

/// Whether a simple query may be `DISCARD …` or `DEALLOCATE …`, after which the client has other
/// statements than before.
pub fn forgets_statements(text: &[u8]) -> bool {
    let text = blank::trim_start(text);
    starts_with(text, b"discard") || starts_with(text, b"deallocate")
}

/// Whether the text is one plain `SET [SESSION] name = …` of a parameter that Postgres reports by
/// itself, and so follows the client without further ado, or one that ends with its transaction.
pub fn sets_reported_parameter(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let text = text.strip_suffix(b";").unwrap_or(text);
    // Anything behind a semicolon or inside a comment is another matter.
    if text.len() > 512 || text.contains(&b';') || text.windows(2).any(|w| w == b"--" || w == b"/*")
    {
        return false;
    }
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let mut words =
        text.split(|c: char| c.is_ascii_whitespace() || c == '=').filter(|word| !word.is_empty());
    if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("set")) {
        return false;
    }
    let Some(mut name) = words.next() else { return false };
    if name.eq_ignore_ascii_case("session") {
        match words.next() {
            Some(next) => name = next,
            None => return false,
        }
    }
    let rest = words.next();
    match name.to_ascii_lowercase().as_str() {
        "local" | "transaction" => rest.is_some(),
        // `SET TIME ZONE …`, `SET NAMES …`.
        "time" => rest.is_some_and(|word| word.eq_ignore_ascii_case("zone")),
        "names" => rest.is_some(),
        // Reported from Postgres 18 on only.
        "search_path" | "default_transaction_read_only" => false,
        name => rest.is_some() && pgherd_wire::params::reported_name(name).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Pins) {
        assert_eq!(find(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn session_state_is_found() {
        check("SELECT pg_advisory_lock(1)", Pins::ADVISORY_LOCK);
        check("select PG_TRY_ADVISORY_LOCK_SHARED(1)", Pins::ADVISORY_LOCK);
        check("SELECT set_config('a.b', 'c', false)", Pins::SETTINGS);
        check("CREATE TEMP TABLE t (a int)", Pins::TEMPORARY);
        check("create\n temporary table t (a int)", Pins::TEMPORARY);
        check("CREATE OR REPLACE TEMP VIEW v AS SELECT 1", Pins::TEMPORARY);
        check("CREATE /* x */ TEMP TABLE t ()", Pins::TEMPORARY);
        check("CREATE\x0bTEMP TABLE t ()", Pins::TEMPORARY);
        check("SELECT 1 INTO LOCAL TEMP t", Pins::TEMPORARY);
        check("CREATE TABLE pg_temp.t (a int)", Pins::TEMPORARY);
        check("DECLARE c CURSOR WITH HOLD FOR SELECT 1", Pins::HELD_CURSOR);
        check(
            "SELECT pg_advisory_lock(1), set_config('a.b', 'c', true)",
            Pins::ADVISORY_LOCK.and(Pins::SETTINGS),
        );
    }

    #[test]
    fn ordinary_statements_are_left_alone() {
        let nothing = Pins::NONE;
        check("", nothing);
        check("SELECT temp, household FROM template WHERE temperature > $1", nothing);
        check("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 1", nothing);
        check("SELECT pg_advisory_xact_lock(1)", nothing);
        check("SELECT pg_advisory_unlock_all()", Pins::ENDS);
        check("INSERT INTO temp VALUES (1)", Pins::TEMPORARY); // cheap to be wrong about
    }

    #[test]
    fn a_long_text_of_near_misses_takes_linear_time() {
        let text = "temp hold ".repeat(100_000);
        check(&text, Pins::NONE);
    }

    #[test]
    fn a_cut_inside_a_word_is_covered_by_the_overlap() {
        let text = format!("SELECT {} pg_advisory_lock(1)", "x".repeat(200));
        for cut in 0..text.len() {
            let start = cut.saturating_sub(OVERLAP);
            let both = find(&text.as_bytes()[..cut]).and(find(&text.as_bytes()[start..]));
            assert!(!both.is_empty(), "cut at {cut}");
        }
    }

    #[test]
    fn white_space_longer_than_the_overlap_hides_nothing() {
        for (before, behind) in [("CREATE", "TEMP TABLE t ()"), ("WITH", "HOLD")] {
            let text = format!("{before}{}{behind}", " ".repeat(300));
            for cut in 0..text.len() {
                let start = cut.saturating_sub(OVERLAP);
                let seam = &text.as_bytes()[start..text.len().min(cut + OVERLAP)];
                let both = find(&text.as_bytes()[..cut]).and(find(seam));
                let all = both.and(find(&text.as_bytes()[cut..]));
                assert!(!all.is_empty(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn plain_sets_of_reported_parameters_are_told_from_others() {
        for yes in [
            "SET TimeZone = 'UTC'",
            "set session datestyle to iso;",
            "SET TIME ZONE 'Europe/Rome'",
            "SET NAMES 'LATIN1'",
            "SET application_name='x y'",
            "SET client_encoding = 'UTF8'",
            "SET LOCAL statement_timeout = 5",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        ] {
            assert!(sets_reported_parameter(yes.as_bytes()), "{yes}");
        }
        for no in [
            "SET statement_timeout = 5",
            "SET ROLE x",
            "SET LOCAL TimeZone = 'UTC'; SET work_mem = 1",
            "SET TimeZone = 'UTC'; SET work_mem = '1MB'",
            "SET /* x */ TimeZone = 'UTC'",
            "SET",
            "SET SESSION AUTHORIZATION x",
            "SELECT 1",
        ] {
            assert!(!sets_reported_parameter(no.as_bytes()), "{no}");
        }
    }
}
