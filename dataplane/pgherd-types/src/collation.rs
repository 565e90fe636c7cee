//! Collations: whose order of text pgherd knows exactly.
//!
//! `C`, `POSIX`, libc's `C.UTF-8` and the built-in provider's collations order by bytes, the same in
//! every version. Linguistic order is that of one version of one library, which this crate does not
//! link: whoever does hands in a [`TextOrder`]; without one such a collation is not known, and a
//! Postgres has to sort.
//!
//! All of it is about text in the server's encoding: with another `client_encoding`, the bytes that
//! arrive are not those that Postgres compares.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::TypeError;

/// The order that a library gives to text, such as `strcoll_l` of libc or `ucol_strcoll` of ICU in
/// the very version that the server uses.
pub trait TextOrder: fmt::Debug + Send + Sync {
    /// Before ties are broken.
    fn order(&self, a: &[u8], b: &[u8]) -> Ordering;
}

/// How text is ordered.
#[derive(Clone, Debug)]
pub enum Collation {
    /// By bytes.
    Bytes,
    /// As a library says; by bytes where that finds no difference, if it is deterministic.
    Library { name: Box<str>, deterministic: bool, order: Arc<dyn TextOrder> },
    /// Not known; two values that are the same bytes are still equal if it is deterministic.
    Unknown { name: Box<str>, deterministic: bool },
}

/// What `pg_collation` or, for a database's default, `pg_database` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollationFacts {
    /// `collname`; the name of the locale for the database's default.
    pub name: String,
    /// `collprovider` or `datlocprovider`: `c` libc, `i` ICU, `b` built in.
    pub provider: char,
    /// `collcollate`, `colliculocale`, `colllocale` or `datcollate`.
    pub locale: String,
    /// `collisdeterministic`; true for databases.
    pub deterministic: bool,
    /// `pg_collation_actual_version`: that of the library that the server uses; empty if none.
    pub version: String,
}

/// The collations that a statement may need.
#[derive(Clone, Debug, Default)]
pub struct Collations {
    /// The database's default.
    pub database: Option<Collation>,
    /// By OID of `pg_collation`.
    pub by_oid: HashMap<u32, Collation>,
}

/// `pg_collation`'s OIDs that mean the same everywhere.
const DEFAULT: u32 = 100;
const C: u32 = 950;
const POSIX: u32 = 951;

// === impl CollationFacts ===

impl CollationFacts {
    /// Its order, if that is known without a library.
    pub fn resolve(&self) -> Collation {
        self.resolve_with(|_| None)
    }

    /// Its order, if it is that of bytes or `library` has it in the same version.
    pub fn resolve_with(
        &self,
        library: impl FnOnce(&Self) -> Option<Arc<dyn TextOrder>>,
    ) -> Collation {
        let locale = self.locale.to_ascii_lowercase().replace('-', "");
        let by_bytes = match self.provider {
            'c' => matches!(locale.as_str(), "c" | "posix" | "c.utf8"),
            // C, C.UTF-8 and PG_UNICODE_FAST all order by code point.
            'b' => true,
            _ => false,
        };
        if by_bytes {
            return Collation::Bytes;
        }
        let (name, deterministic) = (self.name.as_str().into(), self.deterministic);
        match library(self) {
            Some(order) => Collation::Library { name, deterministic, order },
            None => Collation::Unknown { name, deterministic },
        }
    }
}

// === impl Collation ===

impl Collation {
    /// The order of two texts; `None` where it is not known.
    pub fn order(&self, a: &[u8], b: &[u8]) -> Option<Ordering> {
        match self {
            Self::Bytes => Some(a.cmp(b)),
            Self::Library { .. } if a == b => Some(Ordering::Equal),
            Self::Library { deterministic, order, .. } => Some(match order.order(a, b) {
                Ordering::Equal if *deterministic => a.cmp(b),
                order => order,
            }),
            Self::Unknown { deterministic: true, .. } if a == b => Some(Ordering::Equal),
            Self::Unknown { .. } => None,
        }
    }

    /// Whether texts are equal exactly when their bytes are.
    pub fn is_deterministic(&self) -> bool {
        match self {
            Self::Bytes => true,
            Self::Library { deterministic, .. } | Self::Unknown { deterministic, .. } => {
                *deterministic
            }
        }
    }

    /// The error of a comparison under it.
    pub(crate) fn refusal(&self) -> TypeError {
        let collation = match self {
            Self::Bytes => "C".into(),
            Self::Library { name, .. } | Self::Unknown { name, .. } => name.clone(),
        };
        TypeError::Collation { collation, reason: "its order is not known to pgherd" }
    }
}

// === impl Collations ===

impl Collations {
    /// From the rows of [`crate::catalog::collations`]: the OID is 0 for the database's default.
    pub fn new(
        facts: impl IntoIterator<Item = (u32, CollationFacts)>,
        library: impl Fn(&CollationFacts) -> Option<Arc<dyn TextOrder>>,
    ) -> Self {
        let mut by_oid: HashMap<u32, Collation> =
            facts.into_iter().map(|(oid, facts)| (oid, facts.resolve_with(&library))).collect();
        Self { database: by_oid.remove(&0), by_oid }
    }

    /// Where everything is ordered by bytes.
    pub fn bytes() -> Self {
        Self { database: Some(Collation::Bytes), by_oid: HashMap::new() }
    }

    /// A collation by OID; 0, for types without one, and those not listed are not known.
    pub fn get(&self, oid: u32) -> Collation {
        let known = match oid {
            C | POSIX => Some(Collation::Bytes),
            0 | DEFAULT => self.database.clone(),
            _ => self.by_oid.get(&oid).cloned(),
        };
        known.unwrap_or_else(|| Collation::Unknown {
            name: format!("with OID {oid}").into(),
            deterministic: false,
        })
    }
}
