//! ErrorResponse and NoticeResponse: severity, SQLSTATE, message, and the optional fields.

use std::borrow::Cow;

use crate::cursor::Cursor;
use crate::frame;

/// How bad it is; a FATAL error ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
    /// Something that the user may want to know.
    Notice,
    /// Something that the user ought to know.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
        }
    }
}

/// An error as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// The SQLSTATE, five characters.
    pub code: Cow<'a, str>,
    /// One sentence, lower case, no full stop: Postgres's own style.
    pub message: Cow<'a, str>,
    /// More facts.
    pub detail: Option<Cow<'a, str>>,
    /// What to do about it.
    pub hint: Option<Cow<'a, str>>,
}

impl<'a> ErrorResponse<'a> {
    /// An error that ends the statement.
    pub fn error(code: &'a str, message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            severity: Severity::Error,
            code: code.into(),
            message: message.into(),
            detail: None,
            hint: None,
        }
    }

    /// An error that ends the connection.
    pub fn fatal(code: &'a str, message: impl Into<Cow<'a, str>>) -> Self {
        Self { severity: Severity::Fatal, ..Self::error(code, message) }
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'a, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'a, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Appends the message, tagged `E` (or `N` for notices and warnings).
    pub fn put(&self, out: &mut Vec<u8>) {
        let tag = match self.severity {
            Severity::Error | Severity::Fatal => b'E',
            Severity::Notice | Severity::Warning => b'N',
        };
        frame::put(out, tag, |b| {
            let mut field = |kind: u8, text: &str| {
                b.push(kind);
                frame::put_cstr(b, text.as_bytes());
            };
            field(b'S', self.severity.as_str());
            field(b'V', self.severity.as_str());
            field(b'C', &self.code);
            field(b'M', &self.message);
            if let Some(detail) = &self.detail {
                field(b'D', detail);
            }
            if let Some(hint) = &self.hint {
                field(b'H', hint);
            }
            b.push(0);
        });
    }
}

/// The fields that the proxy reads from a server's error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// The severity, not localised (field `V`).
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// The message.
    pub message: String,
    /// More facts, if there are any.
    pub detail: Option<String>,
    /// What to do about it, if the server knows.
    pub hint: Option<String>,
}

impl ServerError {
    /// Reads the body of an ErrorResponse; fields that are missing stay empty.
    pub fn parse(body: &[u8]) -> Self {
        let mut parsed = Self::default();
        let mut rest = Cursor(body);
        while let Some(kind) = rest.u8().filter(|&kind| kind != 0) {
            let Some(text) = rest.cstr() else { break };
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                b'V' => parsed.severity = text,
                b'S' if parsed.severity.is_empty() => parsed.severity = text,
                b'C' => parsed.code = text,
                b'M' => parsed.message = text,
                b'D' => parsed.detail = Some(text),
                b'H' => parsed.hint = Some(text),
                _ => {}
            }
        }
        parsed
    }

    /// Whether the server ends the connection with this error.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_what_was_put() {
        let mut out = Vec::new();
        ErrorResponse::fatal("28P01", "no").hint("ask").put(&mut out);
        let parsed = ServerError::parse(&out[5..]);
        assert_eq!(
            parsed,
            ServerError {
                severity: "FATAL".into(),
                code: "28P01".into(),
                message: "no".into(),
                detail: None,
                hint: Some("ask".into()),
            }
        );
        assert!(parsed.is_fatal());
    }

    #[test]
    fn a_truncated_error_is_read_as_far_as_it_goes() {
        assert_eq!(ServerError::parse(b"C57P01\0Mstop").code, "57P01");
        assert_eq!(ServerError::parse(b""), ServerError::default());
    }
}
