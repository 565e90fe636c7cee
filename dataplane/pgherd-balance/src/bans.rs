//! The bans of one shard: what this proxy has seen, what the fleet says, what people order.
//!
//! A ban keeps reads away from an instance. Writes go to the primary whatever is said of it: there
//! is no other place for them.
//!
//! | ban | begins | ends |
//! |---|---|---|
//! | local | with the first evidence of a class in `ban_on` | when enough probes in a row have succeeded |
//! | fleet | when the control plane says so | when it says so; when its time is over, after a probe of our own |
//! | manual | by order, here or of the fleet | by order, or when the time is over that the order gave; never otherwise |
//!
//! **Evidence that does not ban.** A checkout timeout, if anything finished on the instance since
//! the client began to wait: that is saturation. Anything about a connection made, or a wait begun,
//! before the instance was last found well: that is old news, and after a frozen instance has
//! thawed there is plenty of it.
//!
//! **How long.** `ban_time`, doubled with each ban in a row, up to `max_ban_time`. Each `ban_time`
//! in service without a ban takes one off the count. An order to lift a ban forgets the count.
//!
//! **The way back.** Probes run all the time that a ban lasts, each second, and the first at once.
//! The first ban ends with one success. As a ban is repeated it takes 2, 4, 8, at most 16 in a row,
//! each half an interval or more after the one before: an instance that answers probes and fails
//! queries would otherwise be back each second. When the time of the ban is over the instance is on
//! probation: one success is enough, but without one it stays banned, for ever if need be. Users'
//! queries never find out whether it works, and what they finish does not end a ban. So `ban_time`
//! is how long a flapping instance stays away at most, not how long a recovered one must wait.
//!
//! **Limits.** Of the replicas, `max_banned_percent` (at least one, unless it is 0) are banned by
//! evidence, local and the fleet's together; manual bans are not counted. Who is banned first: hard
//! evidence before soft, then the older ban, then the name of the instance. When nothing would be
//! left to read from, no replica and no primary that may be read from, all that evidence has banned
//! are used again. What is not banned for one of these reasons is *held back*, and shown as such.
//!
//! pgcat's reasons: a failed health check is `health_check_failed`; messages that could not be sent
//! or received are `connection_reset`; the statement timeout is `query_timeout`, which bans only an
//! instance that does not answer a probe either; the administrator's ban is `manual`.

mod book;
mod record;
mod rules;
mod standing;
mod view;

pub use book::{Book, Lifted, Probed, Verdict};
pub use rules::BanRules;
pub(crate) use rules::most_banned;
pub use standing::{Ban, HeldBack, ReadsFromPrimary, Role, Source, Standing};

#[cfg(test)]
mod tests;
