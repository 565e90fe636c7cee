//! One direction of one connection: what is read, what is held back, what is written when.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

use bytes::{Buf, Bytes};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::frames::{Frames, Piece};
use super::strike::Waiting;
use super::{Connection, Direction, Scope, Shared, Toxic};

const CHUNK: usize = 16 * 1024;
/// About as much as a socket's buffers hold on the way.
const MOST_QUEUED: usize = 256 * 1024;
/// A limited bandwidth is dealt out in so many pieces a second.
const PIECES_PER_SECOND: u64 = 50;

/// Why a connection ends at once, in both directions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Reset,
}

/// What waits to be written.
enum Item {
    Bytes { due: Instant, bytes: Bytes },
    Blow(Waiting),
}

/// How the stream that is read has ended.
#[derive(Clone, Copy)]
enum Ended {
    Orderly(Instant),
    Broken(Instant),
}

pub(super) struct Pump<'a> {
    source: &'a TcpStream,
    sink: &'a TcpStream,
    direction: Direction,
    connection: &'a Connection,
    shared: &'a Shared,
    rng: StdRng,
    frames: Frames,
    queue: VecDeque<Item>,
    queued: usize,
    /// Bytes that have come so far.
    came: u64,
    /// Nothing overtakes what came before it.
    last_due: Instant,
    /// When the next piece may go.
    free_at: Instant,
    /// The socket took no more.
    blocked: bool,
    ended: Option<Ended>,
    /// What was said is lost; it cannot go on.
    swallowed: bool,
    /// Who is written to takes nothing any more. What it has said before it went is passed on by the
    /// other pump, which then comes to the same end.
    deaf: bool,
    limit: Option<(u64, u64)>,
    toxics: Vec<Toxic>,
}

enum Step {
    Look,
    Read,
    Write,
    Finish,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        source: &'a TcpStream,
        sink: &'a TcpStream,
        direction: Direction,
        connection: &'a Connection,
        shared: &'a Shared,
    ) -> Self {
        let stream = 2 * connection.id() + u64::from(direction == Direction::ToClient);
        let now = Instant::now();
        Self {
            source,
            sink,
            direction,
            connection,
            shared,
            rng: StdRng::seed_from_u64(shared.seed.wrapping_add(stream)),
            frames: Frames::new(direction),
            queue: VecDeque::new(),
            queued: 0,
            came: 0,
            last_due: now,
            free_at: now,
            blocked: false,
            ended: None,
            swallowed: false,
            deaf: false,
            limit: None,
            toxics: Vec::new(),
        }
    }

    /// Ends well when the end of the stream was passed on.
    pub(super) async fn run(mut self) -> Result<(), End> {
        let mut faults = self.connection.set.subscribe();
        let (source, sink) = (self.source, self.sink);
        loop {
            let toxics = faults.borrow_and_update().toward(self.direction).to_vec();
            self.adopt(toxics)?;
            let holds = self.toxics.contains(&Toxic::BlackHole);
            let reads = !holds && self.ended.is_none() && self.queued < MOST_QUEUED;
            let blocked = self.blocked && !holds;
            let write = if holds || blocked { None } else { self.next_write() };
            let finish = if holds { None } else { self.finish_at() };
            let step = tokio::select! {
                biased;
                _ = faults.changed() => Step::Look,
                _ = sink.writable(), if blocked => Step::Write,
                () = at(write), if write.is_some() => Step::Write,
                () = at(finish), if finish.is_some() => Step::Finish,
                _ = source.readable(), if reads => Step::Read,
            };
            match step {
                Step::Look => {}
                Step::Read => self.read(),
                Step::Write => {
                    self.write()?;
                    if self.deaf {
                        return Ok(());
                    }
                }
                Step::Finish => return self.finish(),
            }
        }
    }

    /// Takes over what is wrong now.
    fn adopt(&mut self, toxics: Vec<Toxic>) -> Result<(), End> {
        if toxics.contains(&Toxic::Reset) {
            return Err(End::Reset);
        }
        if toxics.contains(&Toxic::Timeout) {
            self.swallowed = true;
            self.queue.clear();
            self.queued = 0;
        } else if self.swallowed {
            return Err(End::Reset);
        }
        let limit = toxics.iter().find_map(|toxic| match toxic {
            Toxic::LimitData { bytes } => Some(*bytes),
            _ => None,
        });
        if limit != self.limit.map(|(whole, _)| whole) {
            self.limit = limit.map(|limit| (limit, limit));
        }
        self.toxics = toxics;
        Ok(())
    }

    fn next_write(&self) -> Option<Instant> {
        match self.queue.front()? {
            Item::Bytes { due, .. } => Some((*due).max(self.free_at)),
            Item::Blow(_) => Some(self.free_at),
        }
    }

    /// When the end of the stream is passed on.
    fn finish_at(&self) -> Option<Instant> {
        let (Ended::Orderly(since) | Ended::Broken(since)) = self.ended?;
        let delay = self.toxics.iter().find_map(|toxic| match toxic {
            Toxic::SlowClose { delay } => Some(*delay),
            _ => None,
        });
        let silent = self.swallowed || !self.queue.is_empty();
        (!silent).then(|| since + delay.unwrap_or_default())
    }

    fn finish(&self) -> Result<(), End> {
        match self.ended {
            Some(Ended::Broken(_)) => Err(End::Reset),
            Some(Ended::Orderly(_)) | None => {
                let _ = SockRef::from(self.sink).shutdown(Shutdown::Write);
                Ok(())
            }
        }
    }

    fn read(&mut self) {
        let mut chunk = [0; CHUNK];
        match self.source.try_read(&mut chunk) {
            Ok(0) => self.end(Ended::Orderly(Instant::now())),
            Ok(_) if self.swallowed => {}
            Ok(count) => {
                self.frames.push(chunk.get(..count).unwrap_or_default());
                while let Some(piece) = self.frames.next(self.connection) {
                    self.take(piece);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.end(Ended::Broken(Instant::now())),
        }
    }

    fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
        if let Some(piece) = self.frames.rest() {
            self.take(piece);
        }
    }

    /// Puts a piece into the queue, with the blow that falls in it.
    fn take(&mut self, piece: Piece) {
        let (direction, came) = (self.direction, self.came);
        let mut control = self.shared.control();
        let falls = control.strikes.iter().enumerate().find_map(|(place, waiting)| {
            Some((place, waiting.strike.falls(direction, came, &piece)?))
        });
        let falls = falls.map(|(place, into)| (control.strikes.remove(place), into));
        drop(control);
        self.came += piece.bytes.len() as u64;
        let mut bytes = piece.bytes;
        if let Some((blow, into)) = falls {
            let before = bytes.split_to(into);
            self.enqueue(before);
            self.queue.push_back(Item::Blow(blow));
        }
        self.enqueue(bytes);
    }

    fn enqueue(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let latency = self.toxics.iter().find_map(|toxic| match toxic {
            Toxic::Latency { delay, jitter } => Some((*delay, *jitter)),
            _ => None,
        });
        let later = latency.map_or(Duration::ZERO, |(delay, jitter)| {
            let offset = jitter.mul_f64(self.rng.random_range(0.0..=2.0));
            (delay + offset).saturating_sub(jitter)
        });
        let due = (Instant::now() + later).max(self.last_due);
        self.last_due = due;
        self.queued += bytes.len();
        self.queue.push_back(Item::Bytes { due, bytes });
    }

    /// Writes one piece, or strikes.
    fn write(&mut self) -> Result<(), End> {
        self.blocked = false;
        let most = self.piece();
        let bytes = match self.queue.front_mut() {
            None => return Ok(()),
            Some(Item::Bytes { bytes, .. }) => bytes,
            Some(Item::Blow(_)) => {
                if let Some(Item::Blow(blow)) = self.queue.pop_front() {
                    self.strike(blow);
                }
                return Ok(());
            }
        };
        let part = bytes.get(..bytes.len().min(most)).unwrap_or_default();
        match self.sink.try_write(part) {
            Ok(count) => {
                bytes.advance(count);
                if bytes.is_empty() {
                    self.queue.pop_front();
                }
                self.queued -= count;
                self.connection.count(self.direction, count);
                self.pace(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            Err(_) => {
                self.deaf = true;
                Ok(())
            }
        }
    }

    /// The most bytes that go at once.
    fn piece(&mut self) -> usize {
        let mut most = usize::MAX;
        for toxic in &self.toxics {
            match *toxic {
                Toxic::Bandwidth { bytes_per_second } => {
                    let piece = (bytes_per_second / PIECES_PER_SECOND).max(1);
                    most = most.min(usize::try_from(piece).unwrap_or(usize::MAX));
                }
                Toxic::Slicer { size, .. } => {
                    most = most.min(self.rng.random_range(1..=(2 * size).max(1)));
                }
                _ => {}
            }
        }
        if let Some((_, left)) = self.limit {
            most = most.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        most
    }

    /// Decides when the next piece may go.
    fn pace(&mut self, written: usize) -> Result<(), End> {
        let now = Instant::now();
        for toxic in &self.toxics {
            match toxic {
                Toxic::Bandwidth { bytes_per_second } => {
                    let takes = written as f64 / (*bytes_per_second).max(1) as f64;
                    self.free_at = self.free_at.max(now) + Duration::from_secs_f64(takes);
                }
                Toxic::Slicer { delay, .. } => self.free_at = self.free_at.max(now) + *delay,
                _ => {}
            }
        }
        if let Some((_, left)) = &mut self.limit {
            *left = left.saturating_sub(written as u64);
            if *left == 0 {
                return Err(End::Closed);
            }
        }
        Ok(())
    }

    fn strike(&self, Waiting { strike, tell }: Waiting) {
        match strike.scope {
            Scope::Connection => self.connection.apply(&strike.blow),
            Scope::All => {
                let mut control = self.shared.control();
                control.set = strike.blow.clone();
                control.connections.iter().for_each(|other| other.apply(&strike.blow));
            }
        }
        let _ = tell.send(self.connection.id());
    }
}

/// A moment, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
