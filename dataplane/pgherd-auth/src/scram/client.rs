//! The client's side of SCRAM: logs the proxy in to an instance, and makes the instance prove
//! that it knows the password too.

use std::fmt;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use super::attributes::{Attributes, base64, key};
use super::gs2::Gs2Header;
use super::keys::{ClientKeys, KEY_LEN, hmac, same};
use super::{Binding, MAX_ITERATIONS, MAX_SALT, MAX_SERVER_MESSAGE};
use crate::{AuthError, Flaw, Message};

/// The client-first-message is out; the challenge must come next.
#[must_use]
pub struct Start {
    password: Zeroizing<String>,
    cached: Option<Arc<ClientKeys>>,
    nonce: String,
    binding: Binding,
}

/// The proof is out; the server's signature must come next. An AuthenticationOk before it must be
/// refused: whoever sent it has not shown that it knows the password.
#[derive(Debug)]
#[must_use]
pub struct ServerFinalExpected {
    keys: Arc<ClientKeys>,
    auth_message: Vec<u8>,
}

/// The error values that RFC 5802 lists in section 7; the last stands for all others.
const SERVER_ERRORS: [&str; 12] = [
    "invalid-encoding",
    "extensions-not-supported",
    "invalid-proof",
    "channel-bindings-dont-match",
    "server-does-support-channel-binding",
    "channel-binding-not-supported",
    "unsupported-channel-binding-type",
    "unknown-user",
    "invalid-username-encoding",
    "no-resources",
    "invalid-username",
    "other-error",
];

// === impl Start ===

impl Start {
    /// Starts an exchange; the bytes are the data of the SASLInitialResponse.
    ///
    /// The message names no user, as libpq's does not: Postgres takes the user from the startup
    /// message. `client_nonce` is to be fresh from [`crate::nonce`].
    pub fn new(password: &str, client_nonce: &str) -> (Self, Vec<u8>) {
        Self::bound(password, client_nonce, Binding::None)
    }

    /// The same over TLS; with [`Binding::EndPoint`] for [`super::MECHANISM_PLUS`].
    pub fn bound(password: &str, client_nonce: &str, binding: Binding) -> (Self, Vec<u8>) {
        let start = Self {
            password: Zeroizing::new(password.to_owned()),
            cached: None,
            nonce: client_nonce.to_owned(),
            binding,
        };
        let header = start.header().text();
        let client_first = format!("{header}{}", start.bare()).into_bytes();
        (start, client_first)
    }

    /// Offers keys of an earlier exchange with the same password, from
    /// [`ServerFinalExpected::keys`]. They are used if the server still asks for their salt and
    /// iterations, and save the derivation.
    pub fn with_keys(self, cached: Option<Arc<ClientKeys>>) -> Self {
        Self { cached, ..self }
    }

    /// Takes the data of AuthenticationSASLContinue and gives that of the SASLResponse.
    ///
    /// Without fitting keys this costs some milliseconds of CPU, at the server's choice up to
    /// half a second ([`MAX_ITERATIONS`]).
    pub fn server_first(self, message: &[u8]) -> Result<(ServerFinalExpected, Vec<u8>), AuthError> {
        let challenge = Challenge::parse(message, &self.nonce)?;
        let Challenge { nonce, salt, iterations } = challenge;
        let keys = match &self.cached {
            Some(cached) if cached.fit(&salt, iterations) => Arc::clone(cached),
            _ => Arc::new(ClientKeys::derive(&self.password, &salt, iterations)),
        };

        let end_point = match &self.binding {
            Binding::EndPoint(end_point) => end_point.as_slice(),
            Binding::None | Binding::NotOffered => &[],
        };
        let binding = self.header().binding(end_point);
        let mut client_final = [b"c=", binding.as_bytes(), b",r=", nonce].concat();
        let bare = self.bare();
        let auth_message = [bare.as_bytes(), b",", message, b",", &client_final].concat();
        let proof = BASE64_STANDARD.encode(keys.proof(&auth_message));
        client_final.extend_from_slice(b",p=");
        client_final.extend_from_slice(proof.as_bytes());
        Ok((ServerFinalExpected { keys, auth_message }, client_final))
    }

    fn header(&self) -> Gs2Header {
        match self.binding {
            Binding::None => Gs2Header::Unbound,
            Binding::NotOffered => Gs2Header::NotOffered,
            Binding::EndPoint(_) => Gs2Header::Bound,
        }
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scram::client::Start(***)")
    }
}

/// A server-first-message.
struct Challenge<'a> {
    nonce: &'a [u8],
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> Challenge<'a> {
    fn parse(message: &'a [u8], client_nonce: &str) -> Result<Self, AuthError> {
        const THIS: Message = Message::ServerFirst;
        THIS.admit(message, MAX_SERVER_MESSAGE)?;
        if message.starts_with(b"m") {
            return Err(AuthError::MandatoryExtension { message: THIS });
        }
        let mut attributes = Attributes::new(THIS, message);
        let nonce = attributes.expect_nonce()?;
        match nonce.strip_prefix(client_nonce.as_bytes()) {
            Some(server_part) if !server_part.is_empty() => {}
            _ => return Err(AuthError::NonceMismatch { message: THIS }),
        }
        let salt = base64(THIS, 's', attributes.expect('s')?)?;
        if !(1..=MAX_SALT).contains(&salt.len()) {
            return Err(THIS.malformed(Flaw::Length('s')));
        }
        let iterations = iterations(attributes.expect('i')?)?;
        attributes.end()?;
        Ok(Self { nonce, salt, iterations })
    }
}

fn iterations(value: &[u8]) -> Result<u32, AuthError> {
    let not_a_number = || Message::ServerFirst.malformed(Flaw::Number('i'));
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(not_a_number());
    }
    let text = str::from_utf8(value).map_err(|_| not_a_number())?;
    let iterations: u64 = text.parse().map_err(|_| not_a_number())?;
    match u32::try_from(iterations) {
        Ok(n) if (1..=MAX_ITERATIONS).contains(&n) => Ok(n),
        _ => Err(AuthError::Iterations { iterations, limit: MAX_ITERATIONS }),
    }
}

// === impl ServerFinalExpected ===

impl ServerFinalExpected {
    /// The keys of this exchange, for [`Start::with_keys`]. Keep them only when the exchange has
    /// succeeded, and only as long as the password stays the same.
    pub fn keys(&self) -> Arc<ClientKeys> {
        Arc::clone(&self.keys)
    }

    /// Takes the data of AuthenticationSASLFinal.
    pub fn server_final(self, message: &[u8]) -> Result<(), AuthError> {
        const THIS: Message = Message::ServerFinal;
        THIS.admit(message, MAX_SERVER_MESSAGE)?;
        let mut attributes = Attributes::new(THIS, message);
        if message.starts_with(b"e=") {
            return Err(refusal(attributes.expect('e')?));
        }
        let signature: [u8; KEY_LEN] = key(THIS, 'v', attributes.expect('v')?)?;
        attributes.end()?;
        let expected = hmac(self.keys.server_key(), &[&self.auth_message]);
        if same(&expected, &signature) { Ok(()) } else { Err(AuthError::ServerSignature) }
    }
}

fn refusal(value: &[u8]) -> AuthError {
    let listed = SERVER_ERRORS.into_iter().find(|error| error.as_bytes() == value);
    AuthError::ServerRefused { reason: listed.unwrap_or("other-error") }
}

#[cfg(test)]
mod tests;
