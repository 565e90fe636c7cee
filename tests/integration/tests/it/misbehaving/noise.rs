//! A raw fuzz from both ends: clients and servers that send mutated streams. Whatever comes, the
//! proxy stays up and serves everybody else.
//!
//! Environment: `PGHERD_SEEDS=1000` runs that many seeds from each side, `PGHERD_SEED=42` that one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{
    bind, copy_data, copy_done, describe_statement, execute, flush, function_call, message, parse,
    query, ssl_request, sync,
};
use pgherd_harness::raw::{Client, Login};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// As many from each side as take some seconds.
const SEEDS: u64 = 150;
/// More than a proxy needs for a few clients that send nonsense.
const MOST_MEMORY: u64 = 200 << 20;
/// How long nonsense may be answered.
const LISTEN: Duration = Duration::from_millis(3);

fn seeds() -> Range<u64> {
    let number = |variable: &str| std::env::var(variable).ok()?.parse::<u64>().ok();
    match number("PGHERD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PGHERD_SEEDS").unwrap_or(SEEDS),
    }
}

/// Changes some bytes of a stream: flips, cuts, repeats, inserts, exchanges lengths.
fn mutate(rng: &mut StdRng, mut bytes: Vec<u8>) -> Vec<u8> {
    const LENGTHS: &[u32] = &[0, 1, 3, 4, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 20];
    for _ in 0..rng.random_range(0..6) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = rng.random_range(0..bytes.len());
        let end = (at + rng.random_range(1..20)).min(bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let noise: Vec<u8> = (at..end).map(|_| rng.random()).collect();
                bytes.splice(at..at, noise);
            }
            _ => {
                let length = LENGTHS.choose(rng).copied().unwrap_or_default().to_be_bytes();
                let end = (at + 4).min(bytes.len());
                bytes.splice(at..end, length);
            }
        }
    }
    bytes
}

fn some(rng: &mut StdRng, of: &[Vec<u8>]) -> Vec<u8> {
    (0..rng.random_range(1..8)).filter_map(|_| of.choose(rng).cloned()).flatten().collect()
}

fn requests() -> Vec<Vec<u8>> {
    vec![
        query("SELECT 1"),
        query("BEGIN"),
        query("SET work_mem = '9MB'"),
        query("COPY noise FROM STDIN"),
        query("COPY (SELECT generate_series(1, 100)) TO STDOUT"),
        parse("s1", "SELECT $1::int", &[23]),
        parse("", "SELECT 1", &[]),
        bind("", "s1", &[Some(b"1")]),
        bind("p", "", &[]),
        describe_statement("s1"),
        execute("", 0),
        execute("p", 1),
        sync(),
        flush(),
        copy_data(b"1\n"),
        copy_done(),
        function_call(1598, &[]),
        message(b'p', b"password\0"),
    ]
}

fn replies() -> Vec<Vec<u8>> {
    vec![
        message(b'Z', b"I"),
        message(b'Z', b"T"),
        message(b'C', b"SELECT 1\0"),
        message(b'C', b"SET\0"),
        message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"),
        message(b'D', b"\0\x01\0\0\0\x011"),
        message(b'E', b"SERROR\0VERROR\0C42601\0Mno\0\0"),
        message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mend\0\0"),
        message(b'N', b"SNOTICE\0C00000\0Mhear\0\0"),
        message(b'A', b"\0\0\0\x01channel\0\0"),
        message(b'S', b"TimeZone\0UTC\0"),
        message(b'1', b""),
        message(b'2', b""),
        message(b'3', b""),
        message(b'n', b""),
        message(b's', b""),
        message(b't', b"\0\0"),
        message(b'G', b"\0\0\x01\0\0"),
        message(b'H', b"\0\0\x01\0\0"),
        message(b'c', b""),
        message(b'd', b"1\n"),
    ]
}

/// The proxy answers others, and has not grown beyond measure.
fn check_alive(proxy: &mut Proxy, bystander: &mut Client, seed: u64) -> Result<()> {
    let name = format!("seed {seed}");
    let seen = bystander.value(&format!("SELECT '{name}'"));
    ensure!(seen.with_context(|| name.clone())? == name, "{name}: another answer");
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid()))
        .with_context(|| format!("{name}: the proxy is gone"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    ensure!(kib.context("no VmRSS")? << 10 < MOST_MEMORY, "{name}: {kib:?} KiB of memory");
    Ok(())
}

/// Nothing in the log says that a thread of the proxy has panicked.
fn check_log(proxy: &Proxy) {
    let log = proxy.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn noise_of_clients_disturbs_nobody_else() -> Result<()> {
    let postgres = Postgres::builder().setting("log_min_messages", "panic").start()?;
    postgres.sql("CREATE TABLE noise (n int); GRANT ALL ON noise TO app")?;
    let config = ProxyConfig::transaction(&postgres).pool_size(3);
    let mut proxy = Proxy::start(&config.to_toml())?;
    let mut bystander = Client::login(proxy.addr())?;
    for seed in seeds() {
        let mut rng = StdRng::seed_from_u64(seed);
        let before_login = rng.random_ratio(1, 3);
        let mut client = if before_login {
            let mut client = Client::connect(proxy.addr())?;
            let first = [ssl_request(), Login::default().startup()];
            let first = first.choose(&mut rng).cloned().unwrap_or_default();
            let bytes = mutate(&mut rng, first);
            // The proxy may hang up at any time.
            let _ = client.send(&bytes);
            client
        } else {
            Client::login(proxy.addr())?
        };
        for _ in 0..rng.random_range(1..4) {
            let bytes = some(&mut rng, &requests());
            let bytes = mutate(&mut rng, bytes);
            if client.send(&bytes).is_err() {
                break;
            }
            // What it says to nonsense need not be understood.
            let _ = client.drain(LISTEN);
        }
        if rng.random_ratio(1, 2) {
            client.reset()?
        } else {
            drop(client)
        }
        check_alive(&mut proxy, &mut bystander, seed)?;
    }
    check_log(&proxy);
    let mut next = Client::login(proxy.addr())?;
    ensure!(next.value("SHOW work_mem")? == "4MB", "somebody's SET is seen");
    Ok(())
}

/// A server that logs everybody in and answers each message with noise.
struct Hostile {
    addr: SocketAddr,
    seed: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Hostile {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let (seed, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (its_seed, its_end) = (Arc::clone(&seed), Arc::clone(&ended));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if its_end.load(Ordering::Relaxed) {
                    return;
                }
                let seed = its_seed.load(Ordering::Relaxed);
                std::thread::spawn(move || {
                    // It ends when the proxy has had enough of it.
                    let _ = serve(stream, seed);
                });
            }
        });
        Ok(Self { addr, seed, ended })
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes it from its accept.
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve(mut stream: TcpStream, seed: u64) -> std::io::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut chunk = [0; 4096];
    let _ = stream.read(&mut chunk)?;
    let welcome = [
        message(b'R', &[0, 0, 0, 0]),
        message(b'S', b"server_version\x0015.0\0"),
        message(b'S', b"client_encoding\0UTF8\0"),
        message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]),
        message(b'Z', b"I"),
    ]
    .concat();
    let spoiled = rng.random_ratio(1, 4);
    stream.write_all(&if spoiled { mutate(&mut rng, welcome) } else { welcome })?;
    for _ in 0..20 {
        if stream.read(&mut chunk)? == 0 {
            return Ok(());
        }
        let answer = some(&mut rng, &replies());
        stream.write_all(&mutate(&mut rng, answer))?;
    }
    Ok(())
}

#[test]
fn noise_of_servers_disturbs_nobody_else() -> Result<()> {
    let postgres = Postgres::start()?;
    let hostile = Hostile::start()?;
    let config = ProxyConfig::transaction(&postgres).to_toml()
        + &format!(
            "[[clusters]]\nname = \"hostile\"\nusers = [{{ name = \"app\", password = \"secret\" }}]\n\
             checkout_timeout = \"100ms\"\nserver_tls = {{ mode = \"disable\" }}\n[[clusters.shards]]\n\
             instances = [{{ host = \"127.0.0.1\", port = {}, role = \"primary\" }}]\n",
            hostile.addr.port()
        );
    let mut proxy = Proxy::start(&config)?;
    let mut bystander = Client::login(proxy.addr())?;
    let mut answered = 0;
    for seed in seeds() {
        let mut rng = StdRng::seed_from_u64(seed);
        hostile.seed.store(seed, Ordering::Relaxed);
        let mut client = Client::connect(proxy.addr())?;
        let login = Login::default().database("hostile");
        let welcome = client.try_login(&login);
        let is_in = |tag: Option<u8>| tag == Some(b'Z');
        if welcome.is_ok_and(|it| is_in(it.last().map(|message| message.tag))) {
            for _ in 0..rng.random_range(1..4) {
                if client.send(&some(&mut rng, &requests())).is_err() {
                    break;
                }
                answered += usize::from(client.drain(LISTEN).is_ok_and(|it| !it.is_empty()));
            }
        }
        drop(client);
        check_alive(&mut proxy, &mut bystander, seed)?;
    }
    check_log(&proxy);
    ensure!(answered > 0, "no client got as far as an answer");
    Ok(())
}
