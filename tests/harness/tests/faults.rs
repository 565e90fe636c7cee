//! What each fault of the fault proxy does to a connection, and what it leaves alone.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::faults::{At, Direction, FaultProxy, Position, Scope, Set, Strike, Toxic};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::{Client, Login, frontend};

const SOON: Duration = Duration::from_secs(10);
/// Longer than what is not meant to come would take.
const A_WHILE: Duration = Duration::from_millis(150);
const SEED: u64 = 7;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Says everything back, in threads that end with their connections.
fn echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { break };
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut chunk = [0; 4096];
                loop {
                    match stream.read(&mut chunk)? {
                        0 => return Ok(()),
                        count => stream.write_all(&chunk[..count])?,
                    }
                }
            });
        }
    });
    Ok(addr)
}

fn start() -> Result<FaultProxy> {
    FaultProxy::start(echo()?, SEED)
}

fn connect(faults: &FaultProxy) -> Result<TcpStream> {
    let stream = TcpStream::connect(faults.addr())?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

/// Sends bytes and reads as many back; how long that took.
fn round(stream: &mut TcpStream, bytes: &[u8]) -> Result<Duration> {
    let begun = Instant::now();
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    ensure!(back == bytes, "other bytes came back");
    Ok(begun.elapsed())
}

fn is_silent(stream: &mut TcpStream) -> Result<bool> {
    stream.set_read_timeout(Some(A_WHILE))?;
    let silent = match stream.read(&mut [0]) {
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        Ok(_) => false,
    };
    stream.set_read_timeout(Some(SOON))?;
    Ok(silent)
}

#[track_caller]
fn assert_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0]).expect_err("the connection was reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8).collect()
}

/// A server that goes away while the client still speaks: its kernel resets the connection.
#[test]
fn last_words_are_passed_on_although_nobody_listens_any_more() -> Result<()> {
    const WORDS: &[u8] = b"last words";
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let faults = FaultProxy::start(listener.local_addr()?, SEED)?;
    // What comes first, the words or the reset, is the kernel's and the scheduler's affair.
    for _ in 0..50 {
        let mut client = connect(&faults)?;
        let mut speaker = client.try_clone()?;
        let speaking =
            std::thread::spawn(move || while speaker.write_all(&pattern(4096)).is_ok() {});
        let (mut server, _) = listener.accept()?;
        server.read_exact(&mut [0; 100])?;
        server.write_all(WORDS)?;
        drop(server);
        let mut heard = [0; WORDS.len()];
        client.read_exact(&mut heard).context("the last words")?;
        assert_eq!(heard, WORDS);
        // It may be over already.
        let _ = client.shutdown(std::net::Shutdown::Both);
        speaking.join().expect("no panic");
    }
    Ok(())
}

#[test]
fn without_faults_everything_passes_in_order() -> Result<()> {
    let faults = start()?;
    let mut stream = connect(&faults)?;
    let bytes = pattern(3_000_000);
    let mut reader = stream.try_clone()?;
    let read = std::thread::spawn(move || -> Result<Vec<u8>> {
        let mut back = Vec::new();
        reader.read_to_end(&mut back)?;
        Ok(back)
    });
    stream.write_all(&bytes)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    assert!(read.join().expect("it ends")? == bytes, "other bytes came back");
    poll::until(SOON, "the connection to be forgotten", || {
        Ok(faults.connections().is_empty().then_some(()))
    })?;
    assert_eq!(faults.opened(), 1);
    Ok(())
}

#[test]
fn latency_delays_each_way_and_not_the_throughput() -> Result<()> {
    let faults = start()?;
    let mut stream = connect(&faults)?;
    round(&mut stream, b"warm")?;
    faults.apply(&Set::both(Toxic::Latency { delay: ms(60), jitter: ms(0) }));
    let took = round(&mut stream, b"x")?;
    assert!(took >= ms(120), "{took:?}");
    // Twenty chunks, one after the other, would take 2.4 s.
    let took = round(&mut stream, &pattern(100_000))?;
    assert!((ms(120)..ms(1200)).contains(&took), "{took:?}");
    faults.heal();
    assert!(round(&mut stream, b"x")? < ms(60));
    Ok(())
}

#[test]
fn jitter_spreads_the_delays_and_keeps_the_order() -> Result<()> {
    let faults = start()?;
    let mut stream = connect(&faults)?;
    let toxic = Toxic::Latency { delay: ms(20), jitter: ms(20) };
    faults.apply(&Set::only(Direction::ToClient, toxic));
    let mut times = Vec::new();
    for _ in 0..20 {
        times.push(round(&mut stream, &pattern(1000))?);
    }
    let (least, most) = (times.iter().min(), times.iter().max());
    let (least, most) = (least.context("some")?, most.context("some")?);
    assert!(*most >= *least + ms(10), "{least:?} to {most:?}");
    Ok(())
}

#[test]
fn bandwidth_is_limited_in_its_direction() -> Result<()> {
    let faults = start()?;
    let mut stream = connect(&faults)?;
    let toxic = Toxic::Bandwidth { bytes_per_second: 100_000 };
    faults.apply(&Set::only(Direction::ToClient, toxic));
    let took = round(&mut stream, &pattern(50_000))?;
    assert!((ms(400)..ms(2000)).contains(&took), "{took:?}");
    faults.heal();
    let took = round(&mut stream, &pattern(50_000))?;
    assert!(took < ms(300), "{took:?}");
    Ok(())
}

#[test]
fn a_slow_close_delays_the_end_only() -> Result<()> {
    let faults = start()?;
    let mut stream = connect(&faults)?;
    faults.apply(&Set::only(Direction::ToClient, Toxic::SlowClose { delay: ms(300) }));
    let took = round(&mut stream, b"x")?;
    assert!(took < ms(200), "{took:?}");
    stream.shutdown(std::net::Shutdown::Write)?;
    let begun = Instant::now();
    assert_eq!(stream.read(&mut [0])?, 0);
    assert!(begun.elapsed() >= ms(290), "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn a_timeout_accepts_says_nothing_and_ends_in_a_reset() -> Result<()> {
    let faults = start()?;
    let mut old = connect(&faults)?;
    round(&mut old, b"x")?;
    faults.apply(&Set::both(Toxic::Timeout));
    let mut new = connect(&faults)?;
    for stream in [&mut old, &mut new] {
        stream.write_all(b"heard by nobody")?;
        assert!(is_silent(stream)?);
    }
    faults.heal();
    assert_reset(&mut old);
    assert_reset(&mut new);
    round(&mut connect(&faults)?, b"x")?;
    Ok(())
}

#[test]
fn a_reset_hits_old_and_new_connections() -> Result<()> {
    let faults = start()?;
    let (mut one, mut other) = (connect(&faults)?, connect(&faults)?);
    round(&mut one, b"x")?;
    round(&mut other, b"x")?;
    // The older one only.
    faults.connections()[0].apply(&Set::both(Toxic::Reset));
    assert_reset(&mut one);
    round(&mut other, b"x")?;
    faults.apply(&Set::both(Toxic::Reset));
    assert_reset(&mut other);
    let mut new = connect(&faults)?;
    assert_reset(&mut new);
    faults.heal();
    round(&mut connect(&faults)?, b"x")?;
    Ok(())
}

#[test]
fn a_slicer_cuts_into_pieces_and_loses_none() -> Result<()> {
    let faults = start()?;
    let mut stream = connect(&faults)?;
    let toxic = Toxic::Slicer { size: 100, delay: ms(5) };
    faults.apply(&Set::only(Direction::ToClient, toxic));
    let bytes = pattern(4000);
    stream.write_all(&bytes)?;
    let (mut back, mut reads, begun) = (Vec::new(), 0, Instant::now());
    while back.len() < bytes.len() {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk)?;
        ensure!(count > 0, "closed after {} bytes", back.len());
        back.extend_from_slice(&chunk[..count]);
        reads += 1;
    }
    assert!(back == bytes, "other bytes came back");
    assert!(reads >= 10 && begun.elapsed() >= ms(100), "{reads} reads in {:?}", begun.elapsed());
    Ok(())
}

#[test]
fn limited_data_closes_after_exactly_so_many_bytes() -> Result<()> {
    let faults = start()?;
    let mut stream = connect(&faults)?;
    round(&mut stream, &pattern(500))?;
    faults.apply(&Set::only(Direction::ToClient, Toxic::LimitData { bytes: 1234 }));
    stream.write_all(&pattern(1234))?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    assert!(back == pattern(1234), "{} bytes came back", back.len());
    Ok(())
}

#[test]
fn a_black_hole_holds_everything_until_it_is_healed() -> Result<()> {
    let faults = start()?;
    let (mut one, mut other) = (connect(&faults)?, connect(&faults)?);
    round(&mut one, b"x")?;
    round(&mut other, b"x")?;
    faults.connections()[0].apply(&Set::both(Toxic::BlackHole));
    one.write_all(b"held")?;
    assert!(is_silent(&mut one)?);
    round(&mut other, b"not held")?;
    faults.apply(&Set::both(Toxic::BlackHole));
    // Not even an end is heard.
    other.shutdown(std::net::Shutdown::Write)?;
    let mut new = connect(&faults)?;
    new.write_all(b"new")?;
    assert!(is_silent(&mut other)? && is_silent(&mut new)?);
    faults.heal();
    let mut back = [0; 4];
    one.read_exact(&mut back)?;
    assert_eq!(&back, b"held");
    assert_eq!(other.read(&mut [0])?, 0);
    new.read_exact(&mut back[..3])?;
    assert_eq!(&back[..3], b"new");
    Ok(())
}

#[test]
fn a_closed_listener_refuses_and_comes_back_at_its_address() -> Result<()> {
    let faults = start()?;
    let mut old = connect(&faults)?;
    round(&mut old, b"x")?;
    faults.refuse()?;
    let refused = TcpStream::connect(faults.addr()).map(drop).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    round(&mut old, b"unharmed")?;
    faults.accept()?;
    round(&mut connect(&faults)?, b"x")?;
    Ok(())
}

#[test]
fn a_strike_falls_at_its_byte() -> Result<()> {
    let faults = start()?;
    let armed = faults.arm(Strike {
        direction: Direction::ToServer,
        at: At::Byte(700),
        position: Position::Before,
        blow: Set::only(Direction::ToServer, Toxic::BlackHole),
        scope: Scope::Connection,
    });
    let (mut stream, mut other) = (connect(&faults)?, connect(&faults)?);
    stream.write_all(&pattern(1000))?;
    assert_eq!(armed.wait(SOON)?, 1);
    let mut back = [0; 700];
    stream.read_exact(&mut back)?;
    assert!(is_silent(&mut stream)?);
    round(&mut other, &pattern(1000))?;
    faults.heal();
    let mut back = [0; 300];
    stream.read_exact(&mut back)?;
    assert!(back[..] == pattern(1000)[700..], "other bytes came back");
    Ok(())
}

/// Strikes at a query with a black hole, and tells whether Postgres has run it.
fn ran_when_struck(postgres: &Postgres, position: Position, wait: Duration) -> Result<bool> {
    postgres.sql("DROP TABLE IF EXISTS t; CREATE TABLE t (); GRANT ALL ON t TO app")?;
    let faults = FaultProxy::for_postgres(postgres.addr(), SEED)?;
    let mut client = Client::connect(faults.addr())?;
    // An answer of one byte that is no message must not confuse it.
    client.send(&frontend::ssl_request())?;
    ensure!(client.byte()? == Some(b'N'));
    let mut client = client.finish_login(&Login::default())?;
    client.rows("SELECT 'more than eight kilobytes', repeat('x', 20000)")?;
    let armed = faults.arm(Strike {
        direction: Direction::ToServer,
        at: At::Message { tag: b'Q', containing: b"struck".to_vec() },
        position,
        blow: Set::both(Toxic::BlackHole),
        scope: Scope::Connection,
    });
    client.rows("SELECT 'spared'")?;
    client.send(&frontend::query("INSERT INTO t DEFAULT VALUES; SELECT 'struck'"))?;
    armed.wait(SOON)?;
    let ran = || Ok((!postgres.sql("SELECT FROM t")?.is_empty()).then_some(()));
    Ok(poll::until(wait, "the query to run", ran).is_ok())
}

#[test]
fn a_strike_falls_before_within_or_after_a_message() -> Result<()> {
    let postgres = Postgres::start()?;
    assert!(!ran_when_struck(&postgres, Position::Before, A_WHILE)?);
    assert!(!ran_when_struck(&postgres, Position::Within, A_WHILE)?);
    assert!(ran_when_struck(&postgres, Position::After, SOON)?);
    Ok(())
}
