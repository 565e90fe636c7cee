//! The GS2 header: what a client-first-message says about channel binding and identity.

use crate::{AuthError, Flaw, Message};

/// What the client said about channel binding. With SCRAM-SHA-256-PLUS comes a variant that
/// carries the certificate hash (`tls-server-end-point`), and with it another [`Self::binding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gs2Header {
    /// `n,,`: the client cannot bind.
    Unbound,
    /// `y,,`: the client could, and thinks that the server cannot. Once -PLUS is offered on a
    /// connection, this means that someone took the offer away, and must be refused there.
    NotOffered,
}

impl Gs2Header {
    /// Splits a client-first-message into its header and the rest (client-first-message-bare).
    pub(super) fn parse(message: &[u8]) -> Result<(Self, &[u8]), AuthError> {
        let malformed = |flaw| Message::ClientFirst.malformed(flaw);
        let (header, rest) = match message.split_first() {
            Some((b'n', rest)) => (Self::Unbound, rest),
            Some((b'y', rest)) => (Self::NotOffered, rest),
            Some((b'p', _)) => return Err(AuthError::BindingNotOffered),
            _ => return Err(malformed(Flaw::BindingFlag)),
        };
        let rest = rest.strip_prefix(b",").ok_or_else(|| malformed(Flaw::CommaExpected))?;
        match rest.split_first() {
            Some((b',', bare)) => Ok((header, bare)),
            Some((b'a', _)) => Err(AuthError::AuthorizationIdentity),
            _ => Err(malformed(Flaw::CommaExpected)),
        }
    }

    /// The header as it is sent.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Unbound => "n,,",
            Self::NotOffered => "y,,",
        }
    }

    /// The value of attribute `c` in the client-final-message: the header in base64.
    pub(super) fn binding(self) -> &'static str {
        match self {
            Self::Unbound => "biws",
            Self::NotOffered => "eSws",
        }
    }
}
