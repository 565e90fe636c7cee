//! What else than the text decides how the server reads a statement.

use crate::Unknown;

/// Session parameters on which the reading of a text depends. Part of the key of every cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lexical {
    pub client_encoding: ClientEncoding,
    pub standard_conforming_strings: bool,
}

impl Default for Lexical {
    fn default() -> Self {
        Self { client_encoding: ClientEncoding::Utf8, standard_conforming_strings: true }
    }
}

/// Client encodings by what they do to the bytes of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientEncoding {
    Utf8,
    /// Bytes below 0x80 are always ASCII (single-byte encodings, EUC, MULE_INTERNAL, SQL_ASCII).
    AsciiSafe,
    /// Bytes below 0x80 may be the second half of a character: SJIS, BIG5, GBK, UHC, GB18030,
    /// JOHAB, SHIFT_JIS_2004. Whatever is not known by name counts among these.
    Opaque,
}

impl Lexical {
    /// Why a text cannot be read safely under these settings.
    pub(crate) fn objection(self, sql: &[u8]) -> Option<Unknown> {
        if memchr::memchr(0, sql).is_some() {
            return Some(Unknown::Encoding);
        }
        // The second byte of a character may look like a quote or a backslash.
        if self.client_encoding == ClientEncoding::Opaque && !sql.is_ascii() {
            return Some(Unknown::Encoding);
        }
        // Where strings end depends on it; the setting was the default until 2011.
        if !self.standard_conforming_strings && memchr::memchr(b'\\', sql).is_some() {
            return Some(Unknown::Encoding);
        }
        None
    }
}

impl ClientEncoding {
    /// By the value of `client_encoding`, in any of the spellings that Postgres takes.
    pub fn named(name: &str) -> Self {
        // As `clean_encoding_name`: case and everything but letters and digits are ignored.
        let clean: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        match clean.as_str() {
            "utf8" | "unicode" => Self::Utf8,
            "sqlascii" | "muleinternal" | "koi8" | "koi8r" | "koi8u" | "alt" | "win" | "tcvn"
            | "tcvn5712" | "vscii" | "abc" => Self::AsciiSafe,
            name if ["euc", "latin", "iso8859", "win", "windows"]
                .iter()
                .any(|start| name.starts_with(start)) =>
            {
                // Windows code pages 932, 936, 949, 950 are SJIS, GBK, UHC and BIG5.
                let opaque = ["932", "936", "949", "950"].iter().any(|page| name.ends_with(page));
                if opaque { Self::Opaque } else { Self::AsciiSafe }
            }
            _ => Self::Opaque,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_known_by_all_their_names() {
        let rows = [
            ("UTF8", ClientEncoding::Utf8),
            ("utf-8", ClientEncoding::Utf8),
            ("Unicode", ClientEncoding::Utf8),
            ("LATIN1", ClientEncoding::AsciiSafe),
            ("ISO_8859_5", ClientEncoding::AsciiSafe),
            ("windows-1252", ClientEncoding::AsciiSafe),
            ("WIN866", ClientEncoding::AsciiSafe),
            ("EUC_JIS_2004", ClientEncoding::AsciiSafe),
            ("SQL_ASCII", ClientEncoding::AsciiSafe),
            ("SJIS", ClientEncoding::Opaque),
            ("ShiftJIS", ClientEncoding::Opaque),
            ("windows949", ClientEncoding::Opaque),
            ("WIN950", ClientEncoding::Opaque),
            ("BIG5", ClientEncoding::Opaque),
            ("GB18030", ClientEncoding::Opaque),
            ("johab", ClientEncoding::Opaque),
            ("klingon", ClientEncoding::Opaque),
        ];
        for (name, expected) in rows {
            assert_eq!(ClientEncoding::named(name), expected, "{name}");
        }
    }
}
