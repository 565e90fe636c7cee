//! Verifiers: text form, derivation, and what is refused.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::super::{DEFAULT_ITERATIONS, MAX_ITERATIONS, MAX_SALT};
use super::{InvalidVerifier, Verifier};
use crate::{AuthError, Method};

const SALT: &[u8] = b"0123456789abcdef";

/// Made by Postgres 15 (`CREATE ROLE … PASSWORD …`): the password in hexadecimal, a tab, and
/// `rolpassword`. The passwords are those where SASLprep has something to say: mapped, prohibited,
/// unassigned, bidirectional, decomposed, and combinations.
const POSTGRES_15: &str = include_str!("postgres15.tsv");

#[test]
fn a_password_gives_the_verifier_that_postgres_gives_it() {
    let mut different = Vec::new();
    for line in POSTGRES_15.lines() {
        let (hex, stored) = line.split_once('\t').expect("two columns");
        let password = String::from_utf8(unhex(hex)).expect("UTF-8");
        let verifier: Verifier = stored.parse().expect("a verifier of Postgres");
        let ours = Verifier::derive(&password, verifier.salt(), verifier.iterations());
        if ours.to_string() != stored {
            different.push(password.escape_unicode().to_string());
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[test]
fn a_verifier_survives_its_text_form() {
    let text = Verifier::derive("pencil", SALT, DEFAULT_ITERATIONS).to_string();
    assert_eq!(text.parse::<Verifier>().unwrap().to_string(), text);
}

#[track_caller]
fn refused(expected: &Expect, texts: &[&str]) {
    let mut report = String::new();
    for text in texts {
        let verdict = match text.parse::<Verifier>() {
            Ok(_) => "accepted".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        writeln!(report, "{verdict}: {text:?}").unwrap();
    }
    expected.assert_eq(&report);
}

#[test]
fn what_is_not_a_verifier_is_refused_with_the_part_that_is_wrong() {
    let key = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=";
    let short = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4g==";
    let rows = [
        format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}"),
        String::new(),
        "secret".to_owned(),
        "SCRAM-SHA-256".to_owned(),
        format!("SCRAM-SHA-1$4096:c2FsdA==${key}:{key}"),
        format!("scram-sha-256$4096:c2FsdA==${key}:{key}"),
        "SCRAM-SHA-256$".to_owned(),
        "SCRAM-SHA-256$4096:c2FsdA==".to_owned(),
        format!("SCRAM-SHA-256$4096${key}:{key}"),
        format!("SCRAM-SHA-256$4096:c2FsdA==${key}"),
        format!("SCRAM-SHA-256$:c2FsdA==${key}:{key}"),
        format!("SCRAM-SHA-256$0:c2FsdA==${key}:{key}"),
        format!("SCRAM-SHA-256$+4:c2FsdA==${key}:{key}"),
        format!("SCRAM-SHA-256$-4:c2FsdA==${key}:{key}"),
        format!("SCRAM-SHA-256$1000001:c2FsdA==${key}:{key}"),
        format!("SCRAM-SHA-256$99999999999999999999:c2FsdA==${key}:{key}"),
        format!("SCRAM-SHA-256$4096:${key}:{key}"),
        format!("SCRAM-SHA-256$4096:c2FsdA=${key}:{key}"),
        format!("SCRAM-SHA-256$4096:c2FsdA==${short}:{key}"),
        format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{short}"),
        format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}\n"),
        format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}:{key}"),
        format!("SCRAM-SHA-256$4096:c2FsdA==$é:{key}"),
    ];
    refused(
        &expect![[r#"
            accepted: "SCRAM-SHA-256$4096:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Mechanism: ""
            Mechanism: "secret"
            Mechanism: "SCRAM-SHA-256"
            Mechanism: "SCRAM-SHA-1$4096:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Mechanism: "scram-sha-256$4096:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Shape: "SCRAM-SHA-256$"
            Shape: "SCRAM-SHA-256$4096:c2FsdA=="
            Shape: "SCRAM-SHA-256$4096$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Shape: "SCRAM-SHA-256$4096:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Iterations: "SCRAM-SHA-256$:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Iterations: "SCRAM-SHA-256$0:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Iterations: "SCRAM-SHA-256$+4:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Iterations: "SCRAM-SHA-256$-4:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Iterations: "SCRAM-SHA-256$1000001:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Iterations: "SCRAM-SHA-256$99999999999999999999:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Salt: "SCRAM-SHA-256$4096:$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            Salt: "SCRAM-SHA-256$4096:c2FsdA=$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            StoredKey: "SCRAM-SHA-256$4096:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4g==:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            ServerKey: "SCRAM-SHA-256$4096:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4g=="
            ServerKey: "SCRAM-SHA-256$4096:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=\n"
            ServerKey: "SCRAM-SHA-256$4096:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            StoredKey: "SCRAM-SHA-256$4096:c2FsdA==$é:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        "#]],
        &rows.each_ref().map(String::as_str),
    );
}

#[test]
fn iterations_and_salt_are_taken_up_to_their_limits() {
    let key = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=";
    let verifier = |iterations: u32, salt: usize| {
        use base64::prelude::{BASE64_STANDARD, Engine};
        let salt = BASE64_STANDARD.encode(vec![7; salt]);
        format!("SCRAM-SHA-256${iterations}:{salt}${key}:{key}").parse::<Verifier>()
    };
    assert!(verifier(MAX_ITERATIONS, MAX_SALT).is_ok());
    assert!(verifier(1, 1).is_ok());
    assert_eq!(verifier(1, MAX_SALT + 1).unwrap_err(), InvalidVerifier::Salt);
}

#[test]
fn a_cleartext_password_is_checked_against_a_verifier() {
    let verifier = Verifier::derive("pencil", SALT, 1);
    assert_eq!(verifier.check_password(b"pencil").unwrap().method(), Method::Cleartext);
    for wrong in [&b"Pencil"[..], b"pencil ", b"\xff"] {
        assert_eq!(verifier.check_password(wrong).unwrap_err(), AuthError::WrongPassword);
    }
    assert_eq!(verifier.check_password(b"").unwrap_err(), AuthError::EmptyPassword);
}

#[test]
fn neither_debug_output_nor_errors_show_a_secret() {
    let verifier = Verifier::derive("pencil", SALT, 1);
    assert_eq!(format!("{verifier:?}"), "scram::Verifier(***)");
    let error = "hunter2".parse::<Verifier>().unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
}
