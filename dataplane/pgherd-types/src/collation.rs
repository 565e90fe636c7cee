//! Collations: whose order of text pgherd knows exactly.
//!
//! `C`, `POSIX`, libc's `C.UTF-8` and the built-in provider's collations order by bytes, the same in
//! every version. Linguistic order is that of one version of one library; pgherd links neither
//! libc's nor ICU's, so for those it says that it cannot, and a Postgres has to sort.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::TypeError;

/// How text is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collation {
    /// By bytes.
    Bytes,
    /// Not known; two values that are the same bytes are still equal if it is deterministic.
    Unknown { name: Box<str>, deterministic: bool },
}

/// What `pg_collation` or, for a database's default, `pg_database` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollationFacts {
    /// `collname`; for the default, what the database's locale is called.
    pub name: String,
    /// `collprovider` or `datlocprovider`: `c` libc, `i` ICU, `b` built in.
    pub provider: char,
    /// `collcollate`, `colliculocale`, `colllocale` or `datcollate`.
    pub locale: String,
    /// `collisdeterministic`; true for databases.
    pub deterministic: bool,
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
    /// Whether its order is that of bytes.
    pub fn resolve(&self) -> Collation {
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
        Collation::Unknown { name: self.name.as_str().into(), deterministic: self.deterministic }
    }
}

// === impl Collation ===

impl Collation {
    /// The order of two texts; `None` where it is not known.
    pub fn order(&self, a: &[u8], b: &[u8]) -> Option<Ordering> {
        match self {
            Self::Bytes => Some(a.cmp(b)),
            Self::Unknown { deterministic: true, .. } if a == b => Some(Ordering::Equal),
            Self::Unknown { .. } => None,
        }
    }

    /// Whether texts are equal exactly when their bytes are.
    pub fn is_deterministic(&self) -> bool {
        match self {
            Self::Bytes => true,
            Self::Unknown { deterministic, .. } => *deterministic,
        }
    }

    /// The error of a comparison under it.
    pub(crate) fn refusal(&self) -> TypeError {
        let collation = match self {
            Self::Bytes => "C".into(),
            Self::Unknown { name, .. } => name.clone(),
        };
        TypeError::Collation { collation, reason: "only byte order is known to pgherd" }
    }
}

// === impl Collations ===

impl Collations {
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
