//! The random part of an exchange.

use base64::prelude::{BASE64_STANDARD, Engine};

/// Raw bytes in a nonce, as many as Postgres uses (`SCRAM_RAW_NONCE_LEN`).
const RAW_LEN: usize = 18;

/// A nonce for either side of a SCRAM exchange: 24 printable characters, none of them a comma.
///
/// The generator must be cryptographically secure: whoever guesses a nonce can replay an exchange.
pub fn nonce(rng: &mut impl rand::Rng) -> String {
    let mut raw = [0; RAW_LEN];
    rng.fill_bytes(&mut raw);
    BASE64_STANDARD.encode(raw)
}

#[cfg(test)]
mod tests {
    use super::nonce;

    #[test]
    fn a_nonce_is_printable_free_of_commas_and_new_each_time() {
        let mut rng = rand::rng();
        let nonces: std::collections::HashSet<_> = (0..100).map(|_| nonce(&mut rng)).collect();
        assert_eq!(nonces.len(), 100);
        for nonce in nonces {
            assert_eq!(nonce.len(), 24);
            assert!(nonce.bytes().all(|b| b.is_ascii_graphic() && b != b','));
        }
    }
}
