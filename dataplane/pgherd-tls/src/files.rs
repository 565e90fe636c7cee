//! Certificates and keys in PEM form, from files or from the settings themselves.

use std::fs;
use std::io;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use pgherd_config::is_pem;

use crate::TlsError;

/// More than any chain or bundle of CAs has; `/dev/zero` and the like end here.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What one setting gave, and the name by which errors call it.
pub(crate) struct Pem {
    setting: &'static str,
    /// The path, or what stands for it.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

impl Pem {
    /// Reads what a setting names, or holds.
    pub(crate) fn read(setting: &'static str, value: Option<&str>) -> Result<Self, TlsError> {
        let value = value.ok_or(TlsError::Missing { setting })?;
        if is_pem(value) {
            let bytes = value.as_bytes().to_vec();
            return Ok(Self { setting, path: "the text itself".to_owned(), bytes });
        }
        let unreadable = |cause| TlsError::Unreadable { setting, path: value.to_owned(), cause };
        let metadata = fs::metadata(value).map_err(unreadable)?;
        if metadata.len() > MAX_FILE || !metadata.is_file() {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "not a file of sensible size");
            return Err(unreadable(cause));
        }
        let bytes = fs::read(value).map_err(unreadable)?;
        Ok(Self { setting, path: value.to_owned(), bytes })
    }

    /// Every certificate, in order; there is at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match found {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(self.empty("certificate")),
        }
    }

    /// The first private key.
    pub(crate) fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes)
            .map_err(|_| self.empty("private key without a passphrase"))
    }

    /// The certificates as those of CAs.
    pub(crate) fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|cause| self.unusable(cause))?;
        }
        Ok(roots)
    }

    pub(crate) fn unusable(&self, cause: rustls::Error) -> TlsError {
        TlsError::Unusable { setting: self.setting, path: self.path.clone(), cause }
    }

    fn empty(&self, wanted: &'static str) -> TlsError {
        TlsError::Empty { setting: self.setting, path: self.path.clone(), wanted }
    }
}

/// The CAs of the operating system.
pub(crate) fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(TlsError::NoSystemCa) } else { Ok(roots) }
}
