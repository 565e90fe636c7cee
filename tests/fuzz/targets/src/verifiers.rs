//! Stored verifiers, which come with the topology, and passwords and digests that clients send.

use pgherd_auth::{cleartext, md5, scram};

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let stored = input.text();
    if let Ok(verifier) = stored.parse::<scram::Verifier>() {
        let written = verifier.to_string();
        let again: scram::Verifier = written.parse().expect("what is written can be read");
        assert_eq!(again.to_string(), written);
        assert_eq!(again.salt(), verifier.salt());
        assert!((1..=scram::MAX_ITERATIONS).contains(&verifier.iterations()));
        // Nobody knows the password of a verifier that a fuzzer has made up.
        if verifier.iterations() < 100 {
            assert!(verifier.check_password(input.0).is_err());
        }
    }
    if let Ok(verifier) = stored.parse::<md5::Verifier>() {
        assert_eq!(verifier.to_string(), stored);
        let salt = [1, 2, 3, 4];
        let right = verifier.response(salt);
        assert_eq!(verifier.check(salt, input.0).is_ok(), input.0 == right.as_bytes());
        assert!(verifier.check(salt, right.as_bytes()).is_ok());
    }
    assert!(cleartext::check(&stored, input.0).is_err() || stored.as_bytes() == input.0);
}
