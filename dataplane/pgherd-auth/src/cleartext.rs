//! Checks a password that a client sent as it is.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{AuthError, Authenticated, Message, Method};

/// Most bytes in a password, as many as Postgres takes (`PG_MAX_AUTH_TOKEN_LENGTH`).
pub const MAX_PASSWORD: usize = 65_535;

/// Compares in a time that depends on no more than the lengths.
///
/// `given` is the content of the PasswordMessage without its final zero byte. To check against a
/// SCRAM verifier, use [`crate::scram::Verifier::check_password`].
pub fn check(expected: &str, given: &[u8]) -> Result<Authenticated, AuthError> {
    Message::Password.admit(given, MAX_PASSWORD)?;
    // Digests have one length, so that the comparison does not end early on another length.
    let expected = Sha256::digest(expected.as_bytes());
    let given = Sha256::digest(given);
    if bool::from(expected.as_slice().ct_eq(given.as_slice())) {
        Ok(Authenticated::by(Method::Cleartext))
    } else {
        Err(AuthError::WrongPassword)
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PASSWORD, check};
    use crate::{AuthError, Method};

    #[test]
    fn only_the_same_bytes_pass() {
        assert_eq!(check("secret", b"secret").unwrap().method(), Method::Cleartext);
        for wrong in [&b"Secret"[..], b"secre", b"secret1", b" ", b"\xff\xfe"] {
            assert_eq!(check("secret", wrong).unwrap_err(), AuthError::WrongPassword);
        }
    }

    #[test]
    fn a_password_is_bounded_and_not_empty() {
        let long = vec![b'x'; MAX_PASSWORD + 1];
        assert_eq!(check("x", &long).unwrap_err().kind(), "too_long");
        // Even where the configured password is empty: Postgres refuses empty passwords.
        assert_eq!(check("", b"").unwrap_err(), AuthError::EmptyPassword);
    }
}
