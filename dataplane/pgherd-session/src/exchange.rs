//! Exchanges the names of prepared statements in an SQL text, and back in what the server says of
//! it.

use std::ops::Range;

use bytes::Bytes;
use pgherd_pool::{Exchanged, SqlUse};

/// A text whose names are exchanged from left to right.
pub struct Exchange<'t> {
    text: &'t [u8],
    /// How much of the text has been dealt with.
    copied: usize,
    out: Vec<u8>,
    /// Characters in `out`.
    characters: usize,
}

impl<'t> Exchange<'t> {
    /// Begins at the start of a text.
    pub fn new(text: &'t [u8]) -> Self {
        Self { text, copied: 0, out: Vec::with_capacity(text.len() + 64), characters: 0 }
    }

    /// Puts a name where another one is written, behind those that were exchanged before.
    ///
    /// What was written between quotation marks gets them again: `EXECUTE"a"` has no blank.
    pub fn put(&mut self, at: &Range<usize>, server_name: Bytes) -> Exchanged {
        let written = &self.text[at.clone()];
        let mark = if written.first() == Some(&b'"') { &b"\""[..] } else { b"" };
        self.copy(at.start);
        let start = self.characters;
        for part in [mark, &server_name, mark] {
            self.out.extend_from_slice(part);
            self.characters += characters(part);
        }
        self.copied = at.end;
        Exchanged {
            at: start + 1,
            written: characters(written),
            put: self.characters - start,
            server_name,
        }
    }

    /// The text with its new names.
    pub fn finish(mut self) -> Vec<u8> {
        self.copy(self.text.len());
        self.out
    }

    fn copy(&mut self, to: usize) {
        let kept = &self.text[self.copied..to];
        self.out.extend_from_slice(kept);
        self.characters += characters(kept);
        self.copied = to;
    }
}

/// An error about a text in which names were exchanged, as the client must read it: with its own
/// names, and with the position in its own text.
pub fn with_names_of_client(body: &[u8], sql: &[SqlUse]) -> Option<Vec<u8>> {
    if sql.iter().all(|it| it.exchanged.is_none()) {
        return None;
    }
    let mut out = Vec::with_capacity(body.len());
    for field in body.split_inclusive(|&byte| byte == 0) {
        if let [b'P', digits @ .., 0] = field
            && let Some(position) =
                std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<usize>().ok())
        {
            out.extend_from_slice(format!("P{}\0", position_of_client(position, sql)).as_bytes());
            continue;
        }
        let mut field = field.to_vec();
        for (name, exchanged) in
            sql.iter().filter_map(|it| Some((&it.name, it.exchanged.as_ref()?)))
        {
            if let Some(at) = find_name(&field, &exchanged.server_name) {
                field.splice(at..at + exchanged.server_name.len(), name.iter().copied());
            }
        }
        out.extend_from_slice(&field);
    }
    Some(out)
}

/// Where a name stands as a whole: the first one of a connection begins the tenth.
fn find_name(field: &[u8], name: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(field, name)
        .find(|at| !field.get(at + name.len()).is_some_and(u8::is_ascii_digit))
}

fn position_of_client(position: usize, sql: &[SqlUse]) -> usize {
    let before = sql.iter().filter_map(|it| it.exchanged.as_ref()).filter(|it| it.at < position);
    let (mut longer, mut shorter) = (0, 0);
    for it in before {
        longer += it.put;
        shorter += it.written;
    }
    position.saturating_add(shorter).saturating_sub(longer)
}

/// Characters, as Postgres counts positions.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql_names;

    /// Exchanges each name for `pgherd_1`, `pgherd_2` and so on.
    fn exchanged(text: &str) -> (String, Vec<SqlUse>) {
        let mut sql = sql_names::find(text.as_bytes());
        let mut exchange = Exchange::new(text.as_bytes());
        for (index, it) in sql.iter_mut().enumerate() {
            it.exchanged = Some(exchange.put(&it.at, format!("pgherd_{}", index + 1).into()));
        }
        (String::from_utf8(exchange.finish()).unwrap(), sql)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(exchanged(text).0, expected);
    }

    #[test]
    fn a_name_stays_one_token() {
        check("EXECUTE a(1); EXECUTE b", "EXECUTE pgherd_1(1); EXECUTE pgherd_2");
        check("EXECUTE\"a\"", "EXECUTE\"pgherd_1\"");
        check("PREPARE\"A b\"AS SELECT 1", "PREPARE\"pgherd_1\"AS SELECT 1");
    }

    #[test]
    fn errors_get_names_and_positions_back() {
        let names: Vec<String> = (0..11).map(|n| format!("n{n}")).collect();
        let text: Vec<String> = names.iter().map(|name| format!("EXECUTE {name}")).collect();
        let (_, sql) = exchanged(&text.join("; "));
        let of =
            |body: &[u8]| with_names_of_client(body, &sql).map(|it| String::from_utf8(it).unwrap());
        // The tenth begins with the first.
        assert_eq!(of(b"Mno \"pgherd_10\"\0\0").as_deref(), Some("Mno \"n9\"\0\0"));
        assert_eq!(of(b"Mno \"pgherd_1\"\0\0").as_deref(), Some("Mno \"n0\"\0\0"));
        let (text, sql) = exchanged("EXECUTE \"ä\"\"b\"; EXECUTE c x");
        let position = text.find('x').unwrap();
        let body = format!("P{}\0\0", position + 1);
        let told = with_names_of_client(body.as_bytes(), &sql).unwrap();
        assert_eq!(told, b"P27\0\0");
    }

    #[test]
    fn a_position_beyond_all_texts_does_no_harm() {
        let (_, sql) = exchanged("EXECUTE a");
        let body = format!("P{}\0\0", usize::MAX);
        assert!(with_names_of_client(body.as_bytes(), &sql).is_some());
    }
}
