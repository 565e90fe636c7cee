//! What clients ask of the proxy itself.

use anyhow::Result;
use pgherd_harness::raw::{Client, Login, Message};

use super::stand::{Stand, WHERE};

const WRITE: &str = "UPDATE t SET word = word WHERE n = 1 RETURNING current_setting('port')";

fn tags(messages: &[Message]) -> Vec<String> {
    let of = |message: &Message| match message.tag {
        b'C' => String::from_utf8_lossy(&message.body).trim_end_matches('\0').to_owned(),
        tag => char::from(tag).to_string(),
    };
    messages.iter().map(of).collect()
}

#[test]
fn overrides_have_an_order() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let mut client = stand.client()?;
    let comment = |role: &str| format!("/* pgherd: role={role} */ {WHERE}");
    assert_eq!(stand.place(&mut client, &comment("primary"))?, "primary");
    assert_eq!(stand.place(&mut client, WHERE)?, "replica");
    assert_eq!(tags(&client.simple("SET pgherd.role = 'primary'")?), ["SET", "Z"]);
    assert_eq!(stand.place(&mut client, WHERE)?, "primary");
    assert_eq!(stand.place(&mut client, &comment("replica"))?, "replica");
    assert_eq!(client.value("SHOW pgherd.role")?, "primary");
    client.rows("SET pgherd.role TO auto")?;
    assert_eq!(stand.place(&mut client, WHERE)?, "replica");
    assert_eq!(stand.place(&mut client, WRITE)?, "primary");

    // Who asks for a replica gets one, and Postgres refuses what cannot be done there.
    client.rows("SET pgherd.role = 'replica'")?;
    let refused = client.simple(WRITE)?;
    let error = refused.iter().find(|message| message.tag == b'E').expect("an error");
    assert_eq!(error.sqlstate().as_deref(), Some("25006"));
    for reset in ["RESET pgherd.role", "RESET ALL", "DISCARD ALL"] {
        client.rows("SET pgherd.role = 'primary'")?;
        assert_eq!(stand.place(&mut client, WHERE)?, "primary");
        client.rows(reset)?;
        assert_eq!(stand.place(&mut client, WHERE)?, "replica", "{reset}");
    }
    let wrong = client.simple("SET pgherd.role = 'sideways'")?;
    assert_eq!(wrong[0].sqlstate().as_deref(), Some("22023"), "{wrong:?}");

    // In the startup packet, by itself or among the options.
    for (name, value) in [("pgherd.role", "primary"), ("options", "-c pgherd.role=primary")] {
        let mut client = stand.client_with(name, value)?;
        assert_eq!(stand.place(&mut client, WHERE)?, "primary");
        client.rows("SET pgherd.role = 'replica'")?;
        assert_eq!(stand.place(&mut client, WHERE)?, "replica");
        client.rows("RESET ALL")?;
        assert_eq!(stand.place(&mut client, WHERE)?, "primary");
    }
    let login = Login::default().parameter("pgherd.role", "sideways");
    let refused = Client::connect(stand.proxy.addr())?.try_login(&login)?;
    let error = refused.iter().find(|message| message.tag == b'E').expect("an error");
    assert_eq!(error.sqlstate().as_deref(), Some("22023"));
    Ok(())
}

#[test]
fn what_is_set_in_a_transaction_ends_as_it_does() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let mut client = stand.client()?;
    for (set, end, role) in [
        ("SET pgherd.role = 'any'", "ROLLBACK", "auto"),
        ("SET pgherd.role = 'any'", "COMMIT", "any"),
        ("SET LOCAL pgherd.role = 'replica'", "COMMIT", "any"),
    ] {
        client.rows("BEGIN")?;
        assert_eq!(tags(&client.simple(set)?), ["SET", "Z"]);
        client.rows(end)?;
        assert_eq!(client.value("SHOW pgherd.role")?, role, "{set}, {end}");
    }
    client.rows("BEGIN")?;
    client.simple("SELECT 1/0")?;
    let refused = client.simple("SET pgherd.role = 'primary'")?;
    assert_eq!(refused[0].sqlstate().as_deref(), Some("25P02"), "{refused:?}");
    client.rows("ROLLBACK")?;
    Ok(())
}

#[test]
fn pgcats_words_are_understood() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let mut client = stand.client()?;
    for (sql, answer) in [
        ("SET SERVER ROLE TO 'primary'", "SET SERVER ROLE"),
        ("SET SHARD TO '0'", "SET SHARD"),
        ("SET SHARDING KEY TO '42'", "SET SHARDING KEY"),
        ("SET PRIMARY READS TO 'off'", "SET PRIMARY READS"),
    ] {
        assert_eq!(tags(&client.simple(sql)?), [answer, "Z"], "{sql}");
    }
    assert_eq!(stand.place(&mut client, WHERE)?, "primary");
    assert_eq!(client.value("SHOW SERVER ROLE")?, "primary");
    assert_eq!(client.value("SHOW SHARD")?, "0");
    client.rows("SET SERVER ROLE TO 'replica'")?;
    assert_eq!(stand.place(&mut client, WHERE)?, "replica");
    client.rows("SET SERVER ROLE TO 'auto'")?;
    assert_eq!(stand.place(&mut client, WRITE)?, "primary");
    Ok(())
}

#[test]
fn a_session_that_keeps_its_connection_stays_where_it_asked_to_be() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let toml = stand.config.to_toml().replace("\"transaction\"", "\"session\"");
    let proxy = pgherd_harness::proxy::Proxy::start(&toml)?;
    let mut client = Client::login(proxy.addr())?;
    assert_eq!(stand.place(&mut client, WHERE)?, "primary");
    let login = Login::default().parameter("pgherd.role", "replica");
    let mut client = Client::login_as(proxy.addr(), &login)?;
    assert_eq!(stand.place(&mut client, WHERE)?, "replica");
    assert_eq!(stand.place_extended(&mut client, WHERE)?, "replica");
    Ok(())
}

#[test]
fn a_session_can_read_what_it_has_written() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let mut client = stand.client()?;
    client.rows("SET pgherd.read_your_writes = on")?;
    assert_eq!(stand.place(&mut client, WHERE)?, "replica");
    stand.replicas[0].sql("SELECT pg_wal_replay_pause()")?;
    for n in 100..110 {
        client.rows(&format!("INSERT INTO t VALUES ({n})"))?;
        assert_eq!(client.value(&format!("SELECT count(*) FROM t WHERE n = {n}"))?, "1");
    }
    assert_eq!(stand.place(&mut client, WHERE)?, "primary");
    // Nobody else waits for that.
    let mut other = stand.client()?;
    assert_eq!(other.value("SELECT count(*) FROM t WHERE n = 100")?, "0");
    stand.replicas[0].sql("SELECT pg_wal_replay_resume()")?;
    stand.catch_up()?;
    pgherd_harness::poll::until(super::stand::SOON, "reads to go to the replica again", || {
        Ok((stand.place(&mut client, WHERE)? == "replica").then_some(()))
    })
}
