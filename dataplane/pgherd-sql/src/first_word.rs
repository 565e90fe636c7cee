//! What the first word of a text decides by itself.

use crate::lexer::is_space;

/// Statements that need the primary, whatever else they say.
const WRITE: [&[u8]; 5] = [b"insert", b"update", b"delete", b"merge", b"truncate"];

/// Whether a text certainly needs the primary, by its first word. Cheap: what is full of literals
/// begins with such a word most times.
pub fn begins_with_write(sql: &[u8]) -> bool {
    let start = sql.iter().position(|&byte| !is_space(byte)).unwrap_or(sql.len());
    let text = sql.get(start..).unwrap_or_default();
    WRITE.iter().any(|word| {
        text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
            && text.get(word.len()).copied().is_some_and(is_space)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, analyze};

    #[test]
    fn writes_are_known_by_their_first_word() {
        for sql in [
            "INSERT INTO t VALUES (1, 'a')",
            "\n\tupdate t set a = 1",
            "Delete FROM t; SELECT 1",
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
            "TRUNCATE t",
            "UPDATE",
            "DELETE nonsense",
        ] {
            assert_eq!(begins_with_write(sql.as_bytes()), sql != "UPDATE", "{sql}");
            // The analysis says the same.
            assert_eq!(analyze(sql.as_bytes()).access(&()), Access::Write, "{sql}");
        }
        for sql in ["", "SELECT 1", "updates", "INSERTED x", "/* */ INSERT INTO t", "WITH"] {
            assert!(!begins_with_write(sql.as_bytes()), "{sql}");
        }
    }
}
