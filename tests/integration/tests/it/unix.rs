//! Clients on a Unix socket: psql, cancel, what the admin database shows, and who owns the file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use pgherd_harness::certificates::Authority;
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::ssl_request;
use pgherd_harness::raw::{Client, Login};
use pgherd_harness::scratch::Scratch;

use crate::cancel::{check_cancelled, start_sleeping};

const SOON: Duration = Duration::from_secs(8);

struct Stand {
    postgres: Postgres,
    proxy: Proxy,
    scratch: Scratch,
}

impl Stand {
    fn start(more: impl FnOnce(ProxyConfig) -> ProxyConfig) -> Result<Self> {
        let postgres = Postgres::start()?;
        let scratch = Scratch::new("sock")?;
        let proxy =
            Proxy::start(&Self::config(&scratch, more(ProxyConfig::transaction(&postgres))))?;
        Ok(Self { postgres, proxy, scratch })
    }

    fn config(scratch: &Scratch, config: ProxyConfig) -> String {
        let listen = format!("[\"127.0.0.1:0\", {:?}]", scratch.path());
        config.to_toml().replace("[\"127.0.0.1:0\"]\n", &format!("{listen}\n"))
    }

    fn socket(&self) -> PathBuf {
        self.scratch.path().join(format!(".s.PGSQL.{}", self.proxy.port()))
    }

    fn login(&self) -> Result<Client> {
        Client::connect_unix(&self.socket())?.finish_login(&Login::default())
    }
}

#[test]
fn psql_cancels_and_lists() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    let conninfo = format!(
        "host={} port={} user={APP_USER} password={APP_PASSWORD} dbname=app sslmode=require",
        stand.scratch.path().display(),
        stand.proxy.port()
    );
    let output = Command::new("timeout")
        .args(["20", "psql", "-XAtq", "-c", "SELECT 'over the socket'", &conninfo])
        .output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "over the socket", "{output:?}");

    let mut client = stand.login()?;
    let shown = stand.proxy.admin()?.table("SHOW CLIENTS")?;
    let row = shown.iter().find(|row| row["addr"] == "unix");
    assert!(row.is_some_and(|row| row["port"] == "0" && row["tls"] == "NULL"), "{shown:?}");
    start_sleeping(&stand.postgres, &mut client, "unix")?;
    let mut cancel = Client::connect_unix(&stand.socket())?;
    cancel.send(&client.cancel_request()?)?;
    assert_eq!(cancel.rest()?, []);
    check_cancelled(&mut client);
    Ok(())
}

#[test]
fn it_is_open_to_all_unless_told_otherwise_and_gone_in_the_end() -> Result<()> {
    let mut stand = Stand::start(|config| config)?;
    let mode = |stand: &Stand| -> Result<u32> {
        Ok(fs::metadata(stand.socket())?.permissions().mode() & 0o777)
    };
    assert_eq!(mode(&stand)?, 0o777);
    let closed = Stand::start(|it| it.proxy_setting("unix_socket_permissions", "\"0700\""))?;
    assert_eq!(mode(&closed)?, 0o700);
    // While it drains the name is free already.
    let mut client = stand.login()?;
    client.rows("BEGIN")?;
    let socket = stand.socket();
    stand.proxy.term()?;
    poll::until(SOON, "the socket to go", || Ok((!socket.exists()).then_some(())))?;
    assert_eq!(client.value("SELECT 'still served'")?, "still served");
    client.rows("COMMIT")?;
    assert!(stand.proxy.wait(SOON)?.success());
    assert_eq!(fs::read_dir(stand.scratch.path())?.count(), 0, "nothing is left behind");
    Ok(())
}

#[test]
fn what_a_killed_proxy_leaves_is_replaced_and_a_living_ones_is_not() -> Result<()> {
    let mut stand = Stand::start(|config| config)?;
    let text = Stand::config(&stand.scratch, ProxyConfig::transaction(&stand.postgres));
    let same =
        format!("{:?}", format!("{}:{}", stand.scratch.path().display(), stand.proxy.port()));
    let text = text.replace(&format!("{:?}", stand.scratch.path()), &same);
    let (_, said) = Proxy::builder().config(&text).spawn()?.failure()?;
    let pid = stand.proxy.pid().to_string();
    assert!(said.contains(&pid) && said.contains(".s.PGSQL."), "{said}");
    assert_eq!(stand.login()?.value("SELECT 1")?, "1");
    stand.proxy.kill9()?;
    assert!(stand.socket().exists());
    stand.proxy.restart()?;
    assert_eq!(stand.login()?.value("SELECT 2")?, "2");
    Ok(())
}

#[test]
fn it_is_not_encrypted_and_needs_not_be() -> Result<()> {
    let authority = Authority::new()?;
    let certificate = authority.server("server")?;
    let stand = Stand::start(|config| config.tls("require", &certificate, None))?;
    let mut client = Client::connect_unix(&stand.socket())?;
    client.send(&ssl_request())?;
    assert_eq!(client.byte()?, Some(b'N'));
    assert_eq!(client.finish_login(&Login::default())?.value("SELECT 1")?, "1");
    assert!(Client::login(stand.proxy.addr()).is_err(), "over TCP it is required");
    Ok(())
}
