//! `BAN`: keeps reads away from an instance by order.

use std::time::Duration;

use pgherd_config::Period;
use pgherd_session::AdminReply;
use pgherd_wire::{ErrorResponse, sqlstate};

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Refusal, Request};
use crate::words::named_instances;

pub(super) const COMMAND: Command = Command {
    name: "BAN",
    help: "BAN host[:port] [reason] [duration]: no reads for an instance, until UNBAN or the time is over.",
    arguments: Arguments::Any,
    run,
};

/// What stands for a reason that nobody gave.
const NO_REASON: &str = "by an administrator";

fn run(request: &Request<'_>) -> Outcome {
    let directory = &request.authorise(Permission::Operate)?.shared.directory;
    let order = Order::parse(request.arguments).ok_or_else(usage)?;
    for key in named_instances(directory, order.instance)? {
        directory.ban(&key, &order.reason, order.lasting);
    }
    Ok(AdminReply::Done("BAN"))
}

#[derive(Debug, PartialEq, Eq)]
struct Order<'a> {
    instance: &'a str,
    reason: String,
    lasting: Option<Duration>,
}

impl<'a> Order<'a> {
    /// A number alone at the end is pgcat's way to say seconds.
    fn parse(text: &'a str) -> Option<Self> {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        if words.is_empty() {
            return None;
        }
        let instance = words.remove(0);
        let lasting = words.last().and_then(|word| duration(word));
        if lasting.is_some() {
            words.pop();
        }
        let reason = words.join(" ");
        let reason =
            reason.strip_prefix('\'').and_then(|it| it.strip_suffix('\'')).unwrap_or(&reason);
        let reason = if reason.is_empty() { NO_REASON } else { reason }.to_owned();
        Some(Self { instance, reason, lasting })
    }
}

fn duration(word: &str) -> Option<Duration> {
    let seconds = word.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| Some(word.parse::<Period>().ok()?.0)).filter(|it| *it <= Period::MAX)
}

fn usage() -> Refusal {
    let error = ErrorResponse::error(sqlstate::SYNTAX_ERROR, "BAN needs an instance");
    Box::new(
        error.hint("BAN host[:port] [reason] [duration], as in: BAN 10.0.0.2:5432 new disk 2h"),
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[track_caller]
    fn check_order(text: &str, instance: &str, reason: &str, lasting: Option<u64>) {
        let (reason, lasting) = (reason.to_owned(), lasting.map(Duration::from_secs));
        assert_eq!(Order::parse(text), Some(Order { instance, reason, lasting }));
    }

    #[test]
    fn reason_and_duration_may_be_left_out() {
        check_order("db1", "db1", NO_REASON, None);
        check_order("db1:5433 60", "db1:5433", NO_REASON, Some(60));
        check_order("db1 new disk 2h", "db1", "new disk", Some(7_200));
        check_order("db1  'new disk'", "db1", "new disk", None);
        assert_eq!(Order::parse(" "), None);
    }

    #[test]
    fn what_is_not_there_cannot_be_banned() {
        check(
            &["BAN", "BAN 10.0.0.9", "BAN 10.0.0.1:1", "UNBAN", "UNBAN nowhere"],
            expect![[r#"
            42601: BAN needs an instance
            hint: BAN host[:port] [reason] [duration], as in: BAN 10.0.0.2:5432 new disk 2h
            42704: no cluster has the instance 10.0.0.9
            hint: SHOW INSTANCES lists them.
            42704: no cluster has the instance 10.0.0.1:1
            hint: SHOW INSTANCES lists them.
            42601: UNBAN needs an instance
            hint: UNBAN host[:port]; SHOW BANS lists what is banned.
            42704: no cluster has the instance nowhere
            hint: SHOW INSTANCES lists them.
        "#]],
        );
    }

    #[test]
    fn every_way_to_write_an_address_is_understood() {
        check(
            &["BAN [::1]:5433", "BAN ::1 60", "ban 10.0.0.2:5432 x", "UNBAN [::1]"],
            expect![[r#"
            BAN
            BAN
            BAN
            UNBAN
        "#]],
        );
    }
}
