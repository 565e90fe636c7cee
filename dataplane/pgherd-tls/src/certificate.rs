//! What is read from a certificate beyond what rustls needs.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Decode, Encode, Tag, Tagged};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// Signature algorithms with the hash that they use: RFC 3279, RFC 4055, RFC 5758.
const WITH_SHA256: &[&str] = &[
    // MD5 and SHA-1 count as SHA-256 (RFC 5929, section 4.1).
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.2.840.10045.4.1",
    "1.2.840.113549.1.1.11",
    "1.2.840.10045.4.3.2",
];
const WITH_SHA384: &[&str] = &["1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3"];
const WITH_SHA512: &[&str] = &["1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4"];

/// Hashes that the parameters of RSA-PSS name.
const SHA1: &str = "1.3.14.3.2.26";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const SHA384: &str = "2.16.840.1.101.3.4.2.2";
const SHA512: &str = "2.16.840.1.101.3.4.2.3";

enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The `tls-server-end-point` channel binding of a server's certificate (RFC 5929): its hash, with
/// the algorithm of its signature. `None` where none is defined, as for Ed25519.
pub fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    Some(match hash_of(&parsed)? {
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

fn hash_of(certificate: &Certificate) -> Option<Hash> {
    let algorithm = certificate.signature_algorithm();
    let oid = algorithm.oid.to_string();
    let among = |oids: &[&str]| oids.contains(&oid.as_str());
    if algorithm.oid == RSA_PSS {
        let parameters = algorithm.parameters.as_ref()?.to_der().ok()?;
        let hash = pss_hash(&parameters)?.to_string();
        return match hash.as_str() {
            SHA1 | SHA256 => Some(Hash::Sha256),
            SHA384 => Some(Hash::Sha384),
            SHA512 => Some(Hash::Sha512),
            _ => None,
        };
    }
    if among(WITH_SHA256) {
        Some(Hash::Sha256)
    } else if among(WITH_SHA384) {
        Some(Hash::Sha384)
    } else if among(WITH_SHA512) {
        Some(Hash::Sha512)
    } else {
        None
    }
}

/// RSASSA-PSS-params begin with `[0] { AlgorithmIdentifier }`; left out, it is SHA-1 (RFC 4055).
fn pss_hash(parameters: &[u8]) -> Option<ObjectIdentifier> {
    let sha1 = || ObjectIdentifier::new(SHA1).ok();
    let sequence = AnyRef::from_der(parameters).ok()?;
    let Ok((first, _)) = AnyRef::from_der_partial(sequence.value()) else { return sha1() };
    if first.tag().number().value() != 0 || !first.tag().is_context_specific() {
        return sha1();
    }
    let algorithm = AnyRef::from_der(first.value()).ok()?;
    let (oid, _) = ObjectIdentifier::from_der_partial(algorithm.value()).ok()?;
    Some(oid)
}

/// The common name of a certificate's subject, the last one when there are several, as in
/// Postgres. `None` when there is none, or one with a zero byte in it.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let subject = parsed.tbs_certificate().subject();
    let last = subject.iter().filter(|attribute| attribute.oid == COMMON_NAME).last()?;
    let value = AnyRef::from(&last.value);
    let text = match value.tag() {
        Tag::Utf8String => Utf8StringRef::try_from(value).ok()?.as_str().to_owned(),
        Tag::PrintableString => PrintableStringRef::try_from(value).ok()?.as_str().to_owned(),
        _ => String::from_utf8(value.value().to_vec()).ok()?,
    };
    (!text.contains('\0')).then_some(text)
}

/// Whether a certificate has a subject alternative name, or one that cannot be read.
pub(crate) fn has_alternative_names(certificate: &CertificateDer<'_>) -> bool {
    const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
    let Ok(parsed) = Certificate::from_der(certificate) else { return true };
    let mut extensions = parsed.tbs_certificate().extensions().into_iter().flatten();
    extensions.any(|extension| extension.extn_id == SUBJECT_ALT_NAME)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    type Hash = fn(&[u8]) -> Vec<u8>;

    /// Made with `openssl req -x509`; only what is read here matters.
    #[track_caller]
    fn check(pem: &str, hash: Option<Hash>, name: Option<&str>) {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(end_point(&certificate), hash.map(|hash| hash(&certificate)));
        assert_eq!(common_name(&certificate).as_deref(), name);
    }

    #[test]
    fn the_hash_is_that_of_the_signature_and_the_last_common_name_counts() {
        let sha256: Hash = |bytes| Sha256::digest(bytes).to_vec();
        let sha384: Hash = |bytes| Sha384::digest(bytes).to_vec();
        let sha512: Hash = |bytes| Sha512::digest(bytes).to_vec();
        check(include_str!("certificate/sha1.pem"), Some(sha256), Some("app"));
        check(include_str!("certificate/ecdsa-sha384.pem"), Some(sha384), Some("app"));
        check(include_str!("certificate/pss-sha512.pem"), Some(sha512), Some("app user"));
        check(include_str!("certificate/ed25519.pem"), None, None);
    }

    #[test]
    fn what_is_no_certificate_gives_nothing() {
        for bytes in [&[][..], b"0", &[0x30, 0x80], &[0xff; 40]] {
            let certificate = CertificateDer::from(bytes);
            assert_eq!((end_point(&certificate), common_name(&certificate)), (None, None));
        }
    }
}
