//! Runs against a reading byte by byte.

use super::*;
use proptest::prelude::*;
use proptest::strategy::Union;

#[track_caller]
fn check(text: &str, listed: Listed, count: usize, end: usize) {
    assert_eq!(run(text.as_bytes(), 0, listed, true), Run { count, end }, "{text}");
    let close = text.replace(", ", ",");
    let end = text[..end].replace(", ", ",").len();
    assert_eq!(run(close.as_bytes(), 0, listed, false), Run { count, end }, "{close}");
}

#[test]
fn runs_end_where_something_else_begins() {
    check("", Listed::Short, 0, 0);
    check(")", Listed::Short, 0, 0);
    check(", 1)", Listed::Short, 1, 3);
    check(", 1, 22, 333) x", Listed::Short, 3, 12);
    check(", 1, 22, 333 )", Listed::Short, 2, 7);
    check(", 1, 22, x", Listed::Short, 2, 7);
    check(", 1, 22, 3.5)", Listed::Short, 2, 7);
    check(", 1, 999999999, 9999999999)", Listed::Short, 2, 14);
    check(", 1, , 2)", Listed::Short, 1, 3);
    check(", 1, 2", Listed::Short, 1, 3);
    check(", 12345678901, 99999999999)", Listed::Long, 2, 26);
    check(", 12345678901, 1234567890)", Listed::Long, 1, 13);
    check(", 12345678901, 01234567890)", Listed::Long, 1, 13);
    check(", 'a', '', 'b')", Listed::Strings, 3, 14);
    check(", 'a', 'b''c', 'd')", Listed::Strings, 1, 5);
    check(", 'a', 'b'::text)", Listed::Strings, 1, 5);
    check(", 'a', 'b", Listed::Strings, 1, 5);
    check(", 'a', E'b')", Listed::Strings, 1, 5);
}

/// One literal after the other.
fn slowly(text: &[u8], listed: Listed, spaced: bool) -> Run {
    let separator: &[u8] = if spaced { b", " } else { b"," };
    let mut found = Run { count: 0, end: 0 };
    while let Some(rest) = text.get(found.end..).and_then(|rest| rest.strip_prefix(separator)) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = match listed {
            Listed::Short if (1..10).contains(&digits) => digits,
            Listed::Long if digits > 10 && rest.first() != Some(&b'0') => digits,
            Listed::Strings if rest.first() == Some(&b'\'') => {
                match rest.iter().skip(1).position(|&byte| byte == b'\'') {
                    Some(at) => at + 2,
                    None => break,
                }
            }
            _ => break,
        };
        if !matches!(rest.get(length), Some(b',' | b')')) {
            break;
        }
        found = Run { count: found.count + 1, end: found.end + separator.len() + length };
    }
    found
}

fn texts() -> impl Strategy<Value = String> {
    let literals = [
        "[0-9]{1,9}",
        "[1-9][0-9]{10,17}",
        "'[a-z, ]{0,30}'",
        "[0-9]{8,12}|'.{0,3}'|'a''b'|[0-9]\\.5|",
    ];
    let kinds = literals.map(|literal| prop::collection::vec(literal, 0..80).boxed());
    let kinds = Union::new(kinds);
    (kinds.clone(), kinds, ", |,", "\\)| |,|\\) ,|", 0usize..5000, "[0-9', )]?").prop_map(
        |(one, two, separator, last, at, byte)| {
            let all = [one, two].concat();
            let mut text: String = all.iter().map(|it| format!("{separator}{it}")).collect();
            text.push_str(&last);
            // A byte that does not belong there.
            let at = at % (text.len() + 1);
            if text.is_char_boundary(at) {
                text.insert_str(at, &byte);
            }
            text
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn many_bytes_at_a_time_are_read_as_one_after_the_other(text in texts(), spaced: bool) {
        for listed in [Listed::Short, Listed::Long, Listed::Strings] {
            let (fast, slow) = (run(text.as_bytes(), 0, listed, spaced), slowly(text.as_bytes(), listed, spaced));
            prop_assert_eq!(fast, slow, "{:?} {} {}", listed, spaced, text);
        }
    }
}
