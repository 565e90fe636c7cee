//! Encryption of secrets at rest: XChaCha20-Poly1305 under one key that is kept in a file.
//!
//! A sealed value is `1 | key id (4) | nonce (24) | ciphertext and tag`. The associated data is
//! the identity of what is sealed, so that a value moved to another row does not open.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};

const VERSION: u8 = 1;
const KEY_LEN: usize = 32;
const KEY_ID_LEN: usize = 4;
const NONCE_LEN: usize = 24;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// The key that secrets are sealed with.
#[derive(Clone)]
pub struct SecretKey {
    cipher: XChaCha20Poly1305,
    id: [u8; KEY_ID_LEN],
    fingerprint_key: [u8; KEY_LEN],
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no file.
    #[error("the secret key file {path} does not exist (--create-key makes one)")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("the secret key file {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the secret key file {path} does not hold 32 bytes in base64")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Other users of the machine can read the key.
    #[error("the secret key file {path} can be read by others (mode {mode:o}): chmod 600 it")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Why a sealed value cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The value was sealed with a key that is not the one given.
    #[error("it was sealed with another secret key")]
    OtherKey,
    /// The value was changed, cut off, or moved from another row.
    #[error("it is damaged or belongs to another row")]
    Damaged,
}

impl SecretKey {
    /// A key from its bytes.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        let hash = blake3::derive_key("pgherd secret key id v1", &bytes);
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&hash[..KEY_ID_LEN]);
        Self {
            cipher: XChaCha20Poly1305::new(&Key::from(bytes)),
            id,
            fingerprint_key: blake3::derive_key("pgherd fingerprint key v1", &bytes),
        }
    }

    /// A new random key, for tests and [`SecretKey::create`].
    pub fn random() -> Self {
        Self::from_bytes(random_bytes())
    }

    /// Reads the key from `path`.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyError::Missing { path: path.to_owned() });
            }
            Err(error) => return Err(failed(error)),
        };
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(KeyError::TooOpen { path: path.to_owned(), mode });
        }
        let bytes =
            STANDARD.decode(text.trim()).ok().and_then(|b| <[u8; KEY_LEN]>::try_from(b).ok());
        bytes.map(Self::from_bytes).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
    }

    /// Reads the key from `path`, and makes the file with a new key when there is none.
    pub fn read_or_create(path: &Path) -> Result<Self, KeyError> {
        let bytes: [u8; KEY_LEN] = random_bytes();
        // `create_new`: two control planes that start at once must not overwrite each other.
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => file
                .write_all(format!("{}\n", STANDARD.encode(bytes)).as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|source| KeyError::Io { path: path.to_owned(), source })?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(KeyError::Io { path: path.to_owned(), source }),
        }
        Self::read(path)
    }

    /// Names a content that has secrets in it. A plain hash in the database would let its reader
    /// guess short passwords; this one needs the key.
    pub fn fingerprint(&self, content: &[u8]) -> String {
        blake3::keyed_hash(&self.fingerprint_key, content).to_hex().to_string()
    }

    /// Seals `plain`; it opens only with the same `identity`.
    pub fn seal(&self, plain: &[u8], identity: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random_bytes();
        let mut sealed = Vec::with_capacity(HEADER_LEN + plain.len() + 16);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.id);
        sealed.extend_from_slice(&nonce);
        let ciphertext = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: identity })
            .expect("encryption fails only above 256 GiB");
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens what [`SecretKey::seal`] made.
    pub fn open(&self, sealed: &[u8], identity: &[u8]) -> Result<Vec<u8>, UnsealError> {
        let (header, ciphertext) =
            sealed.split_at_checked(HEADER_LEN).ok_or(UnsealError::Damaged)?;
        if header[0] != VERSION {
            return Err(UnsealError::Damaged);
        }
        if header[1..=KEY_ID_LEN] != self.id {
            return Err(UnsealError::OtherKey);
        }
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&header[1 + KEY_ID_LEN..]);
        self.cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: identity })
            .map_err(|_| UnsealError::Damaged)
    }
}

/// Random bytes from the system's generator.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{SecretKey, UnsealError};

    #[test]
    fn a_sealed_value_opens_only_with_its_key_and_identity() {
        let key = SecretKey::random();
        let sealed = key.seal(b"hunter2", b"row 1");
        assert_eq!(key.open(&sealed, b"row 1").unwrap(), b"hunter2");
        assert_eq!(key.open(&sealed, b"row 2"), Err(UnsealError::Damaged));
        assert_eq!(SecretKey::random().open(&sealed, b"row 1"), Err(UnsealError::OtherKey));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let key = SecretKey::random();
        let sealed = key.seal(b"hunter2", b"row 1");
        for at in 0..sealed.len() {
            assert!(key.open(&sealed[..at], b"row 1").is_err(), "cut at {at}");
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(&changed, b"row 1").is_err(), "changed at {at}");
        }
    }
}
