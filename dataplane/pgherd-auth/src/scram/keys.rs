//! From a password to the keys of both sides (RFC 5802, section 3).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::password::prepare;
use super::{MAX_ITERATIONS, MAX_SALT};

/// Bytes of a key, proof or signature.
pub(super) const KEY_LEN: usize = 32;

/// What a client computes from a password, a salt and an iteration count; kept so that the next
/// login with the same three costs nothing. As secret as the password.
pub struct ClientKeys {
    salt: Box<[u8]>,
    iterations: u32,
    client_key: Zeroizing<[u8; KEY_LEN]>,
    server_key: Zeroizing<[u8; KEY_LEN]>,
}

impl ClientKeys {
    /// Derives the keys: some milliseconds of CPU at 4,096 iterations.
    ///
    /// # Panics
    /// If `iterations` is not in 1 to [`MAX_ITERATIONS`] or the salt not in 1 to [`MAX_SALT`] bytes.
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        assert!((1..=MAX_ITERATIONS).contains(&iterations), "iterations out of range");
        assert!((1..=MAX_SALT).contains(&salt.len()), "length of the salt out of range");
        let prepared = prepare(password);
        let mut salted = Zeroizing::new([0; KEY_LEN]);
        pbkdf2::pbkdf2_hmac::<Sha256>(prepared.as_bytes(), salt, iterations, salted.as_mut());
        Self {
            salt: salt.into(),
            iterations,
            client_key: Zeroizing::new(hmac(salted.as_slice(), &[b"Client Key"])),
            server_key: Zeroizing::new(hmac(salted.as_slice(), &[b"Server Key"])),
        }
    }

    /// Whether these keys answer a challenge with this salt and iteration count.
    pub fn fit(&self, salt: &[u8], iterations: u32) -> bool {
        *self.salt == *salt && self.iterations == iterations
    }

    pub(super) fn stored_key(&self) -> [u8; KEY_LEN] {
        sha256(self.client_key.as_slice())
    }

    pub(super) fn server_key(&self) -> &[u8; KEY_LEN] {
        &self.server_key
    }

    /// ClientProof := ClientKey XOR HMAC(StoredKey, AuthMessage).
    pub(super) fn proof(&self, auth_message: &[u8]) -> [u8; KEY_LEN] {
        xor(&self.client_key, &hmac(&self.stored_key(), &[auth_message]))
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKeys(***)")
    }
}

pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; KEY_LEN] {
    Sha256::digest(bytes).into()
}

pub(super) fn xor(left: &[u8; KEY_LEN], right: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
    std::array::from_fn(|i| left[i] ^ right[i])
}

/// Compares in constant time.
pub(super) fn same(left: &[u8; KEY_LEN], right: &[u8; KEY_LEN]) -> bool {
    left.ct_eq(right).into()
}
