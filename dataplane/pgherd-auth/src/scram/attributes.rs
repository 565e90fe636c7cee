//! Reads the comma-separated attributes that a SCRAM message is made of.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::keys::KEY_LEN;
use crate::{AuthError, Flaw, Message};

/// What is left of one message. Bytes, not text: a client may send its user name in any encoding.
pub(super) struct Attributes<'a> {
    message: Message,
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(super) fn new(message: Message, bytes: &'a [u8]) -> Self {
        Self { message, rest: bytes }
    }

    /// The next attribute, which must have this name.
    pub(super) fn expect(&mut self, name: char) -> Result<&'a [u8], AuthError> {
        match self.next()? {
            Some((found, value)) if char::from(found) == name => Ok(value),
            _ => Err(self.message.malformed(Flaw::AttributeExpected(name))),
        }
    }

    /// The next attribute, whatever its name is.
    pub(super) fn any(&mut self) -> Result<(u8, &'a [u8]), AuthError> {
        self.next()?.ok_or_else(|| self.message.malformed(Flaw::AnyAttributeExpected))
    }

    /// A nonce: printable ASCII, at least one character.
    pub(super) fn expect_nonce(&mut self) -> Result<&'a [u8], AuthError> {
        let nonce = self.expect('r')?;
        if nonce.is_empty() || !nonce.iter().all(u8::is_ascii_graphic) {
            return Err(self.message.malformed(Flaw::Nonce));
        }
        Ok(nonce)
    }

    /// Bytes not yet read.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Fails if there is anything left.
    pub(super) fn end(&self) -> Result<(), AuthError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.message.malformed(Flaw::Trailing)) }
    }

    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, AuthError> {
        let Some((&name, after_name)) = self.rest.split_first() else {
            return Ok(None);
        };
        if !name.is_ascii_alphabetic() {
            return Err(self.message.malformed(Flaw::AnyAttributeExpected));
        }
        let Some((b'=', after_equals)) = after_name.split_first() else {
            return Err(self.message.malformed(Flaw::EqualsExpected(name.into())));
        };
        let mut parts = after_equals.splitn(2, |&b| b == b',');
        let value = parts.next().unwrap_or_default();
        self.rest = parts.next().unwrap_or_default();
        Ok(Some((name, value)))
    }
}

/// Decodes the value of an attribute that is base64.
pub(super) fn base64(message: Message, name: char, value: &[u8]) -> Result<Vec<u8>, AuthError> {
    BASE64_STANDARD.decode(value).map_err(|_| message.malformed(Flaw::Base64(name)))
}

/// Decodes the value of an attribute that is a key, proof or signature in base64.
pub(super) fn key(message: Message, name: char, value: &[u8]) -> Result<[u8; KEY_LEN], AuthError> {
    base64(message, name, value)?.try_into().map_err(|_| message.malformed(Flaw::Length(name)))
}
