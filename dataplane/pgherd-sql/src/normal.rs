//! Texts without their literals and comments: what statements that differ only there have in
//! common. Two texts with one normal form have one analysis.

use crate::lexer::{Lexer, Token};

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

/// Writes the normal form of a text under the default settings into `form`; false when it has none
/// other than itself, and `form` holds anything.
pub fn normalise(sql: &[u8], form: &mut Vec<u8>) -> bool {
    write_form::<true>(sql, form)
}

/// `SHORTCUT`: lists of plain literals are read without the lexer, with the same outcome.
fn write_form<const SHORTCUT: bool>(sql: &[u8], form: &mut Vec<u8>) -> bool {
    form.clear();
    let mut lexer = Lexer::new(sql);
    let mut copied = 0;
    let mut at_start = true;
    loop {
        while SHORTCUT && let Some((token, range)) = lexer.next_listed() {
            form.extend_from_slice(sql.get(copied..range.start).unwrap_or_default());
            let mark = if token == Token::String { b's' } else { b'i' };
            form.extend_from_slice(&[MARK, mark]);
            copied = range.end;
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
                if at_start || is_one_of(name, TELLING) {
                    return false;
                }
                continue;
            }
            Token::Semicolon => {
                at_start = true;
                continue;
            }
            Token::Parameter | Token::Other => continue,
        };
        form.extend_from_slice(sql.get(copied..range.start).unwrap_or_default());
        if token != Token::Comment {
            form.push(MARK);
        }
        form.push(mark);
        copied = range.end;
    }
    if copied == 0 {
        return false;
    }
    form.extend_from_slice(sql.get(copied..).unwrap_or_default());
    true
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

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_shortcut_changes_nothing(text in "(SELECT |[0-9]{1,11}|[(), .;x_$+-]|'[a']{0,3}'|\n|--|/\\*|\\*/){0,30}") {
            let [short, long] = both(text.as_bytes());
            prop_assert_eq!(short, long, "{}", text);
        }
    }
}
