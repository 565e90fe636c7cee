//! Texts without their literals and comments: what statements that differ only there have in
//! common. Two texts with one normal form have one analysis.

use std::ops::Range;

use crate::lexer::{Lexer, Token};
use crate::listing::{self, Listed};

/// Literals become these, behind a byte that no text of SQL has.
const MARK: u8 = 0;

/// Statements whose analysis depends on no literal, by their first words. All others keep their
/// text: `SET x = 'a'`, `EXPLAIN (ANALYZE 0)`, `COPY … TO '/tmp/x'`.
const NORMALISED: &[&str] = &[
    "call", "commit", "declare", "delete", "execute", "fetch", "insert", "merge", "move", "notify",
    "prepare", "rollback", "select", "table", "update", "values", "with",
];
/// Calls whose analysis depends on an argument. `notify` has none that matters.
const TELLING: &[&str] = &["current_setting", "set_config"];

/// Literals that are found before it is tried whether many more of their kind follow, and again
/// when none did.
const PATIENCE: usize = 4;

/// Writes the normal form of a text under the default settings into `form`; false when it has none
/// other than itself, and `form` holds anything. Literals that repeat themselves with what stands
/// between them are counted.
pub fn normalise(sql: &[u8], form: &mut Vec<u8>) -> bool {
    write_form::<true>(sql, form)
}

/// `SHORTCUT`: lists of plain literals are read without the lexer, with the same outcome.
fn write_form<const SHORTCUT: bool>(sql: &[u8], form: &mut Vec<u8>) -> bool {
    form.clear();
    let mut form = Form { bytes: form, last: 0..0, repeats: 0, patience: PATIENCE };
    let mut lexer = Lexer::new(sql);
    let mut copied = 0;
    let mut at_start = true;
    loop {
        while SHORTCUT && let Some((token, range)) = lexer.next_listed() {
            let mark = if token == Token::String { b's' } else { b'i' };
            form.literal(sql.get(copied..range.start).unwrap_or_default(), mark);
            copied = range.end;
            if form.repeats > form.patience {
                copied = form.skip_run(sql, copied);
                lexer.go_on_at(copied);
            }
        }
        let Ok(next) = lexer.next_token() else { return false };
        let Some((token, range)) = next else { break };
        let text = sql.get(range.clone()).unwrap_or_default();
        let mark = match token {
            Token::String => b's',
            Token::Bits => b'b',
            Token::Integer => b'i',
            Token::Decimal => b'd',
            Token::Comment => b' ',
            Token::Unicode => return false,
            Token::Word => {
                if at_start && !is_one_of(text, NORMALISED) || is_one_of(text, TELLING) {
                    return false;
                }
                at_start = false;
                continue;
            }
            Token::Quoted => {
                let name = text.get(1..text.len() - 1).unwrap_or_default();
                if at_start || is_one_of(name, TELLING) || name.contains(&MARK) {
                    return false;
                }
                continue;
            }
            Token::Semicolon => {
                at_start = true;
                continue;
            }
            Token::Other if text == [MARK] => return false,
            Token::Parameter | Token::Other => continue,
        };
        let between = sql.get(copied..range.start).unwrap_or_default();
        copied = range.end;
        if token == Token::Comment {
            form.comment(between);
            continue;
        }
        form.literal(between, mark);
        if SHORTCUT && form.repeats > form.patience {
            copied = form.skip_run(sql, copied);
            lexer.go_on_at(copied);
        }
    }
    if copied == 0 {
        return false;
    }
    form.rest(sql.get(copied..).unwrap_or_default());
    true
}

/// A form that is being written.
struct Form<'f> {
    bytes: &'f mut Vec<u8>,
    /// The literal written last with what stands before it.
    last: Range<usize>,
    /// How often that came again.
    repeats: usize,
    /// Beyond so many repeats it is tried whether many more follow.
    patience: usize,
}

impl Form<'_> {
    fn literal(&mut self, between: &[u8], mark: u8) {
        let last = self.bytes.get(self.last.clone()).unwrap_or_default();
        if last.strip_suffix(&[MARK, mark]) == Some(between) {
            self.repeats += 1;
            return;
        }
        self.write_repeats();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(between);
        self.bytes.extend_from_slice(&[MARK, mark]);
        self.last = start..self.bytes.len();
    }

    fn comment(&mut self, between: &[u8]) {
        self.rest(between);
        self.bytes.push(b' ');
    }

    fn rest(&mut self, text: &[u8]) {
        self.write_repeats();
        self.last = 0..0;
        self.bytes.extend_from_slice(text);
    }

    fn write_repeats(&mut self) {
        self.patience = PATIENCE;
        if self.repeats > 0 {
            self.bytes.extend_from_slice(&[MARK, b'r']);
            self.bytes.extend_from_slice(&self.repeats.to_le_bytes());
            self.repeats = 0;
        }
    }

    /// Passes over literals that are like the last one, which ends at `at`; returns where the last
    /// of these ends.
    fn skip_run(&mut self, sql: &[u8], at: usize) -> usize {
        let last = self.bytes.get(self.last.clone()).unwrap_or_default();
        let (spaced, mark) = match last {
            [b',', MARK, mark] => (false, *mark),
            [b',', b' ', MARK, mark] => (true, *mark),
            _ => (false, MARK),
        };
        let listed = match mark {
            b's' => Listed::Strings,
            b'i' => Listed::Short,
            b'd' => Listed::Long,
            _ => {
                self.patience = usize::MAX;
                return at;
            }
        };
        let run = listing::run(sql, at, listed, spaced);
        self.repeats += run.count;
        self.patience = self.repeats + PATIENCE;
        run.end
    }
}

fn is_one_of(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|it| it.len() == word.len() && word.eq_ignore_ascii_case(it.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(sql: &[u8]) -> [Option<Vec<u8>>; 2] {
        let (mut short, mut long) = (Vec::new(), Vec::new());
        let is_short = write_form::<true>(sql, &mut short);
        let is_long = write_form::<false>(sql, &mut long);
        [is_short.then_some(short), is_long.then_some(long)]
    }

    /// A list of literals that now and then is not quite one.
    fn list() -> impl Strategy<Value = String> {
        let literal = prop_oneof![
            6 => "[0-9]{1,9}",
            2 => "[1-9][0-9]{9,20}",
            4 => "'[a-z ,0-9]{0,40}'",
            1 => "[0-9]{9,12}|0[0-9]{11}|'a''b'|'(\\PC){0,9}'|[0-9]\\.[0-9]|-[0-9]|a|E'x'|0x1f|1_0|''",
        ];
        let separator = prop_oneof![20 => ", ", 3 => ",", 1 => "[, ()\n:;-]{1,4}|,/**/"];
        // Long runs of one kind, and changes between them.
        let same = prop_oneof![
            3 => (prop::collection::vec("[0-9]{1,9}", 0..120), Just(", ")),
            1 => (prop::collection::vec("[0-9]{1,10}", 0..120), Just(",")),
            2 => (prop::collection::vec("[1-9][0-9]{10,18}", 0..60), Just(", ")),
            2 => (prop::collection::vec("'[a-z,0-9 ]{0,36}'", 0..60), Just(", ")),
        ];
        let same = same.prop_map(|(all, separator)| all.join(separator));
        let mixed = prop::collection::vec((literal, separator), 0..40);
        let mixed = mixed
            .prop_map(|all| all.iter().map(|(it, by)| format!("{it}{by}")).collect::<String>());
        (prop_oneof![same.clone(), mixed], ", |,|\\)|", prop_oneof![same, Just(String::new())])
            .prop_map(|(one, between, two)| format!("SELECT a IN ({one}{between}{two})"))
    }

    /// What a form stands for, read by the lexer alone: the kinds of the literals, and all else.
    fn skeleton(sql: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
        let mut lexer = Lexer::new(sql);
        let (mut parts, mut copied) = (Vec::new(), 0);
        while let Some((token, range)) = lexer.next_token().ok()? {
            let kind = match token {
                Token::String | Token::Bits | Token::Integer | Token::Decimal => token as u8,
                Token::Comment => u8::MAX,
                _ => continue,
            };
            parts.push((kind, sql[copied..range.start].to_vec()));
            copied = range.end;
        }
        parts.push((0, sql[copied..].to_vec()));
        Some(parts)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_shortcut_changes_nothing(text in "(SELECT |[0-9]{1,11}|[(), .;x_$+-]|'[a']{0,3}'|\n|--|/\\*|\\*/){0,30}") {
            let [short, long] = both(text.as_bytes());
            prop_assert_eq!(short, long, "{}", text);
        }

        #[test]
        fn lists_have_the_form_that_the_lexer_sees(list in list()) {
            let [short, long] = both(list.as_bytes());
            prop_assert_eq!(short, long, "{}", list);
        }

        #[test]
        fn one_form_is_one_skeleton(one in list(), two in list(), at in 0usize..600, byte in "[0-9a',)( ]") {
            // Another list, and the same one with a byte more somewhere.
            let mut changed = one.clone();
            if one.is_char_boundary(at.min(one.len())) {
                changed.insert_str(at.min(one.len()), &byte);
            }
            for other in [two, changed] {
                let ([form, _], [others, _]) = (both(one.as_bytes()), both(other.as_bytes()));
                if let (Some(form), Some(others)) = (form, others) {
                    let same = skeleton(one.as_bytes()) == skeleton(other.as_bytes());
                    prop_assert_eq!(form == others, same, "{} and {}", one, other);
                }
            }
        }
    }

    #[test]
    fn long_lists_are_short_forms() {
        for (literal, separator) in [("123", ", "), ("'abc'", ","), ("12345678901", ", ")] {
            let list = vec![literal; 1000].join(separator);
            let [form, _] = both(format!("SELECT 1 IN ({list})").as_bytes());
            assert!(form.is_some_and(|form| form.len() < 64), "{literal}");
        }
    }
}
