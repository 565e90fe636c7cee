//! The client's side: each malformed or hostile message of a server, and the cache of keys.

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::expect;
use proptest::prelude::{any, prop_assert, proptest};

use super::super::{MAX_SERVER_MESSAGE, Verifier, server};
use super::{ServerFinalExpected, Start};
use crate::{AuthError, Fault};

const SALT: &[u8] = b"0123456789abcdef";
const PASSWORD: &str = "pencil";

fn start() -> Start {
    Start::new(PASSWORD, "abc").0
}

/// A client that waits for the server's signature, and the signature that it waits for.
fn waiting(cached: Option<Arc<super::ClientKeys>>) -> (ServerFinalExpected, Vec<u8>) {
    let verifier = Verifier::derive(PASSWORD, SALT, 3);
    let (client, client_first) = Start::new(PASSWORD, "abc");
    let server = server::Start::new(verifier, true);
    let (server, server_first) = server.client_first(&client_first, "server").unwrap();
    let (client, client_final) = client.with_keys(cached).server_first(&server_first).unwrap();
    let (_token, server_final) = server.client_final(&client_final).unwrap();
    (client, server_final)
}

fn report(rows: &[&[u8]], outcome: impl Fn(&[u8]) -> Result<(), AuthError>) -> String {
    let mut report = String::new();
    for row in rows {
        let verdict = match outcome(row) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => {
                assert_ne!(error.fault(), Fault::Client, "{error}");
                assert_eq!(error.sqlstate(), "08001");
                error.to_string()
            }
        };
        writeln!(report, "{}\n    {verdict}", row.escape_ascii()).unwrap();
    }
    report
}

#[test]
fn the_first_message_names_no_user() {
    assert_eq!(Start::new(PASSWORD, "abc").1, b"n,,n=,r=abc");
}

#[test]
fn server_first_messages() {
    let rows: &[&[u8]] = &[
        b"r=abcdef,s=c2FsdA==,i=1",
        b"r=abcdef,s=c2FsdA==,i=1,",
        b"",
        b"r=abcdef,s=c2FsdA==,i=1\0",
        b"m=x,r=abcdef,s=c2FsdA==,i=1",
        b"e=other-error",
        b"r=abc,s=c2FsdA==,i=1",
        b"r=abd,s=c2FsdA==,i=1",
        b"r=ab,s=c2FsdA==,i=1",
        b"r=,s=c2FsdA==,i=1",
        b"r=abc\xff,s=c2FsdA==,i=1",
        b"r=abcdef",
        b"r=abcdef,s=,i=1",
        b"r=abcdef,s=c2FsdA,i=1",
        b"r=abcdef,s=c2FsdA==",
        b"r=abcdef,i=1,s=c2FsdA==",
        b"r=abcdef,s=c2FsdA==,i=",
        b"r=abcdef,s=c2FsdA==,i=0",
        b"r=abcdef,s=c2FsdA==,i=-1",
        b"r=abcdef,s=c2FsdA==,i=+1",
        b"r=abcdef,s=c2FsdA==,i=1x",
        b"r=abcdef,s=c2FsdA==,i=1000001",
        b"r=abcdef,s=c2FsdA==,i=4294967297",
        b"r=abcdef,s=c2FsdA==,i=99999999999999999999",
        b"r=abcdef,s=c2FsdA==,i=1,x=1",
    ];
    expect![[r#"
        r=abcdef,s=c2FsdA==,i=1
            accepted
        r=abcdef,s=c2FsdA==,i=1,
            accepted

            malformed server-first-message: it is empty
        r=abcdef,s=c2FsdA==,i=1\x00
            malformed server-first-message: it contains a zero byte
        m=x,r=abcdef,s=c2FsdA==,i=1
            server-first-message requires a SCRAM extension, and none is supported
        e=other-error
            malformed server-first-message: attribute "r" expected
        r=abc,s=c2FsdA==,i=1
            the nonce in server-first-message does not belong to this exchange
        r=abd,s=c2FsdA==,i=1
            the nonce in server-first-message does not belong to this exchange
        r=ab,s=c2FsdA==,i=1
            the nonce in server-first-message does not belong to this exchange
        r=,s=c2FsdA==,i=1
            malformed server-first-message: the nonce is empty or contains characters that are not printable ASCII
        r=abc\xff,s=c2FsdA==,i=1
            malformed server-first-message: the nonce is empty or contains characters that are not printable ASCII
        r=abcdef
            malformed server-first-message: attribute "s" expected
        r=abcdef,s=,i=1
            malformed server-first-message: attribute "s" has a wrong length
        r=abcdef,s=c2FsdA,i=1
            malformed server-first-message: attribute "s" is not base64
        r=abcdef,s=c2FsdA==
            malformed server-first-message: attribute "i" expected
        r=abcdef,i=1,s=c2FsdA==
            malformed server-first-message: attribute "s" expected
        r=abcdef,s=c2FsdA==,i=
            malformed server-first-message: attribute "i" is not a number
        r=abcdef,s=c2FsdA==,i=0
            the server asks for 0 iterations; 1 to 1000000 are allowed
        r=abcdef,s=c2FsdA==,i=-1
            malformed server-first-message: attribute "i" is not a number
        r=abcdef,s=c2FsdA==,i=+1
            malformed server-first-message: attribute "i" is not a number
        r=abcdef,s=c2FsdA==,i=1x
            malformed server-first-message: attribute "i" is not a number
        r=abcdef,s=c2FsdA==,i=1000001
            the server asks for 1000001 iterations; 1 to 1000000 are allowed
        r=abcdef,s=c2FsdA==,i=4294967297
            the server asks for 4294967297 iterations; 1 to 1000000 are allowed
        r=abcdef,s=c2FsdA==,i=99999999999999999999
            malformed server-first-message: attribute "i" is not a number
        r=abcdef,s=c2FsdA==,i=1,x=1
            malformed server-first-message: something follows its last attribute
    "#]].assert_eq(&report(rows, |row| start().server_first(row).map(|_| ())));
}

#[test]
fn server_final_messages_that_are_refused() {
    let rows: &[&[u8]] = &[
        b"",
        b"v",
        b"v=",
        b"v=AAAA",
        b"v=*",
        b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,x=1",
        b"p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        b"e=invalid-proof",
        b"e=<script>",
        b"e=",
        b"e",
    ];
    let (client, _) = waiting(None);
    let keys = client.keys();
    expect![[r#"

            malformed server-final-message: it is empty
        v
            malformed server-final-message: "=" expected after the name of attribute "v"
        v=
            malformed server-final-message: attribute "v" has a wrong length
        v=AAAA
            malformed server-final-message: attribute "v" has a wrong length
        v=*
            malformed server-final-message: attribute "v" is not base64
        v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            the server's signature is wrong: it does not know the password
        v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,x=1
            malformed server-final-message: something follows its last attribute
        p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
            malformed server-final-message: attribute "v" expected
        e=invalid-proof
            the server refused the exchange: invalid-proof
        e=<script>
            the server refused the exchange: other-error
        e=
            the server refused the exchange: other-error
        e
            malformed server-final-message: "=" expected after the name of attribute "e"
    "#]]
    .assert_eq(&report(rows, |row| waiting(Some(Arc::clone(&keys))).0.server_final(row)));
}

#[test]
fn messages_of_the_server_are_bounded() {
    let long = vec![b'x'; MAX_SERVER_MESSAGE + 1];
    assert_eq!(start().server_first(&long).unwrap_err().kind(), "too_long");
    let error = waiting(None).0.server_final(&long).unwrap_err();
    assert_eq!((error.kind(), error.fault()), ("too_long", Fault::Server));
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let (client, right) = waiting(None);
    client.server_final(&right).unwrap();
    // The signature of an exchange with other nonces.
    let (other, client_first) = Start::new(PASSWORD, "xyz");
    let impostor = server::Start::new(Verifier::derive(PASSWORD, SALT, 3), true);
    let (_, server_first) = impostor.client_first(&client_first, "server").unwrap();
    let (other, _) = other.server_first(&server_first).unwrap();
    assert_eq!(other.server_final(&right), Err(AuthError::ServerSignature));
}

#[test]
fn kept_keys_are_used_where_they_fit_and_only_there() {
    let (first, signature) = waiting(None);
    let keys = first.keys();
    first.server_final(&signature).unwrap();

    let (second, signature) = waiting(Some(Arc::clone(&keys)));
    assert!(Arc::ptr_eq(&second.keys(), &keys), "derived again");
    second.server_final(&signature).unwrap();

    let other_salt = Arc::new(super::ClientKeys::derive(PASSWORD, b"another salt", 3));
    let (third, signature) = waiting(Some(Arc::clone(&other_salt)));
    assert!(!Arc::ptr_eq(&third.keys(), &other_salt), "keys of another salt used");
    third.server_final(&signature).unwrap();
}

#[test]
fn debug_output_shows_no_secret() {
    let (client, _) = waiting(None);
    assert_eq!(format!("{:?}", start()), "scram::client::Start(***)");
    assert_eq!(format!("{:?}", client.keys()), "ClientKeys(***)");
}

proptest! {
    #[test]
    fn a_signature_with_any_byte_changed_is_refused(at in any::<proptest::sample::Index>(), to: u8) {
        let (client, mut signature) = waiting(None);
        let at = at.index(signature.len());
        if signature[at] != to {
            signature[at] = to;
            prop_assert!(client.server_final(&signature).is_err());
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_pass(
        first in "(r=(abc)?[^,]{0,4},?)?(s=[A-Za-z]{0,8}=?,?)?(i=[0-9]{0,3})?([a-z]=.{0,3},?){0,2}",
        last in "([ev]=[A-Za-z]{0,44}=?)?(,[a-z]=.{0,3}){0,2}",
        noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for message in [first.as_bytes(), &noise] {
            let _ = start().server_first(message);
        }
        for message in [last.as_bytes(), &noise] {
            prop_assert!(waiting(None).0.server_final(message).is_err());
        }
    }
}
