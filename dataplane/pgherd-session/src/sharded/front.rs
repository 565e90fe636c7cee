//! The client's side of a sharded session: its messages, what goes to it, and what it must not
//! notice of the several connections behind.
//!
//! Everything is behind a `RefCell` that is borrowed within one poll only, so that the one who
//! executes a statement can write while the guard reads ahead and sees the client leave.

mod capture;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pgherd_pool::{Socket, note_parameter};
use pgherd_wire::frame::{HEADER_LEN, Header};
use pgherd_wire::{ErrorResponse, ParamSet, backend, frontend, sqlstate};
use tokio::io::AsyncWrite;

use super::deadlocks::Party;
use super::presence::{Cut, Presences};
use super::reads::Blamed;
use crate::buffer::Buffer;
use crate::clients::ClientEntry;
use crate::end::End;
use crate::session::is_frontend_tag;
use crate::shared::{Phase, Worker};
use crate::timeouts::{Activity, Due, Watch};
use capture::Capture;
pub(crate) use capture::{CopyData, Mark};

/// What is collected before it is written, where nobody waits for it.
const ENOUGH: usize = 16 * 1024;
/// What the client may send ahead before it is not read any more.
const MAX_AHEAD: usize = 64 * 1024;
/// What is kept of memory for messages.
const MOST_SPARE: usize = 512;

/// The client of a sharded session.
pub(crate) struct Front {
    pub(crate) worker: Rc<Worker>,
    pub(crate) entry: Arc<ClientEntry>,
    pub(crate) watch: RefCell<Option<Rc<Watch>>>,
    inner: RefCell<Inner>,
    /// Room for the next message.
    spare: Cell<Vec<u8>>,
    capture: RefCell<Option<Capture>>,
    /// Parameters that have changed and what the client knows of them.
    changed: RefCell<Vec<(String, Option<String>)>>,
    /// The session parameters that the client has now, and those that it began with.
    params: RefCell<Arc<ParamSet>>,
    pub(crate) startup_params: Arc<ParamSet>,
    /// Part of a message was written: nothing can be said before its rest.
    pub(crate) is_cut: Cell<bool>,
    pub(crate) received: Cell<u64>,
    pub(crate) sent: Cell<u64>,
    /// The branches that the session has.
    pub(crate) presences: Presences,
    /// The transaction that is open, if it is one over several shards.
    pub(crate) party: RefCell<Option<Arc<Party>>>,
    /// Whose answer was an error, or none at all.
    pub(crate) blamed: Cell<Option<Blamed>>,
}

struct Inner {
    socket: Socket,
    input: Buffer,
    output: Vec<u8>,
    /// How much of it is written.
    written: usize,
    /// From here on it is not to be written yet.
    held: Option<usize>,
    /// Nothing more comes.
    at_end: bool,
}

/// A message of the client, whole.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
    /// The body was longer than is taken, and was thrown away.
    pub(crate) is_too_long: bool,
}

// === impl Front ===

impl Front {
    pub(crate) fn new(
        worker: Rc<Worker>,
        entry: Arc<ClientEntry>,
        socket: Socket,
        unread: &[u8],
        params: Arc<ParamSet>,
    ) -> Rc<Self> {
        let mut input = Buffer::default();
        input.preload(unread, &worker.buffers);
        let inner =
            Inner { socket, input, output: Vec::new(), written: 0, held: None, at_end: false };
        Rc::new(Self {
            worker,
            entry,
            watch: RefCell::default(),
            inner: RefCell::new(inner),
            spare: Cell::default(),
            capture: RefCell::default(),
            changed: RefCell::default(),
            params: RefCell::new(Arc::clone(&params)),
            startup_params: params,
            is_cut: Cell::new(false),
            received: Cell::new(0),
            sent: Cell::new(0),
            presences: Presences::default(),
            party: RefCell::default(),
            blamed: Cell::default(),
        })
    }

    // === what goes to the client ===

    /// Appends to what goes to the client.
    pub(crate) fn put(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.inner.borrow_mut().output);
    }

    /// Appends bytes.
    pub(crate) fn put_bytes(&self, bytes: &[u8]) {
        self.put(|out| out.extend_from_slice(bytes));
    }

    /// Writes all that was put. Cancel safe.
    pub(crate) async fn flush(&self) -> Result<(), End> {
        poll_fn(|cx| self.poll_flush(cx)).await.map_err(End::ClientIo)
    }

    /// Writes when there is enough of it: back-pressure reaches whoever produces. Cancel safe.
    pub(crate) async fn relieve(&self) -> Result<(), End> {
        if self.inner.borrow().output.len() < ENOUGH {
            return Ok(());
        }
        self.flush().await
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.inner.borrow_mut();
        let end = inner.held.unwrap_or(inner.output.len());
        while let Some(left) = inner.output.get(inner.written..end).filter(|it| !it.is_empty()) {
            let n = ready!(Pin::new(&mut inner.socket).poll_write(cx, left))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            inner.written += n;
            self.sent.set(self.sent.get() + n as u64);
        }
        if inner.held.is_some() {
            return Pin::new(&mut inner.socket).poll_flush(cx);
        }
        inner.written = 0;
        inner.output.clear();
        // One large answer is no reason to keep its memory.
        inner.output.shrink_to(4 * ENOUGH);
        Pin::new(&mut inner.socket).poll_flush(cx)
    }

    /// What is put from now on is not sent before [`Front::release`], and can be taken back.
    pub(crate) fn hold(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.held = Some(inner.output.len());
    }

    pub(crate) fn release(&self) {
        self.inner.borrow_mut().held = None;
    }

    /// What was put since [`Front::hold`] was not to be said.
    pub(crate) fn take_back(&self) {
        let mut inner = self.inner.borrow_mut();
        if let Some(held) = inner.held.take() {
            inner.output.truncate(held);
        }
    }

    // === what comes from it ===

    /// The next message; `most` is how long it may be. Cancel safe but for messages that are too
    /// long.
    pub(crate) async fn message(&self, most: usize) -> Result<Message, End> {
        let header = loop {
            if let Some(header) = self.peek_header()? {
                break header;
            }
            self.fill().await?;
        };
        if header.body_len > most {
            return self.throw_away(header).await;
        }
        while self.inner.borrow().input.unscanned().len() < header.total_len() {
            self.fill().await?;
        }
        Ok(self.take_message(header))
    }

    /// The next message, if all of it has come and there is nothing wrong with it.
    pub(crate) fn message_ahead(&self, most: usize) -> Option<Message> {
        let header = self.peek_header().ok()??;
        let has_come = self.inner.borrow().input.unscanned().len() >= header.total_len();
        (has_come && header.body_len <= most).then(|| self.take_message(header))
    }

    fn take_message(&self, header: Header) -> Message {
        let inner = &mut *self.inner.borrow_mut();
        let message = inner.input.unscanned().get(HEADER_LEN..header.total_len());
        let mut body = self.spare.take();
        body.clear();
        body.extend_from_slice(message.unwrap_or_default());
        inner.input.advance(header.total_len());
        if inner.input.is_empty() {
            inner.input.compact();
            inner.input.park(&self.worker.buffers);
        }
        Message { tag: header.tag, body, is_too_long: false }
    }

    /// The room of a message that was dealt with is used for the next one.
    pub(crate) fn recycle(&self, message: Message) {
        if message.body.capacity() <= MOST_SPARE {
            self.spare.set(message.body);
        }
    }

    async fn throw_away(&self, header: Header) -> Result<Message, End> {
        let mut left = header.total_len();
        loop {
            {
                let input = &mut self.inner.borrow_mut().input;
                let n = left.min(input.unscanned().len());
                input.advance(n);
                input.compact();
                left -= n;
            }
            if left == 0 {
                return Ok(Message { tag: header.tag, body: Vec::new(), is_too_long: true });
            }
            self.fill().await?;
        }
    }

    fn peek_header(&self) -> Result<Option<Header>, End> {
        let inner = self.inner.borrow();
        let header = Header::peek(inner.input.unscanned()).map_err(End::ClientFrame)?;
        match header {
            Some(header) if !is_frontend_tag(header.tag) => Err(End::UnknownMessage(header.tag)),
            header => Ok(header),
        }
    }

    /// The first of the messages that have come whole and were not taken whose tag is none of
    /// these.
    pub(crate) fn tag_ahead(&self, but: &[u8]) -> Option<u8> {
        let inner = self.inner.borrow();
        let mut rest = inner.input.unscanned();
        while let Ok(Some(header)) = Header::peek(rest)
            && let Some(next) = rest.get(header.total_len()..)
        {
            if !but.contains(&header.tag) {
                return Some(header.tag);
            }
            rest = next;
        }
        None
    }

    /// Whether a goodbye has come.
    fn says_goodbye(&self) -> bool {
        let inner = self.inner.borrow();
        let mut rest = inner.input.unscanned();
        while let Ok(Some(header)) = Header::peek(rest)
            && let Some(next) = rest.get(header.total_len()..)
        {
            if header.tag == frontend::tag::TERMINATE {
                return true;
            }
            rest = next;
        }
        false
    }

    /// Looks at what has come and was not taken.
    pub(crate) fn look_ahead(&self, look: impl FnOnce(&[u8])) {
        look(self.inner.borrow().input.unscanned());
    }

    /// Whether a message begins in what has come.
    pub(crate) fn has_input(&self) -> bool {
        !self.inner.borrow().input.is_empty()
    }

    async fn fill(&self) -> Result<(), End> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let inner = &mut *self.inner.borrow_mut();
        if inner.at_end {
            return Poll::Ready(Err(End::ClientGone));
        }
        if inner.input.is_empty() {
            inner.input.compact();
            // The buffer is taken only once there are bytes to put into it.
            if ready!(inner.socket.poll_read_ready(cx)).is_err() {
                return Poll::Ready(Err(End::ClientGone));
            }
        } else if !inner.input.has_room() {
            inner.input.compact();
        }
        match inner.input.poll_fill(cx, &mut inner.socket, &self.worker.buffers) {
            Poll::Pending => {
                inner.input.park(&self.worker.buffers);
                Poll::Pending
            }
            Poll::Ready(Ok(0)) => {
                inner.at_end = true;
                Poll::Ready(Err(End::ClientGone))
            }
            Poll::Ready(Ok(n)) => {
                self.received.set(self.received.get() + n as u64);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(End::ClientIo(error))),
        }
    }

    /// Waits for the client to leave while something else is done for it. Reads ahead, within
    /// bounds: a goodbye that came behind other requests lets these be answered.
    fn poll_departure(&self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            {
                let inner = self.inner.borrow();
                if inner.at_end || inner.input.unscanned().len() >= MAX_AHEAD {
                    return Poll::Pending;
                }
            }
            match ready!(self.poll_fill(cx)) {
                Ok(()) => {}
                Err(_) if self.says_goodbye() => {
                    return Poll::Pending;
                }
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// A message that has no place in a COPY: as in Postgres an error, and the end.
    pub(crate) fn lost_in_copy(&self, tag: u8) -> End {
        let text = format!("unexpected message type 0x{tag:02X} during COPY from stdin");
        let error = ErrorResponse::error(sqlstate::PROTOCOL_VIOLATION, text);
        self.put(|out| error.put(out));
        End::NotInCopy(tag)
    }

    // === parameters ===

    pub(crate) fn params(&self) -> Arc<ParamSet> {
        Arc::clone(&self.params.borrow())
    }

    /// Whether the session has these very parameters.
    pub(crate) fn has_params(&self, params: &Arc<ParamSet>) -> bool {
        Arc::ptr_eq(params, &self.params.borrow())
    }

    pub(crate) fn set_params(&self, params: Arc<ParamSet>) {
        *self.params.borrow_mut() = params;
    }

    /// A shard reports a parameter: the client hears of it once, whichever shards say it.
    pub(crate) fn report(&self, name: &str, value: &str) {
        let known = self.params.borrow().get(name) == Some(value);
        if !known {
            note_parameter(&mut self.params.borrow_mut(), name, value);
            self.put(|out| backend::put_parameter_status(out, name, value));
        }
    }

    /// The same, said before the session is ready: from Postgres 14 on that is the place.
    pub(crate) fn report_later(&self, name: &str, value: &str) {
        let before = self.params.borrow().get(name).map(str::to_owned);
        if before.as_deref() == Some(value) {
            return;
        }
        note_parameter(&mut self.params.borrow_mut(), name, value);
        let mut changed = self.changed.borrow_mut();
        if !changed.iter().any(|(known, _)| known == name) {
            changed.push((name.to_owned(), before));
        }
    }

    /// Says what [`Front::report_later`] was told.
    pub(crate) fn report_changed(&self) {
        let params = self.params();
        for (name, before) in self.changed.take() {
            if let Some(value) = params.get(&name).filter(|it| Some(*it) != before.as_deref()) {
                self.put(|out| backend::put_parameter_status(out, &name, value));
            }
        }
    }

    // === the process ===

    pub(crate) fn is_draining(&self) -> bool {
        self.worker.shared.phase() != Phase::Running
    }

    pub(crate) fn note_activity(&self, activity: Activity) {
        if let Some(watch) = &*self.watch.borrow() {
            watch.set_activity(activity);
        }
    }

    /// Does something for the client while watching whether it is still there and how long all
    /// takes. Dropped half way, so is what is done.
    pub(crate) async fn guarding<T>(&self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::pin!(work);
        poll_fn(|cx| {
            self.entry.register(cx.waker());
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(result));
            }
            let watch = self.watch.borrow().clone();
            match watch.map_or(Ok(Due::Nothing), |watch| watch.obey())? {
                Due::Nothing => {}
                Due::Probe => self.presences.probe(),
                Due::GiveUp if self.presences.give_up() => {}
                Due::GiveUp => return Poll::Ready(Err(End::QueryTimeout)),
            }
            let sentence = self.party.borrow().as_ref().and_then(|it| it.take_sentence());
            if let Some(sentence) = sentence {
                let (shard, pid) = (sentence.shard, sentence.pid);
                self.presences.cut(shard, pid, Cut::Refused(sentence.error()));
            }
            match self.poll_departure(cx) {
                Poll::Ready(end) => Poll::Ready(Err(end)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// The next message of an idle client. Ends when it has been idle for too long, or the process
    /// is on its way down and `may_leave`.
    pub(crate) async fn next(&self, most: usize, may_leave: bool) -> Result<Message, End> {
        let message = self.message(most);
        tokio::pin!(message);
        poll_fn(|cx| {
            self.entry.register(cx.waker());
            let watch = self.watch.borrow().clone();
            if let Some(watch) = watch {
                watch.obey()?;
            }
            match message.as_mut().poll(cx) {
                Poll::Pending if may_leave && self.is_draining() && !self.has_input() => {
                    Poll::Ready(Err(End::ShuttingDown))
                }
                polled => polled,
            }
        })
        .await
    }

    /// The socket, when the session is over.
    pub(crate) fn take_socket(&self) -> Socket {
        std::mem::take(&mut self.inner.borrow_mut().socket)
    }
}
