//! Sequences of requests and replies, written as one letter each.

use super::*;

/// Runs a script: `>x` pushes a request, `<x` takes a reply. Requests: `q` Query, `p` Parse,
/// `P` Parse by the proxy, `b` Bind, `d` Describe statement, `e` Execute, `c` Close, `s` Sync,
/// `i` an invented ParseComplete, `f` CopyDone, `v` FunctionCall, `?` what ends a doubt. Replies are the tags of the protocol;
/// `Z` is idle, `Y` in a transaction, `X` in a failed one.
/// Each reply prints `+` forwarded, `-` swallowed, `!` unexpected, `(…)` for what an error undoes,
/// and `*` for an invented reply; the end prints the state.
fn run(script: &str) -> String {
    let mut owed: Owed<usize> = Owed::default();
    let mut out = String::new();
    for (index, step) in script.split_whitespace().enumerate() {
        let (direction, letter) = (step.as_bytes()[0], step.as_bytes()[1]);
        if direction == b'>' {
            let request = match letter {
                b'q' => Request::Query,
                b'v' => Request::FunctionCall,
                b'p' | b'P' => Request::Parse,
                b'b' => Request::Bind,
                b'd' => Request::DescribeStatement,
                b'e' => Request::Execute,
                b'c' => Request::Close,
                b's' => Request::Sync,
                b'i' => {
                    owed.push_invented(b'1', index);
                    invented(&mut owed, &mut out);
                    continue;
                }
                b'f' => {
                    owed.push_copy_end();
                    continue;
                }
                b'?' => {
                    owed.push_probe([index; 3]);
                    continue;
                }
                other => panic!("no request {other}"),
            };
            let audience = if letter == b'P' { Audience::Proxy } else { Audience::Client };
            owed.push(request, audience, index);
        } else {
            let audience = match letter {
                b'Z' => owed.ready(TransactionStatus::Idle),
                b'Y' => owed.ready(TransactionStatus::InTransaction),
                b'X' => owed.ready(TransactionStatus::Failed),
                b'E' => {
                    match owed.error() {
                        Failure::Unsolicited => out.push_str("(unsolicited)"),
                        Failure::BeforeReady => out.push_str("()"),
                        Failure::Extended { failed, discarded } => {
                            out.push_str(&format!("({failed} {discarded:?})"));
                        }
                    }
                    invented(&mut owed, &mut out);
                    continue;
                }
                tag => owed.reply(tag),
            };
            out.push(match audience {
                Ok(Audience::Client) => '+',
                Ok(Audience::Proxy) => '-',
                Err(_) => '!',
            });
            invented(&mut owed, &mut out);
        }
    }
    let state = [
        (owed.is_free(), " free"),
        (owed.is_skipping(), " skipping"),
        (owed.is_copy_in(), " copying"),
        (owed.is_in_doubt(), " in doubt"),
    ];
    out.extend(state.iter().filter(|(is, _)| *is).map(|(_, name)| *name));
    out.push_str(&format!(" owes {}/{}", owed.len(), owed.readies()));
    out
}

fn invented(owed: &mut Owed<usize>, out: &mut String) {
    while owed.next_invented().is_some() {
        out.push('*');
    }
}

#[track_caller]
fn check(script: &str, expected: &str) {
    assert_eq!(run(script), expected, "{script}");
}

#[test]
fn a_simple_query_is_over_at_ready_for_query() {
    check(">q <T <D <D <C", "++++ owes 1/1");
    check(">q <T <D <C <Z", "++++ free owes 0/0");
    check(">q <C <Y", "++ owes 0/0");
    check(">q <E <Z", "()+ free owes 0/0");
    check(">q <C <E <Z", "+()+ free owes 0/0");
    check(">v <V <Z", "++ free owes 0/0");
}

#[test]
fn flush_is_not_sync() {
    check(">p >b >e <1 <2 <C", "+++ owes 0/0");
    check(">p >b >e <1 <2 <C >s <Z", "++++ free owes 0/0");
}

#[test]
fn an_invented_reply_waits_for_its_turn() {
    check(">i", "* owes 0/0");
    check(">i >b >s <2 <Z", "*++ free owes 0/0");
    check(">p >i >b >s <1 <2 <Z", "+*++ free owes 0/0");
}

#[test]
fn replies_to_the_proxy_are_swallowed() {
    check(">P >b >e >s <1 <2 <D <C <Z", "-++++ free owes 0/0");
}

#[test]
fn an_error_discards_up_to_the_next_sync_and_says_what() {
    check(">p >b >e >s <E <Z", "(0 [2, 1])+ free owes 0/0");
    check(">p >b >e >s >p >b >e >s <1 <E <Z <1", "+(1 [2])++ owes 3/1");
    check(">p >i >b >s <E <Z", "(0 [2, 1])+ free owes 0/0");
    check(">p >q >s <E <Z", "(0 [1])+ free owes 0/0");
}

#[test]
fn without_a_sync_the_server_skips_until_one_comes() {
    check(">p >b <E", "(0 [1]) skipping owes 0/0");
    check(">p >b <E >s <Z", "(0 [1])+ free owes 0/0");
}

#[test]
fn an_error_at_sync_is_followed_by_ready() {
    check(">b >e >s <2 <C <E <Z", "++()+ free owes 0/0");
}

#[test]
fn syncs_inside_copy_in_get_no_answer() {
    check(">b >e >s <2 <G", "++ copying owes 1/0");
    check(">b >e >s <2 <G >f >s <C <Z", "++++ free owes 0/0");
    check(">q <G >s >f <C <Z", "+++ free owes 0/0");
    check(">q >f <G <C <Z", "+++ free owes 0/0");
    check(">q <G >f >q <C <Z <C <Z", "+++++ free owes 0/0");
}

#[test]
fn a_copy_that_fails_with_a_sync_inside_leaves_doubt() {
    check(">b >e >s <2 <G <E >s <Z", "++(1 [])+ in doubt owes 0/0");
    check(">q <G <E <Z", "+()+ free owes 0/0");
}

#[test]
fn a_doubt_ends_with_what_a_later_request_gets() {
    // The Sync among the data was read after the failure, or before.
    check(">b >e >s >f >s >p <2 <G <E <Z <Z <1", "++(1 [])+++ owes 0/0");
    check(">b >e >s >f >s >p <2 <G <E <Z <1", "++(1 [])++ owes 0/0");
    check(">b >e >s >f >s >q <2 <G <E <Z <Z <C <Z", "++(1 [])++++ free owes 0/0");
    check(">b >e >s >f >s >q <2 <G <E <Z <C <Z", "++(1 [])+++ free owes 0/0");
}

#[test]
fn a_doubt_with_nothing_behind_it_ends_with_a_probe() {
    check(">b >e >s >f >s <2 <G <E <Z >? <Z <3 <Z", "++(1 [])+--- free owes 0/0");
    check(">b >e >s >f >s <2 <G <E <Z >? <Z <Z <3 <Z", "++(1 [])+-+-- free owes 0/0");
    // The client has not ended the copy: it still discards when no Sync was answered.
    check(">b >e >s <2 <G <E >? <Z <3 <Z", "++(1 [])--- skipping owes 0/0");
    check(">b >e >s <2 <G <E >? <Z <Z <3 <Z", "++(1 [])-+-- free owes 0/0");
    check(">q >s <G <E <Z >? <Z <3 <Z", "+()+--- free owes 0/0");
    check(">q >s <G <E <Z >? <Z <Z <3 <Z", "+()+-+-- free owes 0/0");
}

#[test]
fn a_doubt_lets_no_more_pass_than_there_were_syncs() {
    check(">b >e >s >f >s >p <2 <G <E <Z <Z <Z", "++(1 [])++! in doubt owes 1/0");
    check(">q >s <G <E <Z <Z <Z", "+()++! in doubt owes 0/0");
}

#[test]
fn a_copy_end_outside_a_copy_is_ignored() {
    check(">q >f <C <Z", "++ free owes 0/0");
    check(">f", " free owes 0/0");
}

#[test]
fn what_fits_nothing_is_refused() {
    check("<D", "! free owes 0/0");
    check("<Z", "! free owes 0/0");
    check(">p <2", "! owes 1/0");
    check(">q <1", "! owes 1/1");
    check(">q <W", "! owes 1/1");
    check(">b >e >s <2 <Z", "+! owes 2/1");
    check("<E", "(unsolicited) free owes 0/0");
}

#[test]
fn a_failed_transaction_is_answered_but_not_free() {
    let mut owed: Owed<()> = Owed::default();
    owed.push(Request::Query, Audience::Client, ());
    assert_eq!(owed.ready(TransactionStatus::Failed), Ok(Audience::Client));
    assert!(owed.is_answered() && !owed.is_free());
}

proptest::proptest! {
    /// Whatever the server sends, the queue never panics and never calls a connection free while
    /// it counts a ReadyForQuery as owed.
    #[test]
    fn no_script_breaks_the_books(steps in proptest::collection::vec(0_usize..26, 0..60)) {
        const STEPS: [&str; 26] = [
            ">q", ">v", ">p", ">P", ">b", ">d", ">e", ">c", ">s", ">i", ">f", "<1", "<2", "<3",
            "<C", "<D", "<E", "<G", "<H", "<I", "<T", "<Z", "<Y", "<n", "<s", "<t",
        ];
        let script: Vec<&str> = steps.iter().map(|&step| STEPS[step]).collect();
        let end = run(&script.join(" "));
        proptest::prop_assert!(!end.contains("free") || end.ends_with("owes 0/0"), "{}", end);
    }
}
