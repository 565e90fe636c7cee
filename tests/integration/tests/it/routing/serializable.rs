//! Serializable transactions, of which a hot standby has none.

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Login};

use super::stand::{SOON, Stand, WHERE};

const LEVEL: &str = "default_transaction_isolation";

/// All that a session can do goes to the primary.
fn check_serializable(stand: &Stand, client: &mut Client) -> Result<()> {
    for _ in 0..2 {
        assert_eq!(stand.place(client, WHERE)?, "primary");
        assert_eq!(stand.place_extended(client, WHERE)?, "primary");
        // What follows the client without a question to the server.
        client.rows("SET timezone = 'Asia/Tokyo'")?;
        assert_eq!(stand.place(client, WHERE)?, "primary");
        // And what the server is asked about.
        client.rows("SET work_mem = '5MB'")?;
        assert_eq!(stand.place(client, "SELECT port FROM place")?, "primary");
        client.rows("SET pgherd.read_your_writes = on")?;
        for begin in ["BEGIN", "BEGIN READ ONLY", "START TRANSACTION READ ONLY"] {
            client.rows(begin)?;
            assert_eq!(client.value("SHOW transaction_isolation")?, "serializable");
            assert_eq!(stand.place(client, WHERE)?, "primary", "{begin}");
            client.rows("COMMIT")?;
        }
    }
    Ok(())
}

/// Somebody else's reads are answered by a replica, over the same server connections.
fn check_neighbour(stand: &Stand, neighbour: &mut Client) -> Result<()> {
    for zone in ["Europe/Rome", "UTC"] {
        assert_eq!(stand.place(neighbour, WHERE)?, "replica");
        assert_eq!(stand.place_extended(neighbour, WHERE)?, "replica");
        neighbour.rows(&format!("SET timezone = '{zone}'"))?;
        assert_eq!(neighbour.value("SHOW timezone")?, zone);
    }
    Ok(())
}

#[test]
fn serializable_transactions_go_to_the_primary() -> Result<()> {
    let stand = Stand::start(1, |config| config.pool_size(1))?;
    let mut neighbour = stand.client()?;
    check_neighbour(&stand, &mut neighbour)?;
    for (name, value) in [
        (LEVEL, "serializable"),
        ("Default_Transaction_Isolation", "SERIALIZABLE"),
        ("options", "-c default_transaction_isolation=serializable"),
    ] {
        let mut client = stand.client_with(name, value)?;
        check_serializable(&stand, &mut client).with_context(|| name.to_owned())?;
        check_neighbour(&stand, &mut neighbour)?;
        // It may think better of it.
        client.rows(&format!("SET {LEVEL} = 'repeatable read'"))?;
        check_neighbour(&stand, &mut client)?;
        client.rows(&format!("RESET {LEVEL}"))?;
        check_serializable(&stand, &mut client)?;
        check_neighbour(&stand, &mut neighbour)?;
    }
    for set in [
        "SET default_transaction_isolation = 'serializable'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SELECT set_config('default_transaction_isolation', 'serializable', false)",
        // Inside of what a replica executes.
        "BEGIN READ ONLY; SET default_transaction_isolation = 'serializable'; COMMIT",
    ] {
        let mut client = stand.client()?;
        for sql in set.split("; ") {
            client.rows(sql)?;
        }
        check_serializable(&stand, &mut client).with_context(|| set.to_owned())?;
        check_neighbour(&stand, &mut neighbour)?;
        client.rows("RESET ALL")?;
        check_neighbour(&stand, &mut client)?;
    }
    let mut client = stand.client()?;
    for begin in [
        "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
        "BEGIN READ ONLY, ISOLATION LEVEL SERIALIZABLE",
        "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
    ] {
        client.rows(begin)?;
        assert_eq!(stand.place(&mut client, WHERE)?, "primary", "{begin}");
        client.rows("COMMIT")?;
        check_neighbour(&stand, &mut client)?;
    }
    Ok(())
}

#[test]
fn a_user_whose_transactions_are_serializable_is_served_by_the_primary() -> Result<()> {
    let stand = Stand::start(1, |config| config.pool_size(1))?;
    // The user of the checks, too.
    stand.primary.sql(&format!("ALTER ROLE app SET {LEVEL} = 'serializable'"))?;
    stand.catch_up()?;
    let mut proxy = Proxy::start(&stand.config.to_toml())?;
    let mut client = Client::login(proxy.addr())?;
    check_serializable(&stand, &mut client)?;
    client.rows("RESET ALL")?;
    check_serializable(&stand, &mut client)?;
    client.rows("DISCARD ALL")?;
    check_serializable(&stand, &mut client)?;
    // Who asks for something else is somebody else.
    let login = Login::default().parameter(LEVEL, "repeatable read");
    let mut other = Client::login_as(proxy.addr(), &login)?;
    check_neighbour(&stand, &mut other)?;
    check_serializable(&stand, &mut client)?;
    check_neighbour(&stand, &mut other)?;
    // The checks are told all the same how the replica is.
    let port = stand.replicas[0].port().to_string();
    poll::until(SOON, "the replica's timeline", || {
        let rows = proxy.admin()?.table("SHOW INSTANCES")?;
        let row = rows.into_iter().find(|row| row["port"] == port).context("its row")?;
        Ok((row["timeline"] == "1").then_some(()))
    })?;
    assert!(!proxy.log().contains("only that it lives"), "{}", proxy.log_tail());
    proxy.term()
}
