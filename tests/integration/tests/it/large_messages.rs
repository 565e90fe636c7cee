//! Messages of hundreds of megabytes pass through the proxy in bounded memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{copy_done, execute, parse, query, sync};
use pgherd_harness::raw::{Client, Message};

/// What the proxy may have in memory, whatever passes through it, in KiB.
const BOUND: u64 = 64 << 10;
const MEGABYTE: usize = 1 << 20;
const LARGE: usize = 300 * MEGABYTE;

fn start(mode: &str) -> Result<(Postgres, Proxy)> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::new(mode, &postgres).pool_size(1).to_toml())?;
    Ok((postgres, proxy))
}

/// The most memory that a process has had, in KiB.
fn peak(proxy: &Proxy) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[track_caller]
fn check_memory(proxy: &Proxy) {
    let peak = peak(proxy).expect("the proxy runs");
    assert!(peak < BOUND, "the proxy has needed {peak} KiB");
}

/// Sends `before`, then a body of so many bytes that is never in memory as a whole.
fn send_large(client: &mut Client, before: &[u8], length: usize, after: &[u8]) -> Result<()> {
    client.send(before)?;
    let chunk = vec![b'x'; MEGABYTE];
    let mut left = length;
    while left > 0 {
        let now = left.min(chunk.len());
        client.send(&chunk[..now])?;
        left -= now;
    }
    client.send(after)
}

/// Header of a message with this tag and this long a body.
fn header(tag: u8, length: usize) -> Vec<u8> {
    let length = u32::try_from(length + 4).expect("a message is shorter than 4 GiB");
    [[tag].as_slice(), &length.to_be_bytes()].concat()
}

/// Bind of the unnamed statement to one text parameter of this length, without the parameter.
fn bind_around(length: usize) -> (Vec<u8>, Vec<u8>) {
    let start = b"\0\0\0\0\0\x01";
    let parameter = u32::try_from(length).expect("shorter than 4 GiB").to_be_bytes();
    let end = b"\0\0".to_vec();
    let all = start.len() + parameter.len() + length + end.len();
    ([header(b'B', all), start.to_vec(), parameter.to_vec()].concat(), end)
}

#[test]
fn a_parameter_of_300_megabytes() -> Result<()> {
    for mode in ["transaction", "session"] {
        let (_postgres, proxy) = start(mode)?;
        let mut client = Client::login(proxy.addr())?;
        client.set_deadline(Duration::from_secs(60));
        client.send(&parse("", "SELECT length($1::text)", &[]))?;
        let (before, after) = bind_around(LARGE);
        send_large(&mut client, &before, LARGE, &[after, execute("", 0), sync()].concat())?;
        let answer = client.until_ready(1)?;
        let row =
            answer.iter().find_map(Message::data_row).with_context(|| format!("{answer:?}"))?;
        assert_eq!(row, [Some(LARGE.to_string().as_bytes())]);
        check_memory(&proxy);
        assert_eq!(client.value("SELECT 1")?, "1");
    }
    Ok(())
}

/// The error quotes all of it.
#[test]
fn a_parameter_that_is_refused_after_300_megabytes() -> Result<()> {
    let (_postgres, proxy) = start("transaction")?;
    let mut client = Client::login(proxy.addr())?;
    client.send(&parse("", "SELECT $1::int", &[]))?;
    let (before, after) = bind_around(LARGE);
    send_large(&mut client, &before, LARGE, &[after, execute("", 0), sync()].concat())?;
    let mut stream = raw(client)?;
    let seen = skim(&mut stream, b'Z')?;
    let [(b'1', 0), (b'E', length), (b'Z', 1)] = seen.as_slice() else { panic!("{seen:?}") };
    assert!(*length > LARGE);
    check_memory(&proxy);
    stream.write_all(&query("SELECT 1"))?;
    assert_eq!(skim(&mut stream, b'Z')?.len(), 4);
    Ok(())
}

#[test]
fn a_query_of_100_megabytes() -> Result<()> {
    let (_postgres, proxy) = start("transaction")?;
    let mut client = Client::login(proxy.addr())?;
    client.set_deadline(Duration::from_secs(60));
    let (start, end, length) = (b"SELECT 'after all' /* ", b" */\0", 100 * MEGABYTE);
    let head = [header(b'Q', start.len() + length + end.len()), start.to_vec()].concat();
    send_large(&mut client, &head, length, end)?;
    let answer = client.until_ready(1)?;
    assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
    check_memory(&proxy);
    Ok(())
}

#[test]
fn copy_data_of_300_megabytes() -> Result<()> {
    let (_postgres, proxy) = start("transaction")?;
    let mut client = Client::login(proxy.addr())?;
    client.set_deadline(Duration::from_secs(60));
    client.rows("BEGIN; CREATE TABLE t (word text)")?;
    client.send(&query("COPY t FROM STDIN"))?;
    client.until_tag(b'G')?;
    send_large(&mut client, &header(b'd', LARGE + 1), LARGE, b"\n")?;
    client.send(&copy_done())?;
    client.until_ready(1)?;
    assert_eq!(client.value("SELECT length(word) FROM t")?, LARGE.to_string());
    client.rows("ROLLBACK")?;
    check_memory(&proxy);
    Ok(())
}

/// Reads an answer without keeping it: tags and lengths of its messages.
fn skim(stream: &mut TcpStream, until: u8) -> Result<Vec<(u8, usize)>> {
    let mut seen = Vec::new();
    let mut chunk = vec![0; MEGABYTE];
    loop {
        let mut header = [0; 5];
        stream.read_exact(&mut header)?;
        let [tag, length @ ..] = header;
        let length = u32::from_be_bytes(length) as usize - 4;
        let mut left = length;
        while left > 0 {
            let now = left.min(chunk.len());
            left -= stream.read(&mut chunk[..now])?;
        }
        seen.push((tag, length));
        if tag == until {
            return Ok(seen);
        }
        ensure!(seen.len() < 1000, "no end in sight: {seen:?}");
    }
}

/// A logged-in client's socket, for answers that are too large to keep.
fn raw(client: Client) -> Result<TcpStream> {
    let stream = client.into_stream()?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

#[test]
fn a_row_of_300_megabytes() -> Result<()> {
    for mode in ["transaction", "session"] {
        let (_postgres, proxy) = start(mode)?;
        let mut stream = raw(Client::login(proxy.addr())?)?;
        stream.write_all(&query(&format!("SELECT repeat('x', {LARGE})")))?;
        let seen = skim(&mut stream, b'Z')?;
        let [(b'T', _), (b'D', length), (b'C', _), (b'Z', _)] = seen.as_slice() else {
            panic!("{seen:?}");
        };
        assert_eq!(*length, LARGE + 6);
        check_memory(&proxy);
    }
    Ok(())
}

/// A client that reads nothing of it for a while makes nobody hold it in memory.
#[test]
fn a_row_of_300_megabytes_that_nobody_reads() -> Result<()> {
    let (postgres, proxy) = start("transaction")?;
    let mut stream = raw(Client::login(proxy.addr())?)?;
    stream.write_all(&query(&format!("SELECT repeat('y', {LARGE}) /* unread */")))?;
    pgherd_harness::poll::until(Duration::from_secs(30), "the server to be held back", || {
        let waiting = postgres.sql(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%/* unread */' \
             AND wait_event = 'ClientWrite' AND pid <> pg_backend_pid()",
        )?;
        Ok((!waiting.is_empty()).then_some(()))
    })?;
    check_memory(&proxy);
    assert_eq!(skim(&mut stream, b'Z')?.len(), 4);
    check_memory(&proxy);
    Ok(())
}

/// About as much as Postgres can send in one message.
#[test]
fn a_row_of_almost_a_gigabyte() -> Result<()> {
    let (_postgres, proxy) = start("transaction")?;
    let mut stream = raw(Client::login(proxy.addr())?)?;
    // A StringInfo ends at 1 GiB.
    let length = 1000 * MEGABYTE;
    stream.write_all(&query(&format!("SELECT repeat('z', {length})")))?;
    let seen = skim(&mut stream, b'Z')?;
    assert_eq!(seen.get(1), Some(&(b'D', length + 6)), "{seen:?}");
    check_memory(&proxy);
    Ok(())
}

#[test]
fn more_than_a_gigabyte_is_refused() -> Result<()> {
    let (postgres, proxy) = start("transaction")?;
    let mut answers = Vec::new();
    for addr in [postgres.addr(), proxy.addr()] {
        let mut client = Client::login(addr)?;
        client.send(&[b"Q".as_slice(), &0x4000_0004_u32.to_be_bytes(), b"SELECT"].concat())?;
        let told = client.rest()?;
        answers.push(told.iter().map(Message::sqlstate).collect::<Vec<_>>());
    }
    // Postgres says so in its log only, or with the same code, by its version.
    assert!(answers[1].is_empty() || answers[1] == [Some("08P01".to_owned())], "{answers:?}");
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 1")?, "1");
    Ok(())
}
