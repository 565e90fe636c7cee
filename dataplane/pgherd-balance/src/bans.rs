//! The bans of one shard: what this proxy has seen, what the fleet says, what people order.

mod book;
mod rules;
mod standing;

pub use book::{Book, Lifted, Probed, Verdict};
pub use rules::BanRules;
pub use standing::{Ban, HeldBack, ReadsFromPrimary, Role, Source, Standing};
