//! A server that says anything: no more replies pass than there were requests, and a reply that is
//! refused changes nothing.

use pgherd_wire::TransactionStatus;
use pgherd_wire::backend::tag;
use pgherd_wire::owed::{Audience, Owed, Request};

use crate::input::Input;

/// How many were asked for, and how many came.
#[derive(Default)]
struct Count {
    asked: usize,
    answered: usize,
}

impl Count {
    fn answer(&mut self) {
        self.answered += 1;
        assert!(self.answered <= self.asked, "a reply that nobody asked for");
    }
}

#[derive(Default)]
struct Counts {
    parse: Count,
    bind: Count,
    close: Count,
    call: Count,
    ready: Count,
    invented: Count,
}

pub(super) fn run(mut input: Input<'_>) {
    let mut owed: Owed<()> = Owed::default();
    let mut counts = Counts::default();
    while !input.is_empty() {
        let step = input.below(33);
        match step {
            0..=9 => push(&mut owed, &mut counts, step),
            10 => {
                owed.push_invented(tag::PARSE_COMPLETE, ());
                counts.invented.asked += 1;
            }
            11 => owed.push_copy_end(),
            12 => {
                if owed.needs_probe() {
                    owed.push_probe([(); 3]);
                    counts.close.asked += 1;
                    counts.ready.asked += 2;
                }
            }
            13 => drop(owed.error()),
            14..=16 => {
                let status = [b'I', b'T', b'E'][step - 14];
                let status = TransactionStatus::from_byte(status).expect("one of the three");
                let before = owed.len();
                match owed.ready(status) {
                    Ok(_) => counts.ready.answer(),
                    Err(_) => assert_eq!(owed.len(), before),
                }
            }
            _ => {
                let tag = b"123CDdcGHITVWnst"[step - 17];
                reply(&mut owed, &mut counts, tag);
            }
        }
        while owed.next_invented().is_some() {
            counts.invented.answer();
        }
        if owed.is_free() {
            assert!(owed.is_empty() && owed.readies() == 0 && owed.is_settled());
            assert!(!owed.is_skipping() && !owed.is_copy_in() && !owed.is_in_doubt());
        }
        assert!(owed.readies() <= owed.len());
    }
}

fn push(owed: &mut Owed<()>, counts: &mut Counts, step: usize) {
    let (request, audience) = [
        (Request::Query, Audience::Client),
        (Request::FunctionCall, Audience::Client),
        (Request::Parse, Audience::Client),
        (Request::Parse, Audience::Proxy),
        (Request::Bind, Audience::Client),
        (Request::DescribeStatement, Audience::Client),
        (Request::DescribePortal, Audience::Client),
        (Request::Execute, Audience::Client),
        (Request::Close, Audience::Proxy),
        (Request::Sync, Audience::Client),
    ][step];
    owed.push(request, audience, ());
    match request {
        Request::Parse => counts.parse.asked += 1,
        Request::Bind => counts.bind.asked += 1,
        Request::Close => counts.close.asked += 1,
        Request::FunctionCall => {
            counts.call.asked += 1;
            counts.ready.asked += 1;
        }
        Request::Query | Request::Sync => counts.ready.asked += 1,
        Request::DescribeStatement | Request::DescribePortal | Request::Execute => {}
    }
}

fn reply(owed: &mut Owed<()>, counts: &mut Counts, tag: u8) {
    let before = (owed.len(), owed.readies(), owed.is_copy_in(), owed.is_in_doubt());
    if owed.reply(tag).is_err() {
        let behind = (owed.len(), owed.readies(), owed.is_copy_in(), owed.is_in_doubt());
        assert_eq!(before, behind, "what is refused changes nothing");
        return;
    }
    assert!(before.0 > 0, "a reply passed where none was owed");
    match tag {
        tag::PARSE_COMPLETE => counts.parse.answer(),
        tag::BIND_COMPLETE => counts.bind.answer(),
        tag::CLOSE_COMPLETE => counts.close.answer(),
        _ => {}
    }
}
