//! One connection through the fault proxy: two sockets, two pumps, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::pump::{End, Pump};
use super::{Direction, Set, Shared, Toxic, faults_of};

/// A connection, as the test sees it.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    pub(super) set: watch::Sender<Set>,
    to_server: AtomicU64,
    to_client: AtomicU64,
    /// The next byte of the server answers an SSLRequest and is no message.
    pub(super) awaits_byte: AtomicBool,
    /// Encrypted from here on, or not Postgres's protocol at all.
    pub(super) opaque: AtomicBool,
}

impl Connection {
    /// Its number, from 1 in the order of their beginning.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Makes this what is wrong with it.
    pub fn apply(&self, set: &Set) {
        self.set.send_if_modified(|now| {
            let changes = now != set;
            now.clone_from(set);
            changes
        });
    }

    /// How many bytes have passed.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.counter(direction).load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, direction: Direction, bytes: usize) {
        self.counter(direction).fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

/// Takes the connection off the list when its task ends, however it ends.
struct Listed {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
}

impl Listed {
    fn new(shared: Arc<Shared>) -> Self {
        let mut control = shared.control();
        control.opened += 1;
        let connection = Arc::new(Connection {
            id: control.opened,
            set: faults_of(control.set.clone()),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            awaits_byte: AtomicBool::new(false),
            opaque: AtomicBool::new(!shared.framed),
        });
        control.connections.push(Arc::clone(&connection));
        drop(control);
        Self { shared, connection }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.shared.control().connections.retain(|other| other.id != self.connection.id);
    }
}

pub(super) async fn serve(shared: Arc<Shared>, client: TcpStream) {
    let listed = Listed::new(shared);
    let connection = &listed.connection;
    let Some(server) = reach(&listed.shared, connection).await else {
        return reset(&client);
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let shared = &*listed.shared;
    let there = Pump::new(&client, &server, Direction::ToServer, connection, shared);
    let back = Pump::new(&server, &client, Direction::ToClient, connection, shared);
    match tokio::try_join!(there.run(), back.run()) {
        Err(End::Reset) => {
            reset(&client);
            reset(&server);
        }
        Ok(_) | Err(End::Closed) => {}
    }
}

/// Connects to the server when the faults let it; nothing is to be reset to the client.
async fn reach(shared: &Shared, connection: &Connection) -> Option<TcpStream> {
    let mut faults = connection.set.subscribe();
    loop {
        let now = faults.borrow_and_update().clone();
        if now.has(&Toxic::Reset) {
            return None;
        }
        let silent = now.has(&Toxic::Timeout);
        if !silent && !now.has(&Toxic::BlackHole) {
            return TcpStream::connect(shared.upstream).await.ok();
        }
        faults.changed().await.ok()?;
        if silent && !faults.borrow().has(&Toxic::Timeout) {
            return None;
        }
    }
}

/// The socket's end becomes a reset.
fn reset(socket: &TcpStream) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
