//! The queue of what a server still owes: which request each reply answers, and who gets it.
//!
//! Every request that goes to a server leaves an entry; every reply is checked against the entry
//! at the head. So the relay knows at any moment whether the connection is free, which replies
//! belong to requests that the proxy slipped in (they are swallowed), and where replies that the
//! proxy invents must stand. After an error in the extended protocol the server discards until
//! the next Sync, and so does the queue, handing back the effect of each discarded request for
//! the caller to undo.

use std::collections::VecDeque;

use crate::backend::tag;

mod doubt;
mod status;

use doubt::Doubt;
pub use status::TransactionStatus;

/// A request that the server answers, by the way in which it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Query of the simple protocol: anything, then ReadyForQuery.
    Query,
    /// FunctionCall: a result or an error, then ReadyForQuery.
    FunctionCall,
    /// Parse: ParseComplete.
    Parse,
    /// Bind: BindComplete.
    Bind,
    /// Describe of a statement: ParameterDescription, then RowDescription or NoData.
    DescribeStatement,
    /// Describe of a portal: RowDescription or NoData.
    DescribePortal,
    /// Execute: rows, then CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// Close: CloseComplete.
    Close,
    /// Sync: ReadyForQuery.
    Sync,
}

/// Who asked, and so who gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The client: the reply is forwarded.
    Client,
    /// The proxy slipped the request in: the reply is swallowed.
    Proxy,
}

/// A reply that fits nothing the server was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("server sent message {tag:#04x} while it owed {owed:?}")]
pub struct UnexpectedReply {
    /// Tag of the reply.
    pub tag: u8,
    /// What the server owed first, if anything.
    pub owed: Option<Request>,
}

/// What an error did to the requests behind it.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// Nothing was owed: the server speaks by itself, mostly before it closes the connection.
    Unsolicited,
    /// A simple query, a function call or a Sync failed. ReadyForQuery follows.
    BeforeReady,
    /// A request of the extended protocol failed.
    Extended {
        /// The effect of the request that failed.
        failed: E,
        /// The effects of the requests that the server discards, newest first.
        discarded: Vec<E>,
    },
}

#[derive(Debug)]
enum Entry<E> {
    Asked {
        request: Request,
        audience: Audience,
        effect: E,
    },
    /// A reply without a body that the proxy gives in the server's stead.
    Invented {
        tag: u8,
        effect: E,
    },
    /// CopyDone or CopyFail, sent before the server was seen to be in COPY IN.
    CopyEnd {
        behind_sync: bool,
    },
}

/// How far COPY IN has come, as far as that decides which Syncs are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyIn {
    No,
    /// The server reads copy data: it ignores Sync and Flush.
    Reading,
    /// The client has ended the copy; the result is owed.
    Ended,
}

/// The queue of one server connection. `E` is what a request changed in the caller's books.
#[derive(Debug)]
pub struct Owed<E> {
    queue: VecDeque<Entry<E>>,
    status: TransactionStatus,
    copy_in: CopyIn,
    /// The server discards until the next Sync.
    skipping: bool,
    /// Something was sent in the extended protocol and no Sync after it was answered yet.
    open_batch: bool,
    /// Requests in the queue that end in ReadyForQuery.
    readies: usize,
    /// Syncs sent while the server read copy data, which a failing COPY may or may not have read.
    syncs_in_copy: usize,
    /// Entries that are `CopyEnd` behind a Sync.
    ends_behind_sync: usize,
    /// Part of the answer to the request at the head has come.
    begun: bool,
    doubt: Option<Doubt>,
}

impl<E> Default for Owed<E> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            status: TransactionStatus::Idle,
            copy_in: CopyIn::No,
            skipping: false,
            open_batch: false,
            readies: 0,
            syncs_in_copy: 0,
            ends_behind_sync: 0,
            begun: false,
            doubt: None,
        }
    }
}

impl<E> Owed<E> {
    /// Notes a request that was sent. Nothing is noted of what the server will not answer.
    pub fn push(&mut self, request: Request, audience: Audience, effect: E) {
        match request {
            Request::Sync if self.copy_in == CopyIn::Reading => {
                self.syncs_in_copy += 1;
                return;
            }
            Request::Sync => {
                self.skipping = false;
                self.readies += 1;
            }
            Request::Query | Request::FunctionCall => self.readies += 1,
            _ => self.open_batch = true,
        }
        self.queue.push_back(Entry::Asked { request, audience, effect });
    }

    /// Notes a reply without a body that the proxy will give itself. It is taken out again by
    /// [`Owed::next_invented`] when all before it is answered.
    pub fn push_invented(&mut self, tag: u8, effect: E) {
        self.open_batch = true;
        self.queue.push_back(Entry::Invented { tag, effect });
    }

    /// Notes that CopyDone or CopyFail was sent.
    pub fn push_copy_end(&mut self) {
        match self.copy_in {
            CopyIn::Reading => self.copy_in = CopyIn::Ended,
            CopyIn::Ended => {}
            // Perhaps the server is about to say that it reads copy data; otherwise it ignores it.
            CopyIn::No if !self.queue.is_empty() => {
                let behind_sync = self
                    .queue
                    .iter()
                    .any(|entry| matches!(entry, Entry::Asked { request: Request::Sync, .. }));
                self.ends_behind_sync += usize::from(behind_sync);
                self.queue.push_back(Entry::CopyEnd { behind_sync });
            }
            CopyIn::No => {}
        }
    }

    /// The tag of an invented reply whose turn it is.
    pub fn next_invented(&mut self) -> Option<(u8, E)> {
        loop {
            match self.queue.front()? {
                Entry::Asked { .. } => return None,
                &Entry::CopyEnd { behind_sync } => {
                    self.ends_behind_sync -= usize::from(behind_sync);
                    self.queue.pop_front();
                }
                Entry::Invented { .. } => match self.queue.pop_front() {
                    Some(Entry::Invented { tag, effect }) => return Some((tag, effect)),
                    _ => return None,
                },
            }
        }
    }

    /// Takes any reply but ErrorResponse, ReadyForQuery and the three that come unasked
    /// (ParameterStatus, NoticeResponse, NotificationResponse), and says who gets it.
    #[inline]
    pub fn reply(&mut self, tag: u8) -> Result<Audience, UnexpectedReply> {
        let Some(Entry::Asked { request, audience, .. }) = self.queue.front() else {
            return Err(UnexpectedReply { tag, owed: None });
        };
        let (request, audience) = (*request, *audience);
        let done = match (request, tag) {
            (
                Request::Query,
                tag::DATA_ROW
                | tag::ROW_DESCRIPTION
                | tag::EMPTY_QUERY
                | tag::COPY_OUT
                | tag::COPY_DATA
                | tag::COPY_DONE,
            )
            | (Request::FunctionCall, tag::FUNCTION_CALL_RESPONSE)
            | (Request::DescribeStatement, tag::PARAMETER_DESCRIPTION)
            | (Request::Execute, tag::DATA_ROW | tag::COPY_OUT | tag::COPY_DATA | tag::COPY_DONE) => {
                false
            }
            (Request::Query, tag::COMMAND_COMPLETE) => {
                self.end_copy();
                false
            }
            (Request::Query | Request::Execute, tag::COPY_IN) => {
                self.begin_copy_in();
                false
            }
            (Request::Parse, tag::PARSE_COMPLETE)
            | (Request::Bind, tag::BIND_COMPLETE)
            | (Request::Close, tag::CLOSE_COMPLETE)
            | (
                Request::DescribeStatement | Request::DescribePortal,
                tag::ROW_DESCRIPTION | tag::NO_DATA,
            ) => true,
            (
                Request::Execute,
                tag::COMMAND_COMPLETE | tag::EMPTY_QUERY | tag::PORTAL_SUSPENDED,
            ) => {
                self.end_copy();
                true
            }
            _ => return Err(UnexpectedReply { tag, owed: Some(request) }),
        };
        if self.doubt.is_some() {
            self.resolve_doubt();
        }
        self.begun = !done;
        if done {
            self.queue.pop_front();
        }
        Ok(audience)
    }

    /// Takes ReadyForQuery.
    pub fn ready(&mut self, status: TransactionStatus) -> Result<Audience, UnexpectedReply> {
        let tag = tag::READY_FOR_QUERY;
        let owed = self.head_request();
        if self.doubt.is_some() && self.is_doubtful_ready(status) {
            return Ok(Audience::Client);
        }
        match owed {
            Some(Request::Query | Request::FunctionCall | Request::Sync) => {}
            _ => return Err(UnexpectedReply { tag, owed }),
        }
        let Some(Entry::Asked { audience, .. }) = self.queue.pop_front() else {
            return Err(UnexpectedReply { tag, owed });
        };
        self.status = status;
        self.readies -= 1;
        self.begun = false;
        if self.copy_in != CopyIn::No {
            self.copy_in = CopyIn::No;
        }
        if self.queue.iter().all(|entry| matches!(entry, Entry::CopyEnd { .. })) {
            self.open_batch = false;
        }
        Ok(audience)
    }

    /// Takes ErrorResponse. It always belongs to the client, also when a request of the proxy
    /// caused it: that request stood in for one of the client's.
    pub fn error(&mut self) -> Failure<E> {
        if self.doubt.is_some() {
            self.resolve_doubt();
        }
        self.begun = true;
        if self.copy_in != CopyIn::No && self.syncs_in_copy > 0 {
            // Whether the server read those Syncs before or after it gave the copy up is unknown.
            self.doubt = Some(Doubt::about(self.syncs_in_copy));
        }
        self.end_copy();
        match self.head_request() {
            None => return Failure::Unsolicited,
            Some(Request::Query | Request::FunctionCall | Request::Sync) => {
                return Failure::BeforeReady;
            }
            Some(_) => {}
        }
        let sync = self
            .queue
            .iter()
            .position(|entry| matches!(entry, Entry::Asked { request: Request::Sync, .. }));
        self.skipping = sync.is_none();
        let mut gone: Vec<E> = Vec::new();
        let mut unanswered = false;
        for entry in self.queue.drain(..sync.unwrap_or(self.queue.len())) {
            match entry {
                Entry::Asked { request, audience, effect } => {
                    if matches!(request, Request::Query | Request::FunctionCall) {
                        self.readies -= 1;
                        unanswered = audience == Audience::Client;
                    }
                    gone.push(effect);
                }
                Entry::Invented { effect, .. } => gone.push(effect),
                Entry::CopyEnd { behind_sync } => {
                    self.ends_behind_sync -= usize::from(behind_sync);
                }
            }
        }
        // A Query that the proxy has put a Parse before and a Sync behind is answered by that Sync.
        if unanswered
            && let Some(Entry::Asked { audience: audience @ Audience::Proxy, .. }) =
                self.queue.front_mut()
        {
            *audience = Audience::Client;
        }
        gone.reverse();
        match gone.pop() {
            Some(failed) => Failure::Extended { failed, discarded: gone },
            None => Failure::Unsolicited,
        }
    }

    /// The effect noted with the request that is being answered.
    pub fn head_effect(&self) -> Option<&E> {
        match self.queue.front()? {
            Entry::Asked { effect, .. } => Some(effect),
            _ => None,
        }
    }

    /// Who gets the answer that comes next.
    pub fn head_audience(&self) -> Option<Audience> {
        match self.queue.front()? {
            Entry::Asked { audience, .. } => Some(*audience),
            _ => None,
        }
    }

    /// The request that is being answered.
    pub fn head_request(&self) -> Option<Request> {
        match self.queue.front()? {
            Entry::Asked { request, .. } => Some(*request),
            _ => None,
        }
    }

    /// Whether the connection can serve somebody else: nothing owed, nothing open, no transaction.
    pub fn is_free(&self) -> bool {
        self.is_answered() && self.status == TransactionStatus::Idle
    }

    /// Whether nothing is owed and nothing open, whatever the state of the transaction.
    pub fn is_answered(&self) -> bool {
        self.queue.is_empty()
            && !self.skipping
            && !self.open_batch
            && self.copy_in == CopyIn::No
            && self.doubt.is_none()
    }

    /// Whether the server waits for a Sync before it says that it is ready.
    pub fn needs_sync(&self) -> bool {
        match self.queue.back() {
            Some(Entry::Asked { request, .. }) => {
                !matches!(request, Request::Sync | Request::Query | Request::FunctionCall)
            }
            Some(Entry::Invented { .. }) => true,
            Some(Entry::CopyEnd { .. }) => self.readies == 0,
            None => self.open_batch || self.skipping,
        }
    }

    /// Whether something was sent in the extended protocol since the last Sync that was answered.
    pub fn is_open(&self) -> bool {
        self.open_batch
    }

    /// Whether the server discards what comes until the next Sync.
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether the server reads copy data.
    pub fn is_copy_in(&self) -> bool {
        self.copy_in == CopyIn::Reading
    }

    /// How many ReadyForQuery the server owes.
    pub fn readies(&self) -> usize {
        self.readies
    }

    /// What the last ReadyForQuery said.
    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Whether a copy that has ended had Syncs among its data. What the client sends then, but for
    /// the Sync that it ends with, is executed or discarded, as the server saw those Syncs: it is
    /// held back until that is known.
    #[inline]
    pub fn awaits_copy(&self) -> bool {
        self.ends_behind_sync > 0
            || (self.syncs_in_copy > 0 && self.copy_in == CopyIn::Ended)
            || self.doubt.is_some()
    }

    /// Whether nothing more will be answered before the client sends more.
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() || self.copy_in == CopyIn::Reading
    }

    /// Entries in the queue, by which the caller bounds a pipeline.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no reply is owed.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The server reads copy data from what was sent behind the head: it ignores Syncs up to the
    /// end of the copy. Anything else there is an error that it will report itself.
    fn begin_copy_in(&mut self) {
        self.copy_in = CopyIn::Reading;
        while let Some(next) = self.queue.get(1) {
            match next {
                Entry::Asked { request: Request::Sync, .. } => {
                    self.queue.remove(1);
                    self.readies -= 1;
                    self.syncs_in_copy += 1;
                }
                &Entry::CopyEnd { behind_sync } => {
                    self.ends_behind_sync -= usize::from(behind_sync);
                    self.queue.remove(1);
                    self.copy_in = CopyIn::Ended;
                    return;
                }
                Entry::Asked { .. } | Entry::Invented { .. } => return,
            }
        }
    }

    fn end_copy(&mut self) {
        self.copy_in = CopyIn::No;
        self.syncs_in_copy = 0;
    }
}

#[cfg(test)]
mod tests;
