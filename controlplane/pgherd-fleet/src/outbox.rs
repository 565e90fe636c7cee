//! What waits to be sent to one proxy: a slot for each kind of message, where the latest wins.
//!
//! The stream takes from it only when the connection can send. A proxy that reads slowly
//! therefore skips generations instead of making a queue grow.

use std::sync::Arc;

use futures_util::{Stream, stream};
use parking_lot::Mutex;
use pgherd_proto::v1::{
    Down, FleetBans, Peers, Ping, Probe, Refused, Snapshot, Welcome, down::Message,
};
use tokio::sync::Notify;
use tonic::Status;

/// The slots of one stream.
#[derive(Default)]
pub struct Outbox {
    slots: Mutex<Slots>,
    filled: Notify,
}

#[derive(Default)]
struct Slots {
    welcome: Option<Welcome>,
    ping: Option<Ping>,
    probe: Option<Probe>,
    fleet_bans: Option<FleetBans>,
    snapshot: Option<Snapshot>,
    peers: Option<Peers>,
    last_word: Option<LastWord>,
    closed: bool,
}

/// What the stream ends with.
enum LastWord {
    /// Somebody has to act before the proxy is welcome.
    Refused(Refused),
    /// The proxy may try again at once.
    Failed(Status),
}

impl Slots {
    fn take(&mut self) -> Option<Result<Message, Status>> {
        if let Some(last_word) = self.last_word.take() {
            self.closed = true;
            return Some(match last_word {
                LastWord::Refused(refused) => Ok(Message::Refused(refused)),
                LastWord::Failed(status) => Err(status),
            });
        }
        if self.closed {
            return None;
        }
        // The welcome is always first; a ping is small and must not wait behind a snapshot.
        (self.welcome.take().map(Message::Welcome))
            .or_else(|| self.ping.take().map(Message::Ping))
            .or_else(|| self.probe.take().map(Message::Probe))
            .or_else(|| self.fleet_bans.take().map(Message::FleetBans))
            .or_else(|| self.snapshot.take().map(Message::Snapshot))
            .or_else(|| self.peers.take().map(Message::Peers))
            .map(Ok)
    }
}

impl Outbox {
    /// Puts a message into its slot.
    pub fn put(&self, message: Message) {
        let mut slots = self.slots.lock();
        match message {
            Message::Welcome(welcome) => slots.welcome = Some(welcome),
            Message::Ping(ping) => slots.ping = Some(ping),
            Message::FleetBans(bans) => slots.fleet_bans = Some(bans),
            // The one that was not sent yet is asked for as well.
            Message::Probe(probe) => {
                let wanted = &mut slots.probe.get_or_insert_default().instances;
                for instance in probe.instances {
                    if !wanted.contains(&instance) {
                        wanted.push(instance);
                    }
                }
            }
            Message::Snapshot(snapshot) => slots.snapshot = Some(snapshot),
            Message::Peers(peers) => slots.peers = Some(peers),
            Message::Refused(refused) => slots.last_word = Some(LastWord::Refused(refused)),
        }
        drop(slots);
        self.filled.notify_one();
    }

    /// Ends the stream with an error after which the proxy may try again at once.
    pub fn fail(&self, status: Status) {
        self.slots.lock().last_word = Some(LastWord::Failed(status));
        self.filled.notify_one();
    }

    /// Ends the stream; a last word that was put before is still sent.
    pub fn close(&self) {
        self.slots.lock().closed = true;
        self.filled.notify_one();
    }

    /// The messages as they can be sent.
    pub fn into_stream(self: Arc<Self>) -> impl Stream<Item = Result<Down, Status>> + Send {
        stream::unfold(self, |outbox| async move {
            loop {
                let (message, closed) = {
                    let mut slots = outbox.slots.lock();
                    (slots.take(), slots.closed)
                };
                match message {
                    Some(message) => {
                        let down = message.map(|message| Down { message: Some(message) });
                        return Some((down, outbox));
                    }
                    None if closed => return None,
                    None => outbox.filled.notified().await,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt as _;
    use pgherd_proto::v1::{InstanceAddress, Ping, Probe, Refused, Welcome, down::Message};

    use super::Outbox;

    #[tokio::test]
    async fn the_latest_wins_and_a_refusal_is_the_last_word() {
        let outbox = Arc::new(Outbox::default());
        let mut stream = Box::pin(Arc::clone(&outbox).into_stream());
        outbox.put(Message::Ping(Ping { nonce: 1 }));
        outbox.put(Message::Ping(Ping { nonce: 2 }));
        outbox.put(Message::Welcome(Welcome::default()));
        let mut next = async || stream.next().await.map(|down| down.unwrap().message.unwrap());
        assert_eq!(next().await, Some(Message::Welcome(Welcome::default())));
        assert_eq!(next().await, Some(Message::Ping(Ping { nonce: 2 })));
        let probe = |hosts: &[&str]| {
            let address = |host: &&str| InstanceAddress { host: (*host).to_owned(), port: 5432 };
            Message::Probe(Probe { instances: hosts.iter().map(address).collect() })
        };
        outbox.put(probe(&["a", "b"]));
        outbox.put(probe(&["b", "c"]));
        assert_eq!(next().await, Some(probe(&["a", "b", "c"])));
        outbox.put(Message::Ping(Ping { nonce: 3 }));
        outbox.put(Message::Refused(Refused::default()));
        outbox.close();
        assert_eq!(next().await, Some(Message::Refused(Refused::default())));
        assert_eq!(next().await, None);
    }
}
