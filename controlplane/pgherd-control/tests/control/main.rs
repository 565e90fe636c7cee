//! The control plane's binary over a real Postgres: how it starts, what it says, how it ends.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod binary;

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use pgherd_harness::postgres::Postgres;
use serde_json::{Value, json};

use crate::binary::{Binary, database};

/// Of nothing that listens.
const NOWHERE: &str = "postgres://app:secret@127.0.0.1:1/control";

#[tokio::test(flavor = "multi_thread")]
async fn rest_the_page_and_grpc_are_on_one_port() {
    let (_postgres, url) = database();
    let binary = Binary::start(&url, &[]);
    let http = reqwest::Client::new();
    let page = http.get(binary.url("/")).send().await.unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("'none'"));
    assert!(page.text().await.unwrap().contains("pgherd"));
    let tokens = binary.tokens();
    let session = http.get(binary.url("/api/v1/session")).bearer_auth(&tokens.admin);
    let session: Value = session.send().await.unwrap().json().await.unwrap();
    assert_eq!((&session["name"], &session["role"]), (&json!("admin"), &json!("admin")));

    // HTTP/2 from the first byte, as proxies speak it.
    let grpc = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let call = async |token: &str| {
        let request = grpc
            .post(binary.url("/pgherd.fleet.v1.Fleet/Connect"))
            .header("content-type", "application/grpc")
            .bearer_auth(token);
        request.send().await.unwrap()
    };
    let refused = call("nonsense").await;
    assert_eq!(refused.headers()["grpc-status"], "16", "unauthenticated");
    let accepted = call(&tokens.proxy).await;
    assert_eq!(accepted.headers()["content-type"], "application/grpc");
    assert!(accepted.headers().get("grpc-status").is_none());
}

#[test]
fn a_term_ends_it_although_streams_are_open() {
    let (_postgres, url) = database();
    let mut binary = Binary::start(&url, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let events = runtime.block_on(async {
        let events = reqwest::Client::new().get(binary.url("/api/v1/events"));
        events.bearer_auth(binary.tokens().admin).send().await.unwrap()
    });
    assert_eq!(events.status(), 200);
    let started = Instant::now();
    let status = binary.term();
    assert_eq!(status.code(), Some(0), "{}", binary.log());
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[test]
fn the_first_tokens_are_written_once_for_the_owner_only() {
    let (_postgres, url) = database();
    let mut binary = Binary::start(&url, &[]);
    let first = binary.tokens();
    let mode = std::fs::metadata(binary.token_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    binary.term();
    let again = binary.start_again(&url);
    assert_eq!(again.tokens().admin, first.admin);
    assert!(!again.log().contains(&first.admin), "tokens do not belong into the log");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let log = Binary::fail(NOWHERE, &["--listen", &address]);
    assert!(log.contains(&format!("cannot listen on {address}: Address already in use")), "{log}");
}

#[test]
fn what_is_wrong_with_the_start_is_said_plainly() {
    let (postgres, url) = database();
    for (url, arguments, expected) in [
        (url.as_str(), &["--secret-key-file", "/nonexistent/key"][..], "/nonexistent/key"),
        (&url, &["--listen", "nonsense"], "--listen nonsense: not an address and port"),
        ("mysql://x", &[], "does not begin with postgres://"),
        (&postgres.url("nix"), &[], "database \"nix\" does not exist"),
    ] {
        let log = Binary::fail(url, arguments);
        assert!(log.contains(expected), "{arguments:?}: {log}");
    }
}

#[test]
fn another_secret_key_is_refused() {
    let (_postgres, url) = database();
    Binary::start(&url, &[]).term();
    // Another scratch directory, therefore another key.
    let log = Binary::fail(&url, &[]);
    assert!(log.contains("the secret key file does not fit this database"), "{log}");
}

#[test]
fn a_database_that_is_away_is_waited_for() {
    let mut postgres = Postgres::start().unwrap();
    postgres.create_database("control").unwrap();
    postgres.stop().unwrap();
    let mut binary = Binary::spawn(&postgres.url("control"), &[]);
    binary.wait_for("the control plane's database is away (Connection refused");
    postgres.restart().unwrap();
    binary.wait_for("listening on http://127.0.0.1:");
    assert_eq!(binary.term().code(), Some(0), "{}", binary.log());
}

#[test]
fn a_term_while_waiting_for_the_database_ends_it() {
    let mut binary = Binary::spawn(NOWHERE, &[]);
    binary.wait_for("is away");
    assert_eq!(binary.term().code(), Some(0), "{}", binary.log());
}
