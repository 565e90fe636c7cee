//! Why a statement of a sharded session has no answer, and what its client is told.

use std::borrow::Cow;

use pgherd_pool::CheckoutError;
use pgherd_wire::backend::tag;
use pgherd_wire::{ErrorResponse, frame, sqlstate};

use crate::end::End;
use crate::login;

/// A statement that has failed. Only [`Failure::End`] ends the session.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A shard's own error, to be passed on as it came.
    Reported(Report),
    /// The proxy's.
    Refused(Box<ErrorResponse<'static>>),
    /// The connection to a shard broke while it was needed.
    Broken(usize),
    /// A shard does not answer; its connection is closed.
    Silent(usize),
    /// The session ends.
    End(End),
}

/// An error of a shard.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) shard: usize,
    /// The body of the ErrorResponse.
    pub(crate) body: Vec<u8>,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn refused(error: ErrorResponse<'static>) -> Self {
        Self::Refused(Box::new(error))
    }

    /// `0A000`, naming the construct.
    pub(crate) fn unsupported(
        construct: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        let message = format!("{} cannot be answered over shards", construct.into());
        Self::refused(ErrorResponse::error(sqlstate::FEATURE_NOT_SUPPORTED, message).hint(hint))
    }

    /// An error with nothing but a code and a message.
    pub(crate) fn error(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::refused(ErrorResponse::error(code, message))
    }

    /// No server connection came.
    pub(crate) fn checkout(error: &CheckoutError) -> Self {
        Self::refused(login::checkout_error(error, false))
    }

    /// What the server sent was no protocol.
    pub(crate) fn malformed(shard: usize, tag: u8) -> Self {
        tracing::warn!(shard, "a shard sent a malformed message of type {tag:#04x}");
        Self::Broken(shard)
    }

    /// The SQLSTATE.
    pub(crate) fn code(&self) -> Cow<'_, str> {
        match self {
            Self::Reported(report) => report.code(),
            Self::Refused(error) => Cow::Borrowed(&*error.code),
            Self::Broken(_) | Self::Silent(_) => sqlstate::CONNECTION_FAILURE.into(),
            Self::End(_) => sqlstate::ADMIN_SHUTDOWN.into(),
        }
    }

    /// Appends the ErrorResponse.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Reported(report) => {
                frame::put(out, tag::ERROR, |body| body.extend_from_slice(&report.body));
            }
            Self::Refused(error) => error.put(out),
            Self::Broken(shard) => {
                let text = format!("the connection to shard {shard} broke");
                ErrorResponse::error(sqlstate::CONNECTION_FAILURE, text).put(out);
            }
            Self::Silent(shard) => {
                let text = format!("shard {shard} does not answer");
                let detail = "The statement may have been executed there; an open transaction is \
                              rolled back.";
                ErrorResponse::error(sqlstate::CONNECTION_FAILURE, text).detail(detail).put(out);
            }
            Self::End(end) => {
                if let Some(error) = end.for_client() {
                    error.put(out);
                }
            }
        }
    }
}

/// What Postgres says of a prepared statement that would return other columns than it did.
pub(crate) fn result_type_changed() -> Failure {
    let body = crate::relay::RESULT_TYPE_CHANGED.to_vec();
    Failure::Reported(Report { shard: 0, body })
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

// === impl Report ===

impl Report {
    /// A field of the error, by its letter.
    pub(crate) fn field(&self, kind: u8) -> Option<&[u8]> {
        self.body
            .split(|&byte| byte == 0)
            .find_map(|field| field.split_first().filter(|(of, _)| **of == kind))
            .map(|(_, text)| text)
    }

    pub(crate) fn code(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.field(b'C').unwrap_or_default())
    }

    pub(crate) fn message(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.field(b'M').unwrap_or_default())
    }

    /// The shard ends the connection with it.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self.field(b'V'), Some(b"FATAL" | b"PANIC"))
    }

    /// The same with more facts.
    pub(crate) fn with_detail(self, detail: &str) -> Self {
        let mut body: Vec<u8> = Vec::with_capacity(self.body.len() + detail.len() + 2);
        let mut given = None;
        for field in self.body.split_inclusive(|&byte| byte == 0) {
            match field {
                [b'D', own @ .., 0] => given = Some(String::from_utf8_lossy(own).into_owned()),
                [_, _, ..] => body.extend_from_slice(field),
                _ => {}
            }
        }
        let detail = given.map_or(detail.to_owned(), |given| format!("{given} {detail}"));
        body.push(b'D');
        body.extend_from_slice(detail.as_bytes());
        body.extend_from_slice(&[0, 0]);
        Self { body, ..self }
    }

    /// The same without the place in the text.
    pub(crate) fn without_position(self) -> Self {
        let kept = self.body.split_inclusive(|&byte| byte == 0);
        let body = kept.filter(|field| !matches!(field, [b'P', _, ..])).flatten().copied();
        Self { body: body.collect(), ..self }
    }

    /// The same about a text that begins so many characters earlier.
    pub(crate) fn shifted(self, characters: usize) -> Self {
        if characters == 0 {
            return self;
        }
        let mut body = Vec::with_capacity(self.body.len() + 4);
        for field in self.body.split_inclusive(|&byte| byte == 0) {
            if let [b'P', digits @ .., 0] = field
                && let Some(position) =
                    std::str::from_utf8(digits).ok().and_then(|it| it.parse::<usize>().ok())
            {
                let position = position.saturating_add(characters);
                body.extend_from_slice(format!("P{position}\0").as_bytes());
            } else {
                body.extend_from_slice(field);
            }
        }
        Self { body, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_and_its_position_moved() {
        let report = Report { shard: 1, body: b"SERROR\0VERROR\0C42P01\0Mno\0P8\0\0".to_vec() };
        assert_eq!((&*report.code(), &*report.message()), ("42P01", "no"));
        assert!(!report.is_fatal());
        let more = report.clone().with_detail("yes");
        assert_eq!(more.field(b'D'), Some(&b"yes"[..]));
        let moved = report.shifted(10);
        assert_eq!(moved.body, b"SERROR\0VERROR\0C42P01\0Mno\0P18\0\0");
    }
}
