//! Certificates that the other end shows, as far as the proxy reads them itself.

use pgherd_tls::{common_name, end_point};
use rustls::pki_types::CertificateDer;

pub(crate) fn run(data: &[u8]) {
    let certificate = CertificateDer::from(data);
    if let Some(hash) = end_point(&certificate) {
        assert!(matches!(hash.len(), 32 | 48 | 64));
    }
    if let Some(name) = common_name(&certificate) {
        assert!(!name.contains('\0') && name.len() < data.len());
    }
}
