//! Texts of clients with another encoding than UTF-8: what is parsed and hashed is always UTF-8.

use std::borrow::Cow;

use pgherd_plan::Parameter;
use pgherd_wire::ParamSet;

use super::failure::Failure;

/// A client's encoding, as far as the proxy can read it as Postgres does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Or none at all: Postgres takes the bytes as they are.
    Utf8,
    /// ISO 8859-1: each byte is the character of its number.
    Latin1,
    /// Only ASCII is surely the same.
    Other,
}

/// The refusal of a key in an encoding that is not read.
pub(crate) fn unreadable() -> Failure {
    Failure::unsupported(
        "a sharding key with other characters than ASCII under this client_encoding",
        "Set client_encoding to UTF8.",
    )
}

/// `text`, `varchar`, `char(n)`, `name`.
const TEXTS: [u32; 4] = [25, 1043, 1042, 19];
/// Their arrays.
const ARRAYS: [u32; 4] = [1009, 1015, 1014, 1003];

// === impl Encoding ===

impl Encoding {
    pub(crate) fn of(params: &ParamSet) -> Self {
        match params.get("client_encoding") {
            None | Some("UTF8") => Self::Utf8,
            Some(other) => Self::named(other),
        }
    }

    /// By a name as Postgres takes it: only letters and digits count.
    pub(crate) fn named(name: &str) -> Self {
        let plain = name.chars().filter(char::is_ascii_alphanumeric);
        match plain.collect::<String>().to_ascii_uppercase().as_str() {
            "UTF8" | "UNICODE" | "SQLASCII" => Self::Utf8,
            "LATIN1" | "ISO88591" => Self::Latin1,
            _ => Self::Other,
        }
    }

    /// `None` of what cannot be read.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Latin1 if !bytes.is_ascii() => {
                Some(bytes.iter().map(|&it| char::from(it)).collect::<String>().into())
            }
            Self::Other if !bytes.is_ascii() => None,
            _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        }
    }

    /// UTF-8 as the client would have written it.
    pub(crate) fn encode(self, text: &[u8]) -> Result<Cow<'_, [u8]>, Failure> {
        if self == Self::Utf8 || text.is_ascii() {
            return Ok(Cow::Borrowed(text));
        }
        let byte = |it: char| u8::try_from(u32::from(it)).ok();
        let bytes = std::str::from_utf8(text).ok().filter(|_| self == Self::Latin1);
        let bytes: Option<Vec<u8>> = bytes.and_then(|it| it.chars().map(byte).collect());
        bytes.map(Cow::Owned).ok_or_else(|| {
            Failure::unsupported(
                "a name that the client_encoding does not have",
                "Set client_encoding to UTF8.",
            )
        })
    }

    /// The value of a sharding key as UTF-8. `None` of what cannot be read.
    pub(crate) fn key(self, type_oid: u32, binary: bool, value: &[u8]) -> Option<Cow<'_, [u8]>> {
        if self == Self::Utf8 || value.is_ascii() {
            return Some(Cow::Borrowed(value));
        }
        if binary && !TEXTS.contains(&type_oid) {
            // Numbers are not texts; what is in arrays has its length before it.
            return (!ARRAYS.contains(&type_oid)).then_some(Cow::Borrowed(value));
        }
        match self.decode(value)? {
            Cow::Borrowed(text) => Some(Cow::Borrowed(text.as_bytes())),
            Cow::Owned(text) => Some(Cow::Owned(text.into_bytes())),
        }
    }

    /// Does something with parameters as the planner may see them: one that cannot be read is no
    /// key.
    pub(crate) fn with_parameters<T>(
        self,
        parameters: &[Parameter<'_>],
        then: impl FnOnce(&[Parameter<'_>]) -> T,
    ) -> T {
        if self == Self::Utf8 {
            return then(parameters);
        }
        let read = |it: &Parameter<'_>| match it.value {
            None => Some(None),
            Some(value) => self.key(it.type_oid, it.binary, value).map(|it| Some(it.into_owned())),
        };
        let values: Vec<_> = parameters.iter().map(read).collect();
        let readable = parameters.iter().zip(&values).map(|(it, value)| match value {
            Some(value) => Parameter { value: value.as_deref(), ..*it },
            None => Parameter { type_oid: 0, ..*it },
        });
        then(&readable.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin1_is_read_and_written_byte_by_byte() {
        let latin1 = Encoding::named("iso-8859-1");
        assert_eq!((latin1, Encoding::named("utf-8")), (Encoding::Latin1, Encoding::Utf8));
        let all: Vec<u8> = (1..=255).collect();
        let text = latin1.decode(&all).expect("every byte is a character");
        assert_eq!(text.chars().count(), 255);
        assert_eq!(&*latin1.encode(text.as_bytes()).expect("the same again"), &all[..]);
        assert!(latin1.encode("€".as_bytes()).is_err());
        assert!(Encoding::named("SJIS").decode(b"\x83\x5c").is_none());
        assert!(Encoding::named("WIN1252").encode("ä".as_bytes()).is_err());
    }

    #[test]
    fn keys_are_hashed_as_utf8_or_not_at_all() {
        let latin1 = Encoding::Latin1;
        // Two characters that look like one of UTF-8.
        assert_eq!(latin1.key(25, false, b"\xc3\xa4").as_deref(), Some("Ã¤".as_bytes()));
        assert_eq!(latin1.key(25, true, b"\xe4").as_deref(), Some("ä".as_bytes()));
        assert_eq!(latin1.key(20, true, &[0xff; 8]).as_deref(), Some(&[0xff; 8][..]));
        assert_eq!(latin1.key(1009, true, &[0xff; 8]), None);
        let sjis = Encoding::Other;
        assert_eq!(sjis.key(25, true, b"\x83\x5c"), None);
        assert_eq!(sjis.key(25, true, b"abc").as_deref(), Some(&b"abc"[..]));
        let parameter = Parameter { type_oid: 25, value: Some(b"\xe4"), binary: false };
        let seen = |it: Encoding| {
            it.with_parameters(&[parameter], |it| (it[0].type_oid, it[0].value.map(<[u8]>::len)))
        };
        assert_eq!(seen(latin1), (25, Some(2)));
        assert_eq!(seen(sjis), (0, Some(1)));
        assert_eq!(seen(Encoding::Utf8), (25, Some(1)));
    }
}
