//! A data directory made once per machine and version, and copied for each server.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::install::{Install, run};
use super::{APP_PASSWORD, APP_USER, DATABASE, SUPERUSER, SUPERUSER_PASSWORD};
use crate::scratch;

const INITDB: &[&str] = &[
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--auth-local=trust",
    "--auth-host=scram-sha-256",
    "--no-sync",
];

const HBA: &str = "\
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
host all all 198.18.0.0/15 scram-sha-256
host replication all 198.18.0.0/15 scram-sha-256
";

/// Copies the template for `install` to `data`, which must not exist.
pub(super) fn copy(install: &Install, data: &Path) -> Result<()> {
    let template = prepare(install)?;
    let mut command = Command::new("cp");
    command.args(["-a", "--reflink=auto"]).arg(&template).arg(data);
    run(command).map(drop)
}

fn prepare(install: &Install) -> Result<PathBuf> {
    let mut recipe = DefaultHasher::new();
    (install.version(), install.program("postgres"), install.user()).hash(&mut recipe);
    (INITDB, HBA, roles()).hash(&mut recipe);
    let name = format!("{}-{:016x}", install.version(), recipe.finish());
    let templates = scratch::root()?.join("templates");
    std::fs::create_dir_all(&templates)?;
    let ready = templates.join(&name);
    // Processes that start at the same time wait for the first one.
    let lock = File::create(templates.join(format!("{name}.lock")))?;
    lock.lock().context("cannot lock the template")?;
    if !ready.is_dir() {
        let unfinished = templates.join(format!("{name}.tmp"));
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished)?;
        }
        make(install, &unfinished)
            .with_context(|| format!("cannot initialise Postgres {}", install.version()))?;
        std::fs::rename(&unfinished, &ready)?;
    }
    Ok(ready)
}

fn make(install: &Install, data: &Path) -> Result<()> {
    install.make_private(data)?;
    let mut initdb = install.command(&install.program("initdb"));
    initdb.args(INITDB).args(["--username", SUPERUSER, "--pgdata"]).arg(data);
    run(initdb)?;
    std::fs::write(data.join("pg_hba.conf"), HBA)?;

    let mut single = install
        .command(&install.program("postgres"))
        .args(["--single", "-j", "-c", "fsync=off", "-c", "password_encryption=scram-sha-256"])
        .arg("-D")
        .arg(data)
        .arg("postgres")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = single.stdin.take().context("stdin is piped")?;
    for statement in roles() {
        // `-j`: a statement ends at a semicolon that an empty line follows.
        write!(input, "{statement};\n\n")?;
    }
    drop(input);
    let output = single.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && !said.contains("ERROR"), "single-user Postgres: {said}");
    Ok(())
}

fn roles() -> [String; 3] {
    [
        format!("ALTER ROLE {SUPERUSER} PASSWORD '{SUPERUSER_PASSWORD}'"),
        format!("CREATE ROLE {APP_USER} LOGIN PASSWORD '{APP_PASSWORD}'"),
        format!("CREATE DATABASE {DATABASE} OWNER {APP_USER}"),
    ]
}
