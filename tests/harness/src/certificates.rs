//! A CA of a test's own, and what it has signed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::scratch::Scratch;

/// A CA. Everything lies in files that vanish with it.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    scratch: Scratch,
}

/// A certificate and its key in files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one.
    pub fn new() -> Result<Self> {
        let scratch = Scratch::new("ca")?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        // Two of the same name would be taken for one, with a broken signature.
        let name = format!("pgherd's test CA {}", scratch.path().display());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        scratch.write("ca.crt", &pem)?;
        Ok(Self { issuer: Issuer::new(params, key), pem, scratch })
    }

    /// Its own certificate.
    pub fn path(&self) -> PathBuf {
        self.scratch.path().join("ca.crt")
    }

    /// The directory with its files.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// A certificate for 127.0.0.1 and localhost.
    pub fn server(&self, file: &str) -> Result<Certificate> {
        self.issue(file, "localhost", &["127.0.0.1", "localhost"])
    }

    /// A certificate for other names; without any only its common name says whose it is.
    pub fn issue(&self, file: &str, common_name: &str, names: &[&str]) -> Result<Certificate> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        let cert = self.scratch.write(&format!("{file}.crt"), &cert)?;
        let key = self.scratch.write(&format!("{file}.key"), &key.serialize_pem())?;
        // libpq insists.
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Certificate { cert, key })
    }

    /// A certificate for 127.0.0.1 that is its own CA, as `openssl req -x509` makes it.
    pub fn self_signed(&self, file: &str) -> Result<Certificate> {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "127.0.0.1");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let cert = self.scratch.write(&format!("{file}.crt"), &params.self_signed(&key)?.pem())?;
        let key = self.scratch.write(&format!("{file}.key"), &key.serialize_pem())?;
        Ok(Certificate { cert, key })
    }

    /// What a client needs that trusts this CA, says `postgresql` in ALPN if `alpn`, and shows a
    /// certificate if one is given.
    pub fn client(&self, alpn: bool, shown: Option<&Certificate>) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => builder.with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&shown.cert)?],
                PrivateKeyDer::from_pem_file(&shown.key)?,
            )?,
        };
        if alpn {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Arc::new(config))
    }
}
