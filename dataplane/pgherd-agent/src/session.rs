//! One stream to the control plane, from connecting to its end.

use std::{collections::VecDeque, error::Error, time::Duration};

use pgherd_proto::v1::{Down, Draining, Pong, Up, down, fleet_client::FleetClient, up};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, transport::Endpoint};

use crate::{Agent, agent::Complaints, bans, handle::Said};

/// Room for a snapshot document of 16 MiB and its envelope.
const MESSAGE_BYTES: usize = 17 << 20;
/// Messages handed to the transport that it has not taken yet.
const IN_FLIGHT: usize = 4;
/// Messages that wait for the control plane to read before it is taken for stuck.
const PENDING: usize = 16_384;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionEnd {
    #[error("cannot connect")]
    Unreachable(#[source] tonic::transport::Error),
    #[error("the stream was not accepted within {limit:?}")]
    AcceptTimeout { limit: Duration },
    #[error("the token is not accepted: {}", .0.message())]
    Token(Status),
    #[error("refused with {code}: {message}")]
    Refused { code: String, message: String },
    #[error("the stream failed ({}): {}", .0.code(), .0.message())]
    Failed(Status),
    #[error("the control plane closed the stream")]
    Closed,
    #[error("no ping came for {deadline:?}")]
    Silent { deadline: Duration },
    #[error("the control plane does not read")]
    Stuck,
}

impl SessionEnd {
    /// Whether trying again soon makes no sense, because somebody has to act first.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Token(_) | Self::Refused { .. } => true,
            Self::Unreachable(_)
            | Self::AcceptTimeout { .. }
            | Self::Failed(_)
            | Self::Closed
            | Self::Silent { .. }
            | Self::Stuck => false,
        }
    }

    fn from_status(status: Status) -> Self {
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Self::Token(status),
            _ => Self::Failed(status),
        }
    }
}

/// An error with the errors behind it, which their own messages leave out.
pub(crate) fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        // Some libraries repeat their source in their own message.
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        source = error.source();
    }
    text
}

/// Connects, says hello, and answers until the stream ends.
///
/// Cancel safe: snapshots are activated between the waits, never across one.
pub(crate) async fn run(
    agent: &mut Agent,
    endpoint: &Endpoint,
    complaints: &mut Complaints,
) -> SessionEnd {
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => return SessionEnd::Unreachable(error),
    };
    let mut client = FleetClient::new(channel).max_decoding_message_size(MESSAGE_BYTES);
    let (outbound, messages) = mpsc::channel(IN_FLIGHT);
    // The channel is new and has room, and its other end lives.
    let _ = outbound.try_send(up(up::Message::Hello(agent.hello())));
    let mut request = Request::new(ReceiverStream::new(messages));
    request.metadata_mut().insert("authorization", agent.authorization.clone());
    let limit = agent.config.timing.connect;
    let mut inbound = match timeout(limit, client.connect(request)).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return SessionEnd::from_status(status),
        Err(_) => return SessionEnd::AcceptTimeout { limit },
    };
    let mut session = Session::new(agent, complaints);
    // A copy of what was never looked at: all that was said before this stream is news to it.
    let Said { mut draining, mut view } = session.agent.said.clone();
    loop {
        // Before the deadline counts, what has arrived is read: a ping may lie behind a snapshot
        // that took long.
        let action = tokio::select! {
            biased;
            permit = outbound.reserve(), if session.has_to_say() => match permit {
                Ok(permit) => Action::Send(permit),
                Err(_) => Action::Received(Ok(None)),
            },
            message = inbound.message() => Action::Received(message),
            () = sleep_until(session.ping_due()) => Action::PingMissed,
            _ = session.statistics.tick() => Action::ReportStatistics,
            () = changed(&mut draining) => Action::Drain,
            () = changed(&mut view) => Action::ViewChanged,
            () = sleep_until(session.view_at), if session.welcomed => Action::ViewDue,
        };
        if let Err(end) = session.apply(action) {
            return end;
        }
    }
}

/// What the stream's task has to do next.
enum Action<'a> {
    Received(Result<Option<Down>, Status>),
    Send(mpsc::Permit<'a, Up>),
    PingMissed,
    ReportStatistics,
    Drain,
    ViewChanged,
    ViewDue,
}

/// Waits until the proxy says something new; for ever when its handle is gone.
async fn changed<T>(said: &mut watch::Receiver<T>) {
    if said.changed().await.is_err() {
        std::future::pending().await
    }
}

/// The state of one accepted stream.
struct Session<'a> {
    agent: &'a mut Agent,
    complaints: &'a mut Complaints,
    /// Messages that the transport has no room for yet.
    pending: VecDeque<Up>,
    statistics: Interval,
    last_ping: Instant,
    welcomed: bool,
    /// When the next view is due.
    view_at: Instant,
    /// When the last one was sent.
    viewed: Instant,
    /// Whether a view is to be sent. It is made when the transport has room for it, so that the
    /// control plane never hears an old one.
    view_due: bool,
}

impl<'a> Session<'a> {
    fn new(agent: &'a mut Agent, complaints: &'a mut Complaints) -> Self {
        let period = agent.config.timing.statistics;
        let statistics = ticks(Instant::now() + period, period);
        Self {
            agent,
            complaints,
            pending: VecDeque::new(),
            statistics,
            last_ping: Instant::now(),
            welcomed: false,
            view_at: Instant::now(),
            viewed: Instant::now(),
            view_due: false,
        }
    }

    fn ping_due(&self) -> Instant {
        self.last_ping + self.agent.config.timing.ping_deadline
    }

    fn has_to_say(&self) -> bool {
        self.view_due || !self.pending.is_empty()
    }

    fn queue(&mut self, message: up::Message) {
        self.pending.push_back(up(message));
    }

    fn apply(&mut self, action: Action<'_>) -> Result<(), SessionEnd> {
        match action {
            Action::Received(Ok(Some(message))) => self.receive(message)?,
            Action::Received(Ok(None)) => return Err(SessionEnd::Closed),
            Action::Received(Err(status)) => return Err(SessionEnd::from_status(status)),
            Action::Send(permit) => {
                if let Some(message) = self.pending.pop_front() {
                    permit.send(message);
                } else if self.view_due {
                    self.view_due = false;
                    self.viewed = Instant::now();
                    self.view_at = self.viewed + self.agent.config.timing.view;
                    permit.send(up(up::Message::View(self.agent.view())));
                }
            }
            Action::PingMissed => {
                let deadline = self.agent.config.timing.ping_deadline;
                return Err(SessionEnd::Silent { deadline });
            }
            Action::ReportStatistics => {
                self.queue(up::Message::Statistics(self.agent.proxy.statistics()));
            }
            Action::Drain => self.queue(up::Message::Draining(Draining {})),
            Action::ViewChanged => {
                let soonest = self.viewed + self.agent.config.timing.view_least;
                self.view_at = self.view_at.min(soonest);
            }
            Action::ViewDue => {
                self.view_due = true;
                self.view_at = Instant::now() + self.agent.config.timing.view;
            }
        }
        if self.pending.len() > PENDING { Err(SessionEnd::Stuck) } else { Ok(()) }
    }

    fn receive(&mut self, message: Down) -> Result<(), SessionEnd> {
        match message.message {
            Some(down::Message::Welcome(welcome)) => {
                tracing::info!(
                    proxy_number = welcome.proxy_number,
                    "connected to the control plane"
                );
                self.complaints.settle();
                self.welcomed = true;
                self.view_at = Instant::now();
                self.agent.proxy.proxy_number(welcome.proxy_number);
                let period = self.agent.statistics_interval(welcome.statistics_interval_seconds);
                self.statistics = ticks(Instant::now(), period);
            }
            Some(down::Message::Snapshot(snapshot)) => {
                let answer = self.agent.receive(snapshot);
                self.pending.push_back(answer);
            }
            Some(down::Message::Peers(peers)) => self.agent.proxy.peers(peers.peers),
            Some(down::Message::Ping(ping)) => {
                self.last_ping = Instant::now();
                // Ahead of everything else: the control plane measures how long this takes.
                self.pending.push_front(up(up::Message::Pong(Pong { nonce: ping.nonce })));
            }
            Some(down::Message::FleetBans(bans)) => self.agent.ban(bans),
            Some(down::Message::Probe(probe)) => {
                for address in probe.instances {
                    match bans::instance(address.host, address.port) {
                        Ok(instance) => self.agent.proxy.probe(instance),
                        Err(error) => tracing::debug!(%error, "asked to probe no instance"),
                    }
                }
            }
            Some(down::Message::Refused(refused)) => {
                return Err(SessionEnd::Refused { code: refused.code, message: refused.message });
            }
            // Fields are only ever added: a newer control plane may say what we do not know.
            None => tracing::debug!("a message of an unknown kind is ignored"),
        }
        Ok(())
    }
}

fn up(message: up::Message) -> Up {
    Up { message: Some(message) }
}

fn ticks(first: Instant, period: Duration) -> Interval {
    let mut ticks = interval_at(first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
