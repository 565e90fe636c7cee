//! White space and comments in SQL, as Postgres's lexer takes them.

/// Whether a byte is white space. Postgres 16 and later take the vertical tab for it, too.
pub(crate) fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Without white space at the start.
pub(crate) fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_blank(byte)).unwrap_or(text.len());
    &text[start..]
}

/// Without white space at the end.
pub(crate) fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1);
    &text[..end]
}

/// Without white space and comments at the start.
pub(crate) fn skip(mut text: &[u8]) -> &[u8] {
    loop {
        text = trim_start(text);
        let comment = match text {
            [b'-', b'-', ..] => memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len()),
            [b'/', b'*', ..] => comment(text),
            _ => return text,
        };
        text = &text[comment..];
    }
}

/// Length of a comment, in which others may be.
fn comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (1, 2);
    while depth > 0 {
        let Some(next) = memchr::memchr2(b'/', b'*', text.get(at..).unwrap_or_default()) else {
            return text.len();
        };
        at += next;
        match text.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, rest: &str) {
        assert_eq!(skip(text.as_bytes()), rest.as_bytes(), "{text}");
    }

    #[test]
    fn comments_are_white_space() {
        check(" \t\r\n\x0b\x0cx ", "x ");
        check("-- x\r-- y\n/* /* */ */ z", "z");
        check("/* /* */", "");
        check("-", "-");
        check("-- x", "");
    }

    #[test]
    fn ends_are_trimmed() {
        assert_eq!((trim_start(b"\x0b x "), trim_end(b" x\x0b ")), (&b"x "[..], &b" x"[..]));
        assert_eq!((trim_start(b" "), trim_end(b"\x0b")), (&b""[..], &b""[..]));
    }
}
