//! What `pgherd-testbed` promises to the command that it runs, and what it leaves behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::poll;

const TESTBED: &str = env!("CARGO_BIN_EXE_pgherd-testbed");
const SOON: Duration = Duration::from_secs(10);

#[test]
fn the_exit_status_is_the_commands() -> Result<()> {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let status = Command::new(TESTBED).args(["--direct", "--", "sh", "-c", script]).status()?;
        assert_eq!(status.code(), Some(code), "{script}");
    }
    let output = Command::new(TESTBED).args(["--direct", "--", "/no/such/command"]).output()?;
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/command"));
    Ok(())
}

#[test]
fn the_command_finds_its_database() -> Result<()> {
    let script = r#"echo "$PGHERD_MODE $PGUSER $PGPASSWORD $PGDATABASE $PGHOST"; test "$PGPORT" = "$DIRECT_PGPORT""#;
    let output = Command::new(TESTBED).args(["--direct", "--", "sh", "-c", script]).output()?;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "direct app secret app 127.0.0.1\n");
    Ok(())
}

#[test]
fn nothing_outlives_a_testbed_that_is_killed() -> Result<()> {
    let mut testbed = Command::new(TESTBED)
        .args(["--direct", "--", "sh", "-c", "echo up; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(testbed.stdout.take().context("piped")?).read_line(&mut line)?;
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{}/task", testbed.id()))? {
        let listed = fs::read_to_string(task?.path().join("children"))?;
        children.extend(listed.split_whitespace().map(str::to_owned));
    }
    let name = |pid: &String| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let servers: Vec<String> =
        children.into_iter().filter(|pid| name(pid).trim() == "postgres").collect();
    assert_eq!(servers.len(), 1, "the testbed runs one Postgres");
    testbed.kill()?;
    testbed.wait()?;
    poll::until(SOON, "Postgres to end", || {
        Ok(servers.iter().all(|pid| name(pid).is_empty()).then_some(()))
    })
}
