//! The order of text under linguistic collations of libc, as the server's own library has it.
//!
//! Postgres asks `strcoll_l`; so does this crate, in the library of the machine that the proxy runs
//! on. Both give the same order where they are the same version: that is what Postgres itself goes
//! by when it warns of an index that another version has sorted (`pg_collation_actual_version`).
//! Where the version is another one, or the locale is not installed here, the order is not known
//! and a Postgres has to sort. Collations of ICU are not known here.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc;

use std::sync::Arc;

use pgherd_types::{CollationFacts, TextOrder};

/// The order of a collation, if the library of this machine has it in the server's version.
///
/// To be given to [`pgherd_types::Collations::new`]. Good for text in UTF-8 only, which a server
/// with another encoding does not have.
pub fn library(facts: &CollationFacts) -> Option<Arc<dyn TextOrder>> {
    match facts.provider {
        'c' => libc_order(facts),
        _ => None,
    }
}

/// The version of this machine's library, as `pg_collation_actual_version` tells that of a server's.
/// `None` where libraries have no versions that could be compared.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn version() -> Option<&'static str> {
    Some(glibc::version()).filter(|it| !it.is_empty())
}

/// Other libraries have none.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn version() -> Option<&'static str> {
    None
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn libc_order(facts: &CollationFacts) -> Option<Arc<dyn TextOrder>> {
    if facts.version.is_empty() || facts.version != glibc::version() {
        return None;
    }
    glibc::locale(&facts.locale).map(|locale| locale as Arc<dyn TextOrder>)
}

/// Nothing could be compared.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn libc_order(_: &CollationFacts) -> Option<Arc<dyn TextOrder>> {
    None
}
