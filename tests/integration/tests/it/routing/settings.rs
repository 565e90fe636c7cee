//! The proxy's own settings are settings: in every protocol, in transactions, by function.

use anyhow::{Context, Result};
use pgherd_harness::raw::{Client, Message, frontend};

use super::stand::{Stand, WHERE};

/// Executes a statement in a batch of its own. Returns the error code, if there is one.
fn extended(client: &mut Client, name: &str, sql: &str) -> Result<Option<String>> {
    let batch = [
        frontend::parse(name, sql, &[]),
        frontend::bind("", name, &[]),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    client.send(&batch.concat())?;
    Ok(error_of(&client.until_ready(1)?))
}

/// A simple query; the error code, if there is one.
fn simple(client: &mut Client, sql: &str) -> Result<Option<String>> {
    Ok(error_of(&client.simple(sql)?))
}

fn error_of(messages: &[Message]) -> Option<String> {
    messages.iter().find(|message| message.tag == b'E').and_then(Message::sqlstate)
}

/// The first value of the last row, by the extended protocol.
fn value(client: &mut Client, sql: &str) -> Result<String> {
    let batch = [
        frontend::parse("", sql, &[]),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    client.send(&batch.concat())?;
    let messages = client.until_ready(1)?;
    let row = messages.iter().rev().find_map(Message::data_row);
    let row = row.with_context(|| format!("{sql}: {messages:?}"))?;
    let value = row.first().copied().flatten().context("no value")?;
    Ok(String::from_utf8_lossy(value).into_owned())
}

/// What a session has set is shown by each way to ask, wherever it is asked.
fn check(stand: &Stand, client: &mut Client, role: &str, place: &str, why: &str) -> Result<()> {
    assert_eq!(client.value("SHOW pgherd.role")?, role, "{why}");
    assert_eq!(value(client, "SHOW pgherd.role")?, role, "{why}");
    assert_eq!(value(client, "SHOW SERVER ROLE")?, role, "{why}");
    for _ in 0..3 {
        assert_eq!(stand.place(client, WHERE)?, place, "{why}");
        assert_eq!(stand.place_extended(client, WHERE)?, place, "{why}");
    }
    if role != "auto" {
        let shown = "SELECT current_setting('pgherd.role')";
        assert_eq!(client.value(shown)?, role, "{why}");
        assert_eq!(value(client, shown)?, role, "{why}");
    }
    Ok(())
}

#[test]
fn a_setting_is_set_in_every_way_that_postgres_knows() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let mut client = stand.client()?;
    check(&stand, &mut client, "auto", "replica", "at the start")?;
    // The role, and by which statement it was set; over both protocols.
    for (sql, role, place) in [
        ("SET pgherd.role = 'primary'", "primary", "primary"),
        ("SET pgherd.role TO replica", "replica", "replica"),
        ("SELECT set_config('pgherd.role', 'primary', false)", "primary", "primary"),
        ("SET SERVER ROLE TO 'replica'", "replica", "replica"),
        ("RESET pgherd.role", "auto", "replica"),
        ("SET pgherd.role TO 'primary'", "primary", "primary"),
        ("SET pgherd.role TO DEFAULT", "auto", "replica"),
        ("SELECT set_config('pgherd.role', 'primary', false)", "primary", "primary"),
        ("SET pgherd.role TO auto", "auto", "replica"),
        ("SET pgherd.role = 'primary'", "primary", "primary"),
        ("RESET ALL", "auto", "replica"),
        ("SET pgherd.role = 'primary'", "primary", "primary"),
        ("DISCARD ALL", "auto", "replica"),
    ] {
        assert_eq!(extended(&mut client, "", sql)?, None, "{sql}");
        check(&stand, &mut client, role, place, &format!("extended: {sql}"))?;
    }
    for (sql, role, place) in [
        ("SET pgherd.role = 'primary'; SELECT 1", "primary", "primary"),
        ("SELECT 1; SET SERVER ROLE TO 'replica'; SHOW SERVER ROLE", "replica", "replica"),
        ("SELECT set_config('pgherd.role', 'primary', false)", "primary", "primary"),
        ("SET search_path = public; RESET pgherd.role;", "auto", "replica"),
        ("BEGIN; SET pgherd.role = 'primary'; COMMIT", "primary", "primary"),
        ("BEGIN; SET pgherd.role = 'replica'; ROLLBACK", "primary", "primary"),
        ("SET pgherd.role = 'any'; RESET ALL", "auto", "replica"),
        ("SET pgherd.role = 'primary'; SET pgherd.role = 'auto'", "auto", "replica"),
    ] {
        assert_eq!(simple(&mut client, sql)?, None, "{sql}");
        check(&stand, &mut client, role, place, &format!("simple: {sql}"))?;
    }
    // A statement prepared once.
    for (name, sql) in [("p", "SET pgherd.role = 'primary'"), ("r", "SET SERVER ROLE TO 'replica'")]
    {
        client.send(&[frontend::parse(name, sql, &[]), frontend::sync()].concat())?;
        assert_eq!(error_of(&client.until_ready(1)?), None, "{sql}");
    }
    for (name, role) in [("p", "primary"), ("r", "replica"), ("p", "primary")] {
        let batch = [frontend::bind("", name, &[]), frontend::execute("", 0), frontend::sync()];
        client.send(&batch.concat())?;
        assert_eq!(error_of(&client.until_ready(1)?), None);
        check(&stand, &mut client, role, role, "prepared")?;
    }
    Ok(())
}

#[test]
fn what_follows_in_the_same_packet_obeys() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let mut client = stand.client()?;
    let batch = |sql: &str| {
        [
            frontend::parse("", sql, &[]),
            frontend::bind("", "", &[]),
            frontend::execute("", 0),
            frontend::sync(),
        ]
        .concat()
    };
    for (sql, place) in [
        ("SET pgherd.role = 'primary'", "primary"),
        ("SELECT set_config('pgherd.role', 'replica', false)", "replica"),
        ("SET pgherd.role = 'primary'", "primary"),
        ("RESET ALL", "replica"),
    ] {
        client.send(&[batch(sql), batch(WHERE)].concat())?;
        client.until_ready(1)?;
        assert_eq!(stand.place_of(&client.until_ready(1)?)?, place, "extended: {sql}");
        client.simple("SET pgherd.role = 'any'")?;
        client.send(
            &[frontend::query(&format!("{sql};;SELECT 1")), frontend::query(WHERE)].concat(),
        )?;
        client.until_ready(1)?;
        assert_eq!(stand.place_of(&client.until_ready(1)?)?, place, "simple: {sql}");
    }
    Ok(())
}

#[test]
fn savepoints_and_transactions_take_back_what_was_set() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    for way in [extended_unnamed as fn(&mut Client, &str) -> Result<Option<String>>, simple] {
        let mut client = stand.client()?;
        let mut run = |sqls: &[&str], role: &str, place: &str| -> Result<()> {
            for sql in sqls {
                assert_eq!(way(&mut client, sql)?, None, "{sql} of {sqls:?}");
            }
            check(&stand, &mut client, role, place, &format!("{sqls:?}"))
        };
        let (primary, any) = ("SET pgherd.role = 'primary'", "SET pgherd.role = 'any'");
        run(&["BEGIN", primary, "ROLLBACK"], "auto", "replica")?;
        run(&["BEGIN", primary, "COMMIT"], "primary", "primary")?;
        run(&["BEGIN", "SET LOCAL pgherd.role = 'replica'", "COMMIT"], "primary", "primary")?;
        run(
            &["BEGIN", "SAVEPOINT a", "RESET pgherd.role", "ROLLBACK TO a", "COMMIT"],
            "primary",
            "primary",
        )?;
        run(
            &["BEGIN", "SAVEPOINT a", "RESET pgherd.role", "RELEASE a", "COMMIT"],
            "auto",
            "replica",
        )?;
        run(
            &["BEGIN", primary, "SAVEPOINT a", any, "SAVEPOINT b", "ROLLBACK TO a", "COMMIT"],
            "primary",
            "primary",
        )?;
        run(
            &["BEGIN", "SELECT set_config('pgherd.role', 'replica', true)", "COMMIT"],
            "primary",
            "primary",
        )?;
        run(&["RESET pgherd.role"], "auto", "replica")?;
    }
    // Inside the transaction it is shown as it is there.
    let mut client = stand.client()?;
    client.rows("BEGIN")?;
    client.rows("SAVEPOINT a")?;
    client.rows("SET LOCAL pgherd.role = 'any'")?;
    assert_eq!(client.value("SHOW pgherd.role")?, "any");
    client.rows("ROLLBACK TO a")?;
    assert_eq!(client.value("SHOW pgherd.role")?, "auto");
    client.rows("ROLLBACK")?;
    Ok(())
}

fn extended_unnamed(client: &mut Client, sql: &str) -> Result<Option<String>> {
    extended(client, "", sql)
}

#[test]
fn wrong_values_are_refused_and_end_the_transaction() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let mut client = stand.client()?;
    let wrong = [
        ("SET pgherd.role = 'sideways'", "22023"),
        ("SET SHARD TO 'x'", "22023"),
        ("SELECT set_config('pgherd.role', 'sideways', false)", "22023"),
        ("SET pgherd.rol = 'primary'", "42704"),
        ("SHOW pgherd.rol", "42704"),
    ];
    for (sql, code) in wrong {
        assert_eq!(extended(&mut client, "", sql)?.as_deref(), Some(code), "{sql}");
        assert_eq!(simple(&mut client, sql)?.as_deref(), Some(code), "{sql}");
        let several = format!("SELECT 1; {sql}");
        assert_eq!(simple(&mut client, &several)?.as_deref(), Some(code), "{several}");
        for protocol in [simple, extended_unnamed] {
            client.rows("BEGIN")?;
            assert_eq!(protocol(&mut client, sql)?.as_deref(), Some(code), "{sql}");
            assert_eq!(simple(&mut client, "SELECT 1")?.as_deref(), Some("25P02"), "{sql}");
            client.rows("ROLLBACK")?;
        }
        check(&stand, &mut client, "auto", "replica", sql)?;
    }
    // One that only the server has seen is not obeyed, and the client is told.
    client.send(
        &[
            frontend::parse("", "SELECT set_config('pgherd.role', 'side' || 'ways', false)", &[]),
            frontend::bind("", "", &[]),
            frontend::execute("", 0),
            frontend::sync(),
        ]
        .concat(),
    )?;
    assert_eq!(error_of(&client.until_ready(1)?), None);
    let told = client.simple(WHERE)?;
    let warned = told.iter().any(|it| it.tag == b'N' && it.sqlstate().as_deref() == Some("22023"));
    assert!(warned, "{told:?}");
    assert_eq!(stand.place_of(&told)?, "replica");
    Ok(())
}

#[test]
fn nobody_sees_what_another_client_has_set() -> Result<()> {
    let stand = Stand::start(1, |config| config.pool_size(1))?;
    let (mut one, mut two) = (stand.client()?, stand.client()?);
    let shown = "SELECT current_setting('pgherd.role', true)";
    for sql in ["SET pgherd.role = 'primary'", "SET pgherd.read_your_writes = on; SELECT 1"] {
        one.simple(sql)?;
        assert_eq!(one.value(shown)?, "primary");
        assert!(two.value(&format!("/* pgherd: role=primary */ {shown}"))? != "primary");
        assert_eq!(two.value("SHOW pgherd.role")?, "auto");
        assert_eq!(stand.place(&mut two, WHERE)?, "replica");
        assert_eq!(stand.place(&mut one, WHERE)?, "primary");
    }
    assert_eq!(value(&mut one, "SHOW pgherd.read_your_writes")?, "on");
    assert_eq!(value(&mut two, "SHOW pgherd.read_your_writes")?, "off");
    Ok(())
}
