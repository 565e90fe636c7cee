//! Checks the certificates of instances, by the rules of libpq's `sslmode`.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::certificate::{common_name, has_alternative_names};

/// Whose certificates are taken.
#[derive(Debug)]
pub(crate) enum Trust {
    /// `prefer` and `require`: anyone's, as nobody promised to look.
    Anyone,
    /// `verify-ca` and `verify-full`.
    Signed {
        roots: RootCertStore,
        /// The certificates in the CA file themselves: an instance may show one of them. That is
        /// how Postgres with a self-signed certificate is mostly set up, whose `CA:TRUE` webpki
        /// would refuse for a server.
        pinned: Vec<CertificateDer<'static>>,
        identity: Identity,
    },
}

/// Whether the certificate must be for the host that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Any,
    Host,
}

#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    pub(crate) fn signed(
        roots: RootCertStore,
        pinned: Vec<CertificateDer<'static>>,
        identity: Identity,
    ) -> Self {
        Self::Signed { roots, pinned, identity }
    }
}

impl Verifier {
    pub(crate) fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Trust::Signed { roots, pinned, identity } = &self.trust {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            if pinned.contains(end_entity) {
                check_validity(end_entity, now)?;
            } else {
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    roots,
                    intermediates,
                    now,
                    self.algorithms.all,
                )?;
            }
            if *identity == Identity::Host {
                verify_server_name(&parsed, server_name).or_else(|error| {
                    match is_common_name(end_entity, server_name) {
                        true => Ok(()),
                        false => Err(error),
                    }
                })?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate without alternative names has the host for its common name, as those of
/// the Postgres manual's example. webpki does not look there, libpq does (RFC 6125, section 6.4.4).
fn is_common_name(certificate: &CertificateDer<'_>, host: &ServerName<'_>) -> bool {
    if has_alternative_names(certificate) {
        return false;
    }
    let Some(name) = common_name(certificate) else { return false };
    let host = host.to_str();
    if name.eq_ignore_ascii_case(&host) {
        return true;
    }
    // A star stands for one label, the first one, and never for a part of an address.
    let labels = (name.strip_prefix("*."), host.split_once('.'));
    let (Some(parent), Some((label, rest))) = labels else { return false };
    host.parse::<std::net::IpAddr>().is_err()
        && !label.is_empty()
        && parent.contains('.')
        && parent.eq_ignore_ascii_case(rest)
}

/// What webpki would have checked on the way to an anchor.
fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = Certificate::from_der(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let validity = parsed.tbs_certificate().validity();
    let seconds = now.as_secs();
    if seconds < validity.not_before.to_unix_duration().as_secs() {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if seconds > validity.not_after.to_unix_duration().as_secs() {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[track_caller]
    fn check(name: &str, alternative: &[&str], host: &str, expected: bool) {
        let alternative: Vec<String> = alternative.iter().map(|&it| it.to_owned()).collect();
        let mut params = CertificateParams::new(alternative).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let host = ServerName::try_from(host.to_owned()).unwrap();
        assert_eq!(is_common_name(certificate.der(), &host), expected, "{name} for {host:?}");
    }

    #[test]
    fn the_common_name_counts_where_there_is_nothing_better() {
        check("db.example.com", &[], "db.example.com", true);
        check("db.example.com", &[], "DB.example.com", true);
        check("db.example.com", &[], "example.com", false);
        check("db.example.com", &["other.example.com"], "db.example.com", false);
        check("*.example.com", &[], "db.example.com", true);
        check("*.example.com", &[], "a.db.example.com", false);
        check("*.example.com", &[], "example.com", false);
        check("*.com", &[], "example.com", false);
        check("10.0.0.1", &[], "10.0.0.1", true);
        check("*.0.0.1", &[], "10.0.0.1", false);
    }
}
