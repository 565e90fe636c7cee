//! A server that answers as the manual says, one request after the other: each of its replies
//! passes to whom it belongs, and nothing else does.

use std::collections::VecDeque;

use pgherd_wire::TransactionStatus;
use pgherd_wire::backend::tag;
use pgherd_wire::owed::{Audience, Failure, Owed, Request};

use crate::input::Input;

/// Every tag of a server but the three that come unasked, ErrorResponse and ReadyForQuery.
const TAGS: &[u8] = b"RK23C1WdcGHDIVvntsT";

/// A request under way, with its number.
#[derive(Clone, Copy)]
struct Sent {
    request: Request,
    audience: Audience,
    number: usize,
}

/// What the server does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It looks at the next message.
    Ready,
    /// It has failed in the extended protocol: it discards up to the next Sync.
    Skipping,
    /// It answers the message that it took last.
    Answering,
    /// It reads the data of a COPY that this message has begun.
    CopyIn,
}

struct Server {
    owed: Owed<usize>,
    sent: VecDeque<Sent>,
    state: State,
    number: usize,
}

pub(super) fn run(mut input: Input<'_>) {
    let mut server =
        Server { owed: Owed::default(), sent: VecDeque::new(), state: State::Ready, number: 0 };
    while !input.is_empty() {
        match input.below(3) {
            0 => server.send(&mut input),
            1 => server.work(&mut input),
            _ => server.lie(&mut input),
        }
    }
    // Let it come to its end: then the connection is free.
    for _ in 0..1_000 {
        if server.state == State::CopyIn {
            server.owed.push_copy_end();
            server.state = State::Answering;
        }
        server.work(&mut Input(&[]));
    }
    if server.owed.needs_sync() {
        server.push(Request::Sync, Audience::Client);
        server.work(&mut Input(&[]));
        server.work(&mut Input(&[]));
    }
    let owed = &server.owed;
    assert!(server.sent.is_empty() && owed.is_free() && owed.readies() == 0);
}

impl Server {
    /// The client sends a message.
    fn send(&mut self, input: &mut Input<'_>) {
        let (request, audience) = [
            (Request::Query, Audience::Client),
            (Request::FunctionCall, Audience::Client),
            (Request::Parse, Audience::Client),
            (Request::Parse, Audience::Proxy),
            (Request::Bind, Audience::Client),
            (Request::DescribeStatement, Audience::Client),
            (Request::DescribePortal, Audience::Client),
            (Request::Execute, Audience::Client),
            (Request::Close, Audience::Client),
            (Request::Sync, Audience::Client),
        ][input.below(10)];
        // Where a copy reads, only its end is sent (Syncs there leave a doubt: see `anything`).
        if self.state == State::CopyIn {
            assert!(self.owed.is_copy_in());
            self.owed.push_copy_end();
            self.state = State::Answering;
            return;
        }
        // What the server would discard is not sent.
        if !self.owed.is_skipping() || request == Request::Sync {
            self.push(request, audience);
        }
    }

    fn push(&mut self, request: Request, audience: Audience) {
        self.number += 1;
        self.owed.push(request, audience, self.number);
        self.sent.push_back(Sent { request, audience, number: self.number });
    }

    /// The server takes a message, or says one more thing about the one that it has taken.
    fn work(&mut self, input: &mut Input<'_>) {
        if self.state == State::CopyIn {
            return;
        }
        let Some(&it) = self.sent.front() else { return };
        assert_eq!(self.owed.head_effect(), Some(&it.number), "it answers the first one");
        assert_eq!(self.owed.head_audience(), Some(it.audience));
        // The queue has taken out what the server discards.
        assert!(self.state != State::Skipping || it.request == Request::Sync);
        let choice = input.below(8);
        if choice == 1 {
            return self.fail(it);
        }
        match it.request {
            Request::Parse => self.last(it, tag::PARSE_COMPLETE),
            Request::Bind => self.last(it, tag::BIND_COMPLETE),
            Request::Close => self.last(it, tag::CLOSE_COMPLETE),
            Request::DescribeStatement if self.state == State::Ready => {
                self.more(it, tag::PARAMETER_DESCRIPTION);
            }
            Request::DescribeStatement | Request::DescribePortal => {
                self.last(it, if choice < 4 { tag::NO_DATA } else { tag::ROW_DESCRIPTION });
            }
            Request::Execute => match choice {
                2 => self.last(it, tag::EMPTY_QUERY),
                3 => self.last(it, tag::PORTAL_SUSPENDED),
                4 => self.copy_in(it),
                5.. => self.more(it, tag::DATA_ROW),
                _ => self.last(it, tag::COMMAND_COMPLETE),
            },
            Request::Query => match choice {
                2 => self.more(it, tag::EMPTY_QUERY),
                3 => self.more(it, tag::ROW_DESCRIPTION),
                4 => self.copy_in(it),
                5 => self.more(it, tag::DATA_ROW),
                6.. => self.more(it, tag::COMMAND_COMPLETE),
                _ => self.ready(it),
            },
            Request::FunctionCall if choice > 3 => self.more(it, tag::FUNCTION_CALL_RESPONSE),
            Request::FunctionCall | Request::Sync => self.ready(it),
        }
    }

    fn more(&mut self, it: Sent, tag: u8) {
        assert_eq!(self.owed.reply(tag), Ok(it.audience));
        self.state = State::Answering;
    }

    fn last(&mut self, it: Sent, tag: u8) {
        assert_eq!(self.owed.reply(tag), Ok(it.audience));
        self.sent.pop_front();
        self.state = State::Ready;
    }

    /// Nothing stands behind it: what a client sends there is copy data for the server.
    fn copy_in(&mut self, it: Sent) {
        if self.sent.len() == 1 {
            assert_eq!(self.owed.reply(tag::COPY_IN), Ok(it.audience));
            self.state = State::CopyIn;
        }
    }

    fn ready(&mut self, it: Sent) {
        assert_eq!(self.owed.ready(TransactionStatus::Idle), Ok(it.audience));
        self.sent.pop_front();
        self.state = State::Ready;
    }

    fn fail(&mut self, it: Sent) {
        let failure = self.owed.error();
        if matches!(it.request, Request::Query | Request::FunctionCall | Request::Sync) {
            assert_eq!(failure, Failure::BeforeReady);
            return self.ready(it);
        }
        let sync = self.sent.iter().position(|it| it.request == Request::Sync);
        let discarded = self.sent.drain(..sync.unwrap_or(self.sent.len()));
        let mut discarded: Vec<usize> = discarded.map(|it| it.number).rev().collect();
        assert_eq!(discarded.pop(), Some(it.number));
        assert_eq!(failure, Failure::Extended { failed: it.number, discarded });
        self.state = State::Skipping;
        assert_eq!(self.owed.is_skipping(), sync.is_none());
    }

    /// Says something that is not owed now.
    fn lie(&mut self, input: &mut Input<'_>) {
        let tag = TAGS[input.below(TAGS.len())];
        let owed: &[u8] = match self.sent.front().map(|it| it.request) {
            Some(Request::Query) => b"DTIHdcCG",
            Some(Request::FunctionCall) => b"V",
            Some(Request::Parse) => b"1",
            Some(Request::Bind) => b"2",
            Some(Request::Close) => b"3",
            Some(Request::DescribeStatement) => b"tTn",
            Some(Request::DescribePortal) => b"Tn",
            Some(Request::Execute) => b"DHdcGCIs",
            Some(Request::Sync) | None => b"",
        };
        let before = self.owed.len();
        if !owed.contains(&tag) {
            assert!(self.owed.reply(tag).is_err(), "{:?} passed", char::from(tag));
        }
        let ends_in_ready = matches!(
            self.sent.front().map(|it| it.request),
            Some(Request::Query | Request::FunctionCall | Request::Sync)
        );
        if !ends_in_ready {
            assert!(self.owed.ready(TransactionStatus::Idle).is_err(), "ReadyForQuery passed");
        }
        assert_eq!(self.owed.len(), before, "what is refused changes nothing");
    }
}
