//! The server's side: the RFC's example, each malformed message, and changed proofs.

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use proptest::prelude::{any, prop_assert, prop_assert_ne, proptest};

use super::super::{ClientKeys, MAX_CLIENT_MESSAGE, Verifier, client};
use super::{Start, mock_verifier, stable_salt};
use crate::{AuthError, Fault, Method};

const SALT: &[u8] = b"0123456789abcdef";
const SERVER_NONCE: &str = "server";

fn verifier() -> Arc<Verifier> {
    thread_local! {
        static VERIFIER: Arc<Verifier> = Arc::new(Verifier::derive("pencil", SALT, 1));
    }
    VERIFIER.with(Arc::clone)
}

fn start() -> Start {
    Start::new(verifier(), true)
}

/// RFC 7677, section 3.
#[test]
fn the_example_of_the_rfc_passes() {
    const AUTH_MESSAGE: &[u8] = b"n=user,r=rOprNGfwEbeRWgbNEkqO,\
        r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
        c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
    let verifier = Verifier::derive("pencil", salt, 4096);

    let (next, server_first) = Start::new(verifier, true)
        .client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
        .unwrap();
    assert_eq!(
        String::from_utf8(server_first).unwrap(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let (token, server_final) = next
        .client_final(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
              p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        )
        .unwrap();
    assert_eq!(token.method(), Method::ScramSha256);
    assert_eq!(server_final, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");

    // The client's half of the same example; ours sends no user name, so its keys are asked.
    use base64::prelude::{BASE64_STANDARD, Engine};
    let proof = ClientKeys::derive("pencil", salt, 4096).proof(AUTH_MESSAGE);
    assert_eq!(BASE64_STANDARD.encode(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
}

fn report(rows: &[&[u8]], outcome: impl Fn(&[u8]) -> Result<String, AuthError>) -> String {
    let mut report = String::new();
    for row in rows {
        let verdict = match outcome(row) {
            Ok(reply) => format!("-> {reply}"),
            Err(error) => format!("{} {error}", error.sqlstate()),
        };
        writeln!(report, "{}\n    {verdict}", row.escape_ascii()).unwrap();
    }
    report
}

#[track_caller]
fn check_first(expected: &Expect, rows: &[&[u8]]) {
    let report = report(rows, |row| {
        let (_, server_first) = start().client_first(row, SERVER_NONCE)?;
        Ok(String::from_utf8(server_first).unwrap())
    });
    expected.assert_eq(&report);
}

#[test]
fn client_first_messages_that_are_accepted() {
    check_first(
        &expect![[r#"
            n,,n=,r=abc
                -> r=abcserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1
            y,,n=,r=abc
                -> r=abcserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1
            n,,n=user,r=abc
                -> r=abcserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1
            n,,n=\xff\xfe,r=abc
                -> r=abcserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1
            n,,n=,r=abc,x=1,y=
                -> r=abcserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1
            n,,n=,r=abc,
                -> r=abcserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1
            n,,n=,r==
                -> r==server,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1
        "#]],
        &[
            b"n,,n=,r=abc",
            b"y,,n=,r=abc",
            b"n,,n=user,r=abc",
            b"n,,n=\xff\xfe,r=abc",
            b"n,,n=,r=abc,x=1,y=",
            b"n,,n=,r=abc,",
            b"n,,n=,r==",
        ],
    );
}

#[test]
fn client_first_messages_that_are_refused() {
    check_first(
        &expect![[r#"

                08P01 malformed client-first-message: it is empty
            \x00
                08P01 malformed client-first-message: it contains a zero byte
            n
                08P01 malformed client-first-message: a comma expected after the channel binding flag and after the empty identity
            n,
                08P01 malformed client-first-message: a comma expected after the channel binding flag and after the empty identity
            n,,
                08P01 malformed client-first-message: attribute "n" expected
            N,,n=,r=abc
                08P01 malformed client-first-message: the channel binding flag is none of n, y and p
            x,,n=,r=abc
                08P01 malformed client-first-message: the channel binding flag is none of n, y and p
            n;,n=,r=abc
                08P01 malformed client-first-message: a comma expected after the channel binding flag and after the empty identity
            n,;n=,r=abc
                08P01 malformed client-first-message: a comma expected after the channel binding flag and after the empty identity
            n,a=admin,n=,r=abc
                0A000 the client sent an authorization identity, which Postgres does not support
            p=tls-server-end-point,,n=,r=abc
                08P01 the client chose SCRAM-SHA-256 without channel binding but sent channel binding data
            p,,n=,r=abc
                08P01 the client chose SCRAM-SHA-256 without channel binding but sent channel binding data
            n,,m=x,n=,r=abc
                0A000 client-first-message requires a SCRAM extension, and none is supported
            n,,r=abc
                08P01 malformed client-first-message: attribute "n" expected
            n,,n,r=abc
                08P01 malformed client-first-message: "=" expected after the name of attribute "n"
            n,,n=
                08P01 malformed client-first-message: attribute "r" expected
            n,,n=,
                08P01 malformed client-first-message: attribute "r" expected
            n,,n=,r
                08P01 malformed client-first-message: "=" expected after the name of attribute "r"
            n,,n=,r=
                08P01 malformed client-first-message: the nonce is empty or contains characters that are not printable ASCII
            n,,n=,r= abc
                08P01 malformed client-first-message: the nonce is empty or contains characters that are not printable ASCII
            n,,n=,r=ab\xc3\xa9
                08P01 malformed client-first-message: the nonce is empty or contains characters that are not printable ASCII
            n,,n=,r=abc\x00
                08P01 malformed client-first-message: it contains a zero byte
            n,,n=,r=abc,1=2
                08P01 malformed client-first-message: an attribute expected, with a letter for its name
            n,,n=,r=abc,x
                08P01 malformed client-first-message: "=" expected after the name of attribute "x"
            n,,n=,r=abc,,
                08P01 malformed client-first-message: an attribute expected, with a letter for its name
        "#]],
        &[
            b"",
            b"\0",
            b"n",
            b"n,",
            b"n,,",
            b"N,,n=,r=abc",
            b"x,,n=,r=abc",
            b"n;,n=,r=abc",
            b"n,;n=,r=abc",
            b"n,a=admin,n=,r=abc",
            b"p=tls-server-end-point,,n=,r=abc",
            b"p,,n=,r=abc",
            b"n,,m=x,n=,r=abc",
            b"n,,r=abc",
            b"n,,n,r=abc",
            b"n,,n=",
            b"n,,n=,",
            b"n,,n=,r",
            b"n,,n=,r=",
            b"n,,n=,r= abc",
            b"n,,n=,r=ab\xc3\xa9",
            b"n,,n=,r=abc\0",
            b"n,,n=,r=abc,1=2",
            b"n,,n=,r=abc,x",
            b"n,,n=,r=abc,,",
        ],
    );
}

#[test]
fn client_final_messages_that_are_refused() {
    const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let rows = [
        String::new(),
        "\0".to_owned(),
        "c".to_owned(),
        "c=".to_owned(),
        format!("c=eSws,r=abcserver,p={ZEROS}"),
        format!("c=biws=,r=abcserver,p={ZEROS}"),
        "c=biws".to_owned(),
        "c=biws,r=".to_owned(),
        "c=biws,r=abcserver".to_owned(),
        "c=biws,r=abcserver,".to_owned(),
        "c=biws,r=abcserver,x=1".to_owned(),
        "c=biws,r=abcserver,p".to_owned(),
        "c=biws,r=abcserver,p=".to_owned(),
        "c=biws,r=abcserver,p=AAAA".to_owned(),
        "c=biws,r=abcserver,p=*".to_owned(),
        format!("c=biws,p={ZEROS}"),
        format!("p={ZEROS}"),
        format!("c=biws,r=abcserve,p={ZEROS}"),
        format!("c=biws,r=abcserver2,p={ZEROS}"),
        format!("c=biws,r=abcserver,p={ZEROS},x=1"),
        format!("c=biws,r=abcserver,x=1,p={ZEROS}"),
        format!("c=biws,r=abcserver,p={ZEROS}"),
    ];
    let report = report(&rows.each_ref().map(String::as_bytes), |row| {
        let (next, _) = start().client_first(b"n,,n=,r=abc", SERVER_NONCE)?;
        next.client_final(row).map(|_| "accepted".to_owned())
    });
    expect![[r#"

            08P01 malformed client-final-message: it is empty
        \x00
            08P01 malformed client-final-message: it contains a zero byte
        c
            08P01 malformed client-final-message: "=" expected after the name of attribute "c"
        c=
            08P01 channel binding differs between client-first-message and client-final-message
        c=eSws,r=abcserver,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            08P01 channel binding differs between client-first-message and client-final-message
        c=biws=,r=abcserver,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            08P01 channel binding differs between client-first-message and client-final-message
        c=biws
            08P01 malformed client-final-message: attribute "r" expected
        c=biws,r=
            08P01 malformed client-final-message: the nonce is empty or contains characters that are not printable ASCII
        c=biws,r=abcserver
            08P01 malformed client-final-message: an attribute expected, with a letter for its name
        c=biws,r=abcserver,
            08P01 malformed client-final-message: an attribute expected, with a letter for its name
        c=biws,r=abcserver,x=1
            08P01 malformed client-final-message: an attribute expected, with a letter for its name
        c=biws,r=abcserver,p
            08P01 malformed client-final-message: "=" expected after the name of attribute "p"
        c=biws,r=abcserver,p=
            08P01 malformed client-final-message: attribute "p" has a wrong length
        c=biws,r=abcserver,p=AAAA
            08P01 malformed client-final-message: attribute "p" has a wrong length
        c=biws,r=abcserver,p=*
            08P01 malformed client-final-message: attribute "p" is not base64
        c=biws,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            08P01 malformed client-final-message: attribute "r" expected
        p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            08P01 malformed client-final-message: attribute "c" expected
        c=biws,r=abcserve,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            08P01 the nonce in client-final-message does not belong to this exchange
        c=biws,r=abcserver2,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            08P01 the nonce in client-final-message does not belong to this exchange
        c=biws,r=abcserver,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,x=1
            08P01 malformed client-final-message: something follows its last attribute
        c=biws,r=abcserver,x=1,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            28P01 wrong password or unknown user
        c=biws,r=abcserver,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            28P01 wrong password or unknown user
    "#]].assert_eq(&report);
}

#[test]
fn messages_are_bounded() {
    let message = |nonce: usize| [b"n,,n=,r=".to_vec(), vec![b'x'; nonce]].concat();
    let fits = message(MAX_CLIENT_MESSAGE - 8);
    let (next, _) = start().client_first(&fits, SERVER_NONCE).unwrap();
    let long = vec![b'x'; MAX_CLIENT_MESSAGE + 1];
    assert_eq!(next.client_final(&long).unwrap_err().kind(), "too_long");
    let error = start().client_first(&message(MAX_CLIENT_MESSAGE - 7), SERVER_NONCE).unwrap_err();
    assert_eq!((error.kind(), error.fault()), ("too_long", Fault::Client));
}

/// Runs a whole exchange and gives its outcome.
fn exchange(server: Start, password: &str) -> Result<(), AuthError> {
    let (client, client_first) = client::Start::new(password, "client");
    let (server, server_first) = server.client_first(&client_first, SERVER_NONCE)?;
    let (client, client_final) = client.server_first(&server_first)?;
    let (_token, server_final) = server.client_final(&client_final)?;
    client.server_final(&server_final)
}

#[test]
fn an_unknown_user_gets_the_answer_of_a_wrong_password() {
    let unknown = Start::new(mock_verifier(b"secret", "nobody"), false);
    assert_eq!(exchange(unknown, "pencil"), Err(AuthError::WrongPassword));
    // A user that is known but may not log in, with the right password.
    assert_eq!(exchange(Start::new(verifier(), false), "pencil"), Err(AuthError::WrongPassword));
    assert_eq!(exchange(start(), "Pencil"), Err(AuthError::WrongPassword));
    assert_eq!(exchange(start(), "pencil"), Ok(()));
}

#[test]
fn the_same_user_gets_the_same_salt_each_time() {
    let salt = |secret: &[u8], user: &str| mock_verifier(secret, user).salt().to_vec();
    assert_eq!(salt(b"secret", "nobody"), salt(b"secret", "nobody"));
    assert_eq!(salt(b"secret", "nobody"), stable_salt(b"secret", "nobody"));
    assert_ne!(salt(b"secret", "nobody"), salt(b"secret", "somebody"));
    assert_ne!(salt(b"secret", "nobody"), salt(b"other secret", "nobody"));
}

proptest! {
    #[test]
    fn the_right_password_passes_and_no_other(
        password in ".{1,20}",
        other in ".{1,20}",
        salt in proptest::collection::vec(any::<u8>(), 1..=64),
        iterations in 1_u32..10,
    ) {
        let verifier = Arc::new(Verifier::derive(&password, &salt, iterations));
        let right = exchange(Start::new(Arc::clone(&verifier), true), &password);
        prop_assert!(right.is_ok(), "{right:?}");
        if Verifier::derive(&other, &salt, iterations).to_string() != verifier.to_string() {
            let wrong = exchange(Start::new(verifier, true), &other);
            prop_assert!(wrong == Err(AuthError::WrongPassword), "{wrong:?}");
        }
    }

    #[test]
    fn a_proof_message_with_any_byte_changed_is_refused(at in any::<proptest::sample::Index>(), to: u8) {
        let (client, client_first) = client::Start::new("pencil", "client");
        let (server, server_first) = start().client_first(&client_first, SERVER_NONCE).unwrap();
        let (_, mut client_final) = client.server_first(&server_first).unwrap();
        let at = at.index(client_final.len());
        if client_final[at] != to {
            client_final[at] = to;
            prop_assert!(server.client_final(&client_final).is_err());
        }
    }

    #[test]
    fn a_proof_is_worth_nothing_in_another_exchange(nonce in "[!-+\\--~]{1,30}") {
        let (client, client_first) = client::Start::new("pencil", "client");
        let (_, server_first) = start().client_first(&client_first, SERVER_NONCE).unwrap();
        let (_, client_final) = client.server_first(&server_first).unwrap();
        let (later, other_first) = start().client_first(&client_first, &nonce).unwrap();
        if nonce != SERVER_NONCE {
            prop_assert_ne!(other_first, server_first);
            prop_assert!(later.client_final(&client_final).is_err());
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_pass(
        first in "(n,,|y,,|p=x,,|n,a=b,)?(n=[^,]{0,3},?)?(r=[^,]{0,5},?)?([a-z]=.{0,3},?){0,3}",
        last in "(c=(biws|eSws|[A-Z]{4}),?)?(r=abcserver|r=[^,]{0,5})?(,[a-z]=.{0,3}){0,3}(,p=[A-Za-z]{0,44}=?)?",
        noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for message in [first.as_bytes(), &noise] {
            let _ = start().client_first(message, SERVER_NONCE);
        }
        for message in [last.as_bytes(), &noise] {
            let (next, _) = start().client_first(b"n,,n=,r=abc", SERVER_NONCE).unwrap();
            prop_assert!(next.client_final(message).is_err());
        }
    }
}
