//! Rules for passwords and SCRAM verifiers.

use pgherd_auth::scram::Verifier;

use crate::{Secret, User};

use super::{Findings, rule::Rule};

/// Checks what clients are checked against.
pub(super) fn check(password: &Secret, pointer: &str, findings: &mut Findings) {
    if password.expose().is_empty() {
        findings.reject(pointer, Rule::PasswordEmpty);
    } else if password.is_masked() {
        findings.reject(pointer, Rule::PasswordMasked);
    } else if is_md5_hash(password) {
        findings.reject(pointer, Rule::Md5Hash);
    } else if password.is_verifier() && !parses_as_verifier(password) {
        findings.reject(pointer, Rule::VerifierMalformed);
    }
}

/// Checks that the proxy has something to log in to the instances with.
pub(super) fn check_for_server(user: &User, pointer: &str, findings: &mut Findings) {
    let own = format!("{pointer}/server_password");
    match &user.server_password {
        None if user.password.is_verifier() => {
            findings.reject(pointer, Rule::ServerPasswordMissing)
        }
        None => {}
        Some(password) if password.is_verifier() => {
            findings.reject(own, Rule::ServerPasswordIsVerifier);
        }
        Some(password) if password.expose().is_empty() => findings.reject(own, Rule::PasswordEmpty),
        Some(password) if password.is_masked() => findings.reject(own, Rule::PasswordMasked),
        Some(password) if is_md5_hash(password) => findings.reject(own, Rule::Md5Hash),
        Some(_) => {}
    }
}

fn parses_as_verifier(password: &Secret) -> bool {
    password.expose().parse::<Verifier>().is_ok()
}

/// Postgres takes `md5` and 32 hexadecimal digits for a hash, never for a password.
fn is_md5_hash(password: &Secret) -> bool {
    password.expose().strip_prefix("md5").is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
