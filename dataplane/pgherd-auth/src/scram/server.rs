//! The server's side of SCRAM: finds out whether a client knows the password.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::attributes::{Attributes, key};
use super::gs2::Gs2Header;
use super::keys::hmac;
use super::{Channel, DEFAULT_ITERATIONS, MAX_CLIENT_MESSAGE, SALT_LEN, Verifier};
use crate::{AuthError, Authenticated, Message, Method};

/// Nothing has been received yet.
#[derive(Debug)]
#[must_use]
pub struct Start {
    verifier: Arc<Verifier>,
    real: bool,
    channel: Channel,
}

/// The challenge is out; the proof must come next.
#[derive(Debug)]
#[must_use]
pub struct ClientFinalExpected {
    verifier: Arc<Verifier>,
    real: bool,
    header: Gs2Header,
    channel: Channel,
    /// The client's nonce and ours.
    nonce: Vec<u8>,
    /// AuthMessage up to the comma before client-final-message-without-proof.
    auth_message: Vec<u8>,
}

/// A verifier for a user that does not exist (or has no password), to be used with `real: false`,
/// so that the exchange looks and costs like one with a wrong password.
///
/// The same secret and user give the same verifier, since a salt that changes with each attempt
/// would tell. `secret` must be random and unknown to clients. A user whose verifier has another
/// number of iterations than [`DEFAULT_ITERATIONS`] can still be told from an unknown one, as in
/// Postgres.
pub fn mock_verifier(secret: &[u8], user: &str) -> Verifier {
    let key = |label: &[u8]| hmac(secret, &[label, b"\0", user.as_bytes()]);
    let salt = stable_salt(secret, user);
    Verifier::from_keys(&salt, DEFAULT_ITERATIONS, key(b"stored key"), key(b"server key"))
}

/// The salt that [`mock_verifier`] shows for this user. Users who have a plaintext password get
/// theirs from here too: then the salt does not tell whether a user exists, not even when one is
/// created or dropped.
pub fn stable_salt(secret: &[u8], user: &str) -> [u8; SALT_LEN] {
    let digest = hmac(secret, &[b"salt", b"\0", user.as_bytes()]);
    std::array::from_fn(|i| digest[i])
}

// === impl Start ===

impl Start {
    /// Starts an exchange against a verifier. Without `real` the exchange fails whatever the
    /// client proves; see [`mock_verifier`].
    pub fn new(verifier: impl Into<Arc<Verifier>>, real: bool) -> Self {
        Self { verifier: verifier.into(), real, channel: Channel::Unbound }
    }

    /// Says what was offered and chosen.
    pub fn on(self, channel: Channel) -> Self {
        Self { channel, ..self }
    }

    /// Takes the data of the SASLInitialResponse and gives that of AuthenticationSASLContinue.
    ///
    /// The user name in the message is ignored, as in Postgres: the startup message has named the
    /// user. `server_nonce` is to be fresh from [`crate::nonce`].
    pub fn client_first(
        self,
        message: &[u8],
        server_nonce: &str,
    ) -> Result<(ClientFinalExpected, Vec<u8>), AuthError> {
        Message::ClientFirst.admit(message, MAX_CLIENT_MESSAGE)?;
        let (header, bare) = Gs2Header::parse(message, &self.channel)?;
        if bare.starts_with(b"m") {
            return Err(AuthError::MandatoryExtension { message: Message::ClientFirst });
        }
        let mut attributes = Attributes::new(Message::ClientFirst, bare);
        attributes.expect('n')?;
        let client_nonce = attributes.expect_nonce()?;
        while attributes.remaining() > 0 {
            // Optional extensions, to be ignored (RFC 5802, section 5.1).
            attributes.any()?;
        }

        let nonce = [client_nonce, server_nonce.as_bytes()].concat();
        let mut server_first = b"r=".to_vec();
        server_first.extend_from_slice(&nonce);
        let salt = BASE64_STANDARD.encode(self.verifier.salt());
        let challenge = format!(",s={salt},i={}", self.verifier.iterations());
        server_first.extend_from_slice(challenge.as_bytes());

        let auth_message = [bare, b",", &server_first, b","].concat();
        let Self { verifier, real, channel } = self;
        let next = ClientFinalExpected { verifier, real, header, channel, nonce, auth_message };
        Ok((next, server_first))
    }
}

// === impl ClientFinalExpected ===

impl ClientFinalExpected {
    /// Takes the data of the SASLResponse and gives that of AuthenticationSASLFinal.
    pub fn client_final(mut self, message: &[u8]) -> Result<(Authenticated, Vec<u8>), AuthError> {
        Message::ClientFinal.admit(message, MAX_CLIENT_MESSAGE)?;
        let mut attributes = Attributes::new(Message::ClientFinal, message);
        let binding = attributes.expect('c')?;
        let end_point = match &self.channel {
            Channel::Bindable { end_point, .. } => end_point,
            Channel::Unbound => &[][..],
        };
        if binding != self.header.binding(end_point).as_bytes() {
            return Err(match self.header {
                Gs2Header::Bound => AuthError::BindingFailed,
                Gs2Header::Unbound | Gs2Header::NotOffered => AuthError::BindingMismatch,
            });
        }
        let nonce = attributes.expect_nonce()?;
        let (without_proof, proof) = loop {
            let before = message.len() - attributes.remaining();
            let (name, value) = attributes.any()?;
            if name == b'p' {
                // The proof follows at least two attributes and a comma.
                break (&message[..before - 1], value);
            }
        };
        let proof = key(Message::ClientFinal, 'p', proof)?;
        attributes.end()?;
        if nonce != self.nonce {
            return Err(AuthError::NonceMismatch { message: Message::ClientFinal });
        }

        self.auth_message.extend_from_slice(without_proof);
        let knows_password = self.verifier.accepts(&proof, &self.auth_message);
        // `&`, not `&&`: both are always computed.
        if !(knows_password & self.real) {
            return Err(AuthError::WrongPassword);
        }
        let signature = BASE64_STANDARD.encode(self.verifier.sign(&self.auth_message));
        let server_final = format!("v={signature}").into_bytes();
        Ok((Authenticated::by(Method::ScramSha256), server_final))
    }
}

#[cfg(test)]
mod binding_tests;
#[cfg(test)]
mod tests;
