//! Postgres's MD5 authentication, for instances and clients that have nothing better.
//!
//! `"md5" + md5hex(md5hex(password + user) + salt)`, see the manual's section 55.2.1.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use ::md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{AuthError, Authenticated, Message, Method};

const PREFIX: &str = "md5";
const HEX_LEN: usize = 32;

/// What `pg_authid` stores for an MD5 user: `md5` and 32 hexadecimal digits.
///
/// It is as good as the password, for clients and for servers.
#[derive(Clone)]
pub struct Verifier {
    hex: Zeroizing<String>,
}

/// The text is not `md5` and 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an MD5 verifier is \"md5\" and 32 lower-case hexadecimal digits")]
pub struct InvalidVerifier;

/// The answer to an AuthenticationMD5Password request.
pub fn response(user: &str, password: &str, salt: [u8; 4]) -> String {
    Verifier::derive(user, password).response(salt)
}

// === impl Verifier ===

impl Verifier {
    /// The verifier of a password. The user name is its salt, so that a renamed user needs a new one.
    pub fn derive(user: &str, password: &str) -> Self {
        Self { hex: hex_digest(&[password.as_bytes(), user.as_bytes()]) }
    }

    /// The answer to a server's request with this salt; it needs no password.
    pub fn response(&self, salt: [u8; 4]) -> String {
        let answer = hex_digest(&[self.hex.as_bytes(), &salt]);
        format!("{PREFIX}{}", answer.as_str())
    }

    /// Checks a client's answer to a request with this salt, in constant time.
    pub fn check(&self, salt: [u8; 4], given: &[u8]) -> Result<Authenticated, AuthError> {
        Message::Password.admit(given, crate::cleartext::MAX_PASSWORD)?;
        // The right answer's length is no secret.
        if bool::from(self.response(salt).as_bytes().ct_eq(given)) {
            Ok(Authenticated::by(Method::Md5))
        } else {
            Err(AuthError::WrongPassword)
        }
    }
}

impl FromStr for Verifier {
    type Err = InvalidVerifier;

    fn from_str(text: &str) -> Result<Self, InvalidVerifier> {
        let hex = text.strip_prefix(PREFIX).ok_or(InvalidVerifier)?;
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != HEX_LEN || !hex.bytes().all(lower_hex) {
            return Err(InvalidVerifier);
        }
        Ok(Self { hex: Zeroizing::new(hex.to_owned()) })
    }
}

/// The stored form, a secret.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex.as_str())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("md5::Verifier(***)")
    }
}

fn hex_digest(parts: &[&[u8]]) -> Zeroizing<String> {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    let mut hex = Zeroizing::new(String::with_capacity(HEX_LEN));
    for byte in md5.finalize() {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::{Verifier, response};
    use crate::{AuthError, Method};

    /// Made with `printf … | md5sum`.
    #[test]
    fn the_response_is_the_one_of_postgres() {
        assert_eq!(
            response("md5_user", "password", [0x2a, 0x3d, 0x8f, 0xe0]),
            "md562af4dd09bbb41884907a838a3233294"
        );
        assert_eq!(
            Verifier::derive("app", "secret").to_string(),
            "md56a422f785c9e20873908ce25d1736ae2"
        );
    }

    #[test]
    fn a_stored_verifier_answers_and_checks_without_the_password() {
        let stored: Verifier = Verifier::derive("app", "secret").to_string().parse().unwrap();
        let answer = response("app", "secret", [1, 2, 3, 4]);
        assert_eq!(stored.response([1, 2, 3, 4]), answer);
        let token = stored.check([1, 2, 3, 4], answer.as_bytes()).unwrap();
        assert_eq!(token.method(), Method::Md5);
        for wrong in [[1, 2, 3, 5], [0, 0, 0, 0]] {
            let refused = stored.check(wrong, answer.as_bytes()).unwrap_err();
            assert_eq!(refused, AuthError::WrongPassword);
        }
        assert!(stored.check([1, 2, 3, 4], b"md5").is_err());
        assert!(stored.check([1, 2, 3, 4], b"").is_err());
    }

    #[test]
    fn a_verifier_is_md5_and_32_lower_case_digits() {
        for text in [
            "",
            "md5",
            "md56a422f785c9e20873908ce25d1736ae",
            "md56a422f785c9e20873908ce25d1736ae25",
            "MD56a422f785c9e20873908ce25d1736ae2",
            "md56A422f785c9e20873908ce25d1736ae2",
            "md5éa422f785c9e20873908ce25d1736ae2",
        ] {
            assert!(text.parse::<Verifier>().is_err(), "{text}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        assert_eq!(format!("{:?}", Verifier::derive("app", "secret")), "md5::Verifier(***)");
    }
}
