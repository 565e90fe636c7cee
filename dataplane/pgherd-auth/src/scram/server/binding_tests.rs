//! Channel binding: what each side says of it, and what the other makes of that.

use std::sync::Arc;

use expect_test::expect;

use super::super::{Binding, Channel, Verifier, client};
use super::Start;
use crate::AuthError;

fn exchange(binding: Binding, channel: Channel) -> Result<(), AuthError> {
    let verifier = Verifier::derive("pencil", b"0123456789abcdef", 1);
    let (client, first) = client::Start::bound("pencil", "abc", binding);
    let (server, challenge) = Start::new(verifier, true).on(channel).client_first(&first, "def")?;
    let (client, proof) = client.server_first(&challenge)?;
    let (_token, signature) = server.client_final(&proof)?;
    client.server_final(&signature)
}

#[test]
fn each_combination() {
    let end_point: Arc<[u8]> = Arc::from([7; 32]);
    let offered = |chosen| Channel::Bindable { end_point: Arc::clone(&end_point), chosen };
    let bound = |byte| Binding::EndPoint(vec![byte; 32]);
    let mut report = String::new();
    let mut row = |what: &str, binding, channel| {
        let said = match exchange(binding, channel) {
            Ok(()) => "passes".to_owned(),
            Err(error) => format!("{} {}", error.sqlstate(), error.client_message("app")),
        };
        report.push_str(&format!("{what}: {said}\n"));
    };
    row("no TLS", Binding::None, Channel::Unbound);
    row("TLS, not offered", Binding::NotOffered, Channel::Unbound);
    row("offered, not chosen by one who cannot", Binding::None, offered(false));
    row("offered, and the offer was taken away", Binding::NotOffered, offered(false));
    row("bound", bound(7), offered(true));
    row("bound to another certificate", bound(8), offered(true));
    row("chosen, not bound", Binding::None, offered(true));
    row("chosen, said to be not offered", Binding::NotOffered, offered(true));
    row("bound, not chosen", bound(7), offered(false));
    row("bound, not offered", bound(7), Channel::Unbound);
    expect![[r#"
        no TLS: passes
        TLS, not offered: passes
        offered, not chosen by one who cannot: passes
        offered, and the offer was taken away: 28000 SCRAM channel binding negotiation error
        bound: passes
        bound to another certificate: 28000 SCRAM channel binding check failed
        chosen, not bound: 08P01 malformed SCRAM message
        chosen, said to be not offered: 08P01 malformed SCRAM message
        bound, not chosen: 08P01 malformed SCRAM message
        bound, not offered: 08P01 malformed SCRAM message
    "#]]
    .assert_eq(&report);
}

#[test]
fn types_that_nobody_knows() {
    let channel = Channel::Bindable { end_point: Arc::from([7; 32]), chosen: true };
    let said = |message: &[u8]| {
        let verifier = Verifier::derive("pencil", b"0123456789abcdef", 1);
        let start = Start::new(verifier, true).on(channel.clone());
        let error = start.client_first(message, "def").expect_err("no such type");
        error.client_message("app").into_owned()
    };
    expect![[r#"unsupported SCRAM channel-binding type "tls-unique""#]]
        .assert_eq(&said(b"p=tls-unique,,n=,r=abc"));
    expect![[r#"unsupported SCRAM channel-binding type "???xxxxxxxxxxxxxxxxxxxxxxxxxxx""#]]
        .assert_eq(&said(&[b"p=\x01\xff ", &[b'x'; 99][..], b",,n=,r=abc"].concat()));
    expect!["malformed SCRAM message"].assert_eq(&said(b"p=tls-unique"));
    expect!["malformed SCRAM message"].assert_eq(&said(b"ptls-unique,,n=,r=abc"));
}
