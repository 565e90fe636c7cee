//! Postgres's own replication programs, run through the proxy.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::postgres::{DATABASE, Postgres, SUPERUSER, SUPERUSER_PASSWORD};
use pgherd_harness::process::Process;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::scratch::Scratch;

use super::{SOON, start};

/// One of Postgres's programs as its user, against the proxy.
fn program(postgres: &Postgres, proxy: &Proxy, name: &str) -> Command {
    // No program that hangs outlives its test.
    let mut command = postgres.install().command(Path::new("timeout"));
    command
        .arg("60")
        .arg(postgres.install().program(name))
        .args(["-h", "127.0.0.1", "-p", &proxy.port().to_string(), "-U", SUPERUSER])
        .env("PGPASSWORD", SUPERUSER_PASSWORD);
    command
}

/// Runs it to its end; what it printed.
fn run(mut command: Command) -> Result<String> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// A directory that Postgres's user can write.
fn directory(postgres: &Postgres, scratch: &Scratch) -> Result<std::path::PathBuf> {
    let path = scratch.path().join("out");
    postgres.install().make_private(&path)?;
    Ok(path)
}

/// Every replication connection has been closed on both sides.
fn check_gone(postgres: &Postgres, proxy: &Proxy) -> Result<()> {
    poll::until(SOON, "no replication connections", || {
        let senders = postgres.sql("SELECT pid FROM pg_stat_replication")?;
        let servers = proxy.admin()?.table("SHOW SERVERS")?;
        let none = servers.iter().all(|server| server["replication"] == "none");
        Ok((senders.is_empty() && none).then_some(()))
    })
}

#[test]
fn pg_basebackup_with_a_stream() -> Result<()> {
    let (postgres, proxy) = start()?;
    postgres.sql("CREATE TABLE t AS SELECT n FROM generate_series(1, 10000) n")?;
    let scratch = Scratch::new("backup")?;
    for format in ["plain", "tar"] {
        let path = directory(&postgres, &scratch)?.join(format);
        let mut command = program(&postgres, &proxy, "pg_basebackup");
        command.args(["-X", "stream", "-c", "fast", "--no-sync", "-F", format, "-D"]).arg(&path);
        run(command)?;
        if format == "plain" {
            let mut verify =
                postgres.install().command(&postgres.install().program("pg_verifybackup"));
            verify.arg(&path);
            let said = run(verify)?;
            assert!(said.contains("successfully verified"), "{said}");
        } else {
            for file in ["base.tar", "pg_wal.tar"] {
                assert!(std::fs::metadata(path.join(file))?.len() > 1 << 20, "{file}");
            }
        }
    }
    check_gone(&postgres, &proxy)
}

#[test]
fn pg_receivewal_receives_what_the_server_wrote() -> Result<()> {
    let (postgres, proxy) = start()?;
    let scratch = Scratch::new("wal")?;
    let path = directory(&postgres, &scratch)?;
    let mut slot = program(&postgres, &proxy, "pg_receivewal");
    slot.args(["--create-slot", "--slot", "other"]);
    run(slot)?;
    // One that keeps WAL from now on, before anybody uses it.
    postgres.sql("SELECT pg_create_physical_replication_slot('archive', true)")?;
    // It begins with the segment in which the slot was made, and the next one is whole.
    postgres.sql("SELECT pg_switch_wal()")?;
    postgres.sql("CREATE TABLE t AS SELECT n, repeat('x', 500) FROM generate_series(1, 5000) n")?;
    let name = postgres.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")?.concat().concat();
    postgres.sql("SELECT pg_switch_wal()")?;
    postgres.sql("INSERT INTO t VALUES (0)")?;
    let end = postgres.sql("SELECT pg_current_wal_flush_lsn()")?.concat().concat();
    // It stops behind the end, not at it.
    postgres.sql("INSERT INTO t VALUES (1)")?;
    let mut command = program(&postgres, &proxy, "pg_receivewal");
    command
        .args(["--slot", "archive", "--no-sync", "--no-loop", "--endpos", &end, "-D"])
        .arg(&path);
    run(command)?;
    let received = std::fs::read(path.join(&name)).with_context(|| format!("no {name}"))?;
    let written = std::fs::read(postgres.data_directory().join("pg_wal").join(&name))?;
    assert_eq!(received.len(), 16 << 20);
    assert!(received == written, "{name} differs");
    for name in ["archive", "other"] {
        let mut command = program(&postgres, &proxy, "pg_receivewal");
        command.args(["--drop-slot", "--slot", name]);
        run(command)?;
    }
    check_gone(&postgres, &proxy)
}

#[test]
fn pg_recvlogical_decodes_changes() -> Result<()> {
    let (postgres, proxy) = start()?;
    postgres.sql("CREATE TABLE t (n int PRIMARY KEY, word text)")?;
    let mut create = program(&postgres, &proxy, "pg_recvlogical");
    create.args(["-d", DATABASE, "--slot", "changes", "--create-slot", "-P", "test_decoding"]);
    run(create)?;
    postgres.sql("INSERT INTO t SELECT n, 'word ' || n FROM generate_series(1, 1000) n")?;
    postgres.sql("UPDATE t SET word = 'other' WHERE n = 7; DELETE FROM t WHERE n = 8")?;
    let end = postgres.sql("SELECT pg_current_wal_lsn()")?.concat().concat();
    let mut start = program(&postgres, &proxy, "pg_recvlogical");
    start.args(["-d", DATABASE, "--slot", "changes", "--start", "-f", "-", "--endpos", &end]);
    start.args(["-o", "skip-empty-xacts=1", "--no-loop"]);
    let said = run(start)?;
    let inserts = said.lines().filter(|line| line.contains("INSERT: n[integer]:")).count();
    assert_eq!(inserts, 1000, "{said}");
    for line in ["UPDATE: n[integer]:7 word[text]:'other'", "DELETE: n[integer]:8"] {
        assert!(said.contains(line), "{line} is missing in {said}");
    }
    let mut remove = program(&postgres, &proxy, "pg_recvlogical");
    remove.args(["-d", DATABASE, "--slot", "changes", "--drop-slot"]);
    run(remove)?;
    check_gone(&postgres, &proxy)
}

/// A program that follows the stream ends with the proxy and goes on with the next one.
#[test]
fn pg_receivewal_survives_a_restart_of_the_proxy() -> Result<()> {
    let (postgres, mut proxy) = start()?;
    let scratch = Scratch::new("wal")?;
    let path = directory(&postgres, &scratch)?;
    let connection = format!(
        "host=127.0.0.1 port={} user={SUPERUSER} password={SUPERUSER_PASSWORD}",
        proxy.port()
    );
    let install = postgres.install();
    let out = path.display().to_string();
    let arguments = ["-d", &connection, "--no-sync", "-s", "1", "-D", &out].map(str::to_owned);
    let log = scratch.path().join("receivewal.log");
    let tool = install.program("pg_receivewal");
    let _running = Process::spawn_as("pg_receivewal", install.user(), &tool, &arguments, log)?;
    let streaming = |pid: &mut String| -> Result<()> {
        let sql = "SELECT pid FROM pg_stat_replication WHERE state = 'streaming'";
        *pid = poll::until(SOON, "a stream", || Ok(postgres.sql(sql)?.concat().pop()))?;
        Ok(())
    };
    let (mut before, mut after) = (String::new(), String::new());
    streaming(&mut before)?;
    proxy.restart()?;
    poll::until(SOON, "the old stream to end", || {
        let sql = format!("SELECT 1 FROM pg_stat_replication WHERE pid = {before}");
        Ok(postgres.sql(&sql)?.is_empty().then_some(()))
    })?;
    streaming(&mut after)?;
    assert_ne!(before, after);
    Ok(())
}
