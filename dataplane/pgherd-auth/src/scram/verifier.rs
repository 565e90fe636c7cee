//! What a server stores instead of a password: `SCRAM-SHA-256$<iterations>:<salt>$<stored>:<server>`.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use super::keys::{ClientKeys, KEY_LEN, hmac, same, sha256, xor};
use super::{MAX_ITERATIONS, MAX_SALT, MECHANISM};
use crate::cleartext::MAX_PASSWORD;
use crate::{AuthError, Authenticated, Message, Method};

/// A SCRAM verifier, in the text form that `pg_authid.rolpassword` has.
///
/// `Display` writes that text, which lets its reader pose as the server and try passwords;
/// `Debug` writes none of it.
#[derive(Clone)]
pub struct Verifier {
    iterations: u32,
    salt: Box<[u8]>,
    stored_key: Zeroizing<[u8; KEY_LEN]>,
    server_key: Zeroizing<[u8; KEY_LEN]>,
}

/// Why a text is not a verifier. Quotes nothing of it, since it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVerifier {
    #[error("a SCRAM verifier starts with \"SCRAM-SHA-256$\"")]
    Mechanism,
    #[error(
        "a SCRAM verifier has the form SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>"
    )]
    Shape,
    #[error("the iterations of a SCRAM verifier are a number from 1 to {MAX_ITERATIONS}")]
    Iterations,
    #[error("the salt of a SCRAM verifier is base64 of 1 to {MAX_SALT} bytes")]
    Salt,
    #[error("the stored key of a SCRAM verifier is base64 of {KEY_LEN} bytes")]
    StoredKey,
    #[error("the server key of a SCRAM verifier is base64 of {KEY_LEN} bytes")]
    ServerKey,
}

// === impl Verifier ===

impl Verifier {
    /// The verifier of a password. Costs some milliseconds of CPU at 4,096 iterations: keep it.
    ///
    /// # Panics
    /// If `iterations` is not in 1 to [`MAX_ITERATIONS`] or the salt not in 1 to [`MAX_SALT`] bytes.
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        let keys = ClientKeys::derive(password, salt, iterations);
        Self::from_keys(salt, iterations, keys.stored_key(), *keys.server_key())
    }

    /// Checks a password that a client sent in the clear. Costs what [`Self::derive`] costs.
    ///
    /// `given` is the content of the PasswordMessage without its final zero byte.
    pub fn check_password(&self, given: &[u8]) -> Result<Authenticated, AuthError> {
        Message::Password.admit(given, MAX_PASSWORD)?;
        let given = str::from_utf8(given).map_err(|_| AuthError::WrongPassword)?;
        let derived = ClientKeys::derive(given, &self.salt, self.iterations);
        if same(derived.server_key(), &self.server_key) {
            Ok(Authenticated::by(Method::Cleartext))
        } else {
            Err(AuthError::WrongPassword)
        }
    }

    /// The iteration count that a client is asked for.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt that a client is given.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn from_keys(
        salt: &[u8],
        iterations: u32,
        stored_key: [u8; KEY_LEN],
        server_key: [u8; KEY_LEN],
    ) -> Self {
        Self {
            iterations,
            salt: salt.into(),
            stored_key: Zeroizing::new(stored_key),
            server_key: Zeroizing::new(server_key),
        }
    }

    /// Whether a proof was made with the password, in constant time.
    pub(super) fn accepts(&self, proof: &[u8; KEY_LEN], auth_message: &[u8]) -> bool {
        let signature = hmac(self.stored_key.as_slice(), &[auth_message]);
        let client_key = Zeroizing::new(xor(proof, &signature));
        same(&sha256(client_key.as_slice()), &self.stored_key)
    }

    /// ServerSignature := HMAC(ServerKey, AuthMessage).
    pub(super) fn sign(&self, auth_message: &[u8]) -> [u8; KEY_LEN] {
        hmac(self.server_key.as_slice(), &[auth_message])
    }
}

impl FromStr for Verifier {
    type Err = InvalidVerifier;

    fn from_str(text: &str) -> Result<Self, InvalidVerifier> {
        let (mechanism, rest) = text.split_once('$').ok_or(InvalidVerifier::Mechanism)?;
        if mechanism != MECHANISM {
            return Err(InvalidVerifier::Mechanism);
        }
        let (challenge, keys) = rest.split_once('$').ok_or(InvalidVerifier::Shape)?;
        let (iterations, salt) = challenge.split_once(':').ok_or(InvalidVerifier::Shape)?;
        let (stored, server) = keys.split_once(':').ok_or(InvalidVerifier::Shape)?;
        let iterations = parse_iterations(iterations).ok_or(InvalidVerifier::Iterations)?;
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| InvalidVerifier::Salt)?;
        if !(1..=MAX_SALT).contains(&salt.len()) {
            return Err(InvalidVerifier::Salt);
        }
        let stored = parse_key(stored).ok_or(InvalidVerifier::StoredKey)?;
        let server = parse_key(server).ok_or(InvalidVerifier::ServerKey)?;
        Ok(Self::from_keys(&salt, iterations, stored, server))
    }
}

fn parse_iterations(text: &str) -> Option<u32> {
    // `u32::from_str` takes a sign.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| (1..=MAX_ITERATIONS).contains(n))
}

fn parse_key(text: &str) -> Option<[u8; KEY_LEN]> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let salt = BASE64_STANDARD.encode(&self.salt);
        let stored = BASE64_STANDARD.encode(self.stored_key.as_slice());
        let server = BASE64_STANDARD.encode(self.server_key.as_slice());
        write!(f, "{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scram::Verifier(***)")
    }
}

#[cfg(test)]
mod tests;
