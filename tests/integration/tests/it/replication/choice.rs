//! Which cluster a replication client means.

use anyhow::Result;
use pgherd_harness::postgres::{DATABASE, Postgres, SUPERUSER, SUPERUSER_PASSWORD};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login};

use super::last_state;

const ALONE: (&str, &str) = ("alone", "lonely");

/// Two clusters that share the superuser; the second has a user that the first has not.
fn start() -> Result<(Postgres, Postgres, Proxy)> {
    let (first, second) = (Postgres::start()?, Postgres::start()?);
    second.sql("CREATE ROLE alone LOGIN REPLICATION PASSWORD 'lonely'")?;
    let of = |postgres: &Postgres, name| ProxyConfig::transaction(postgres).named(name, DATABASE);
    let more = of(&second, "second").user(ALONE.0, ALONE.1).to_toml();
    let (_, more) = more.split_once("[[clusters]]").unwrap_or_default();
    let config = of(&first, "first").to_toml() + "[[clusters]]" + more;
    let proxy = Proxy::start(&config)?;
    Ok((first, second, proxy))
}

fn physical(user: (&str, &str), name: &str) -> Login {
    Login::new(user.0, user.1, name).parameter("replication", "on")
}

#[test]
fn a_physical_client_names_it_or_has_only_one() -> Result<()> {
    let (first, second, proxy) = start()?;
    let (first, second) = (first.port().to_string(), second.port().to_string());
    let both = (SUPERUSER, SUPERUSER_PASSWORD);
    let option = |name| physical(both, "replication").parameter("options", name);
    for (login, expected) in [
        (physical(both, "first"), &first),
        (physical(both, "second"), &second),
        (physical(ALONE, "replication"), &second),
        (physical(ALONE, "alone"), &second),
        (option("-c pgherd.cluster=first"), &first),
        (option("-c geqo=off -c pgherd.cluster=second"), &second),
    ] {
        let mut client = Client::login_as(proxy.addr(), &login)?;
        assert_eq!(&client.value("SHOW port")?, expected, "{login:?}");
    }
    Ok(())
}

#[test]
fn one_that_could_mean_several_is_told_so_after_its_password() -> Result<()> {
    let (_first, _second, proxy) = start()?;
    let answer = |login: &Login| Client::connect(proxy.addr())?.try_login(login);
    let vague = physical((SUPERUSER, SUPERUSER_PASSWORD), "replication");
    let messages = answer(&vague)?;
    assert_eq!(last_state(&messages).as_deref(), Some("3D000"), "{messages:?}");
    let hint = messages.last().and_then(|message| message.field(b'H')).unwrap_or_default();
    assert!(hint.contains("pgherd.cluster"), "{hint}");
    // Nobody learns which clusters there are without one.
    for login in [
        vague.password("wrong"),
        physical(ALONE, "nowhere"),
        physical(("nobody", "x"), "replication"),
        physical(ALONE, "first"),
    ] {
        let messages = answer(&login)?;
        assert_eq!(last_state(&messages).as_deref(), Some("28P01"), "{login:?}: {messages:?}");
    }
    Ok(())
}

#[test]
fn a_logical_client_names_its_database() -> Result<()> {
    let (_first, second, proxy) = start()?;
    second.sql("CREATE TABLE only_here ()")?;
    let login = Login::new(SUPERUSER, SUPERUSER_PASSWORD, "second");
    let mut client = Client::login_as(proxy.addr(), &login.parameter("replication", "database"))?;
    assert_eq!(client.value("SELECT current_database()")?, DATABASE);
    assert_eq!(client.value("SELECT count(*) FROM only_here")?, "0");
    Ok(())
}
