//! The GS2 header: what a client-first-message says about channel binding and identity.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::Channel;
use crate::{AuthError, Flaw, Message};

/// The one type of channel binding that Postgres knows (RFC 5929).
const END_POINT: &str = "tls-server-end-point";

/// The longest name of a type that is repeated in an error (Postgres: `sanitize_str`).
const MAX_TYPE_SHOWN: usize = 30;

/// What the client said about channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gs2Header {
    /// `n,,`: the client cannot bind.
    Unbound,
    /// `y,,`: the client could, and thinks that the server cannot. Once -PLUS is offered on a
    /// connection, this means that someone took the offer away, and is refused.
    NotOffered,
    /// `p=tls-server-end-point,,`: the client binds to the server's certificate.
    Bound,
}

impl Gs2Header {
    /// Splits a client-first-message into its header and the rest (client-first-message-bare), and
    /// holds the header against what was offered and chosen.
    pub(super) fn parse<'m>(
        message: &'m [u8],
        channel: &Channel,
    ) -> Result<(Self, &'m [u8]), AuthError> {
        let malformed = |flaw| Message::ClientFirst.malformed(flaw);
        let chosen = matches!(channel, Channel::Bindable { chosen: true, .. });
        let (header, rest) = match message.split_first() {
            Some((b'n' | b'y', _)) if chosen => return Err(AuthError::BindingMissing),
            Some((b'n', rest)) => (Self::Unbound, rest),
            Some((b'y', _)) if matches!(channel, Channel::Bindable { .. }) => {
                return Err(AuthError::BindingDowngrade);
            }
            Some((b'y', rest)) => (Self::NotOffered, rest),
            Some((b'p', _)) if !chosen => return Err(AuthError::BindingNotOffered),
            Some((b'p', rest)) => (Self::Bound, binding_type(rest)?),
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
            Self::Bound => "p=tls-server-end-point,,",
        }
    }

    /// The value of attribute `c` in the client-final-message: the header, and behind it what is
    /// bound to, in base64.
    pub(super) fn binding(self, end_point: &[u8]) -> String {
        match self {
            Self::Unbound | Self::NotOffered => BASE64_STANDARD.encode(self.text()),
            Self::Bound => BASE64_STANDARD.encode([self.text().as_bytes(), end_point].concat()),
        }
    }
}

/// Takes the type off what follows the `p`; what remains begins with its comma.
fn binding_type(rest: &[u8]) -> Result<&[u8], AuthError> {
    let malformed = |flaw| Message::ClientFirst.malformed(flaw);
    let rest = rest.strip_prefix(b"=").ok_or_else(|| malformed(Flaw::EqualsExpected('p')))?;
    let end = rest.iter().position(|&byte| byte == b',');
    let (name, rest) = rest.split_at(end.ok_or_else(|| malformed(Flaw::CommaExpected))?);
    if name == END_POINT.as_bytes() {
        return Ok(rest);
    }
    let shown = name.iter().take(MAX_TYPE_SHOWN);
    let printable = |&byte: &u8| if byte.is_ascii_graphic() { char::from(byte) } else { '?' };
    Err(AuthError::BindingType { name: shown.map(printable).collect() })
}
