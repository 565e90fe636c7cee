//! Debian's psql, which is libpq: its `sslmode` and `channel_binding` against the proxy.

use std::process::Command;

use anyhow::Result;
use pgherd_harness::certificates::Authority;
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER};

use super::Stand;

/// What psql prints for a query, or complains.
fn psql(port: u16, more: &str) -> Result<String> {
    let conninfo = format!(
        "host=127.0.0.1 port={port} user={APP_USER} password={APP_PASSWORD} dbname=app {more}"
    );
    let output = Command::new("timeout")
        .args(["20", "psql", "-XAtq", "-c", "SELECT 'passed'", &conninfo])
        .env("PGSSLROOTCERT", "/nonexistent")
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}

#[test]
fn each_sslmode_and_channel_binding() -> Result<()> {
    let stand = Stand::start()?;
    let plain = Stand::with("disable", |config| config)?;
    let allowing = Stand::with("allow", |config| config)?;
    let ca = format!("sslrootcert={}", stand.authority.path().display());
    let other = Authority::new()?;
    let other_ca = format!("sslrootcert={}", other.path().display());
    let passed = "passed";
    let rows = [
        (&stand, "sslmode=disable".to_owned(), "no encryption"),
        (&stand, "sslmode=allow".to_owned(), passed),
        (&stand, "sslmode=prefer".to_owned(), passed),
        (&stand, "sslmode=require".to_owned(), passed),
        (&stand, format!("sslmode=verify-full {ca}"), passed),
        (&stand, format!("sslmode=verify-full {other_ca}"), "certificate verify failed"),
        (&stand, "sslmode=require channel_binding=require".to_owned(), passed),
        (&stand, "sslmode=require channel_binding=disable".to_owned(), passed),
        (&stand, "sslmode=require ssl_min_protocol_version=TLSv1.3".to_owned(), passed),
        (
            &stand,
            "sslmode=require ssl_max_protocol_version=TLSv1.2 channel_binding=require".to_owned(),
            passed,
        ),
        (&plain, "sslmode=prefer".to_owned(), passed),
        (&plain, "sslmode=require".to_owned(), "server does not support SSL, but SSL was required"),
        (&plain, "sslmode=prefer channel_binding=require".to_owned(), "channel binding"),
        (&allowing, "sslmode=disable".to_owned(), passed),
        (&allowing, "sslmode=require channel_binding=require".to_owned(), passed),
    ];
    for (stand, more, expected) in rows {
        let said = psql(stand.proxy.port(), &more)?;
        let fits = if expected == passed { said == passed } else { said.contains(expected) };
        assert!(fits, "{more}: {said}");
    }
    Ok(())
}
