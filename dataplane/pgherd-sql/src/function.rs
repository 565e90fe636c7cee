//! Functions by name, and whether calling one may write.

/// A function as a statement names it; case folded and unquoted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionName {
    /// `None`: found through `search_path`.
    pub schema: Option<Box<str>>,
    pub name: Box<str>,
}

/// What a database's catalog knows of its own functions.
///
/// Functions of `pg_catalog` are known to this crate and not asked about.
pub trait Volatility {
    /// Whether a function that is not built in may write: true unless every function of that name
    /// (in that schema; in any schema where there is none) is declared STABLE or IMMUTABLE. True
    /// for what the catalog does not know.
    fn may_write(&self, function: &FunctionName) -> bool;

    /// Whether the database has, outside of `pg_catalog`, a function by the name of a built-in one
    /// that may write. An unqualified call may mean that one: by argument types, or by a
    /// `search_path` that puts `pg_catalog` last.
    fn shadows(&self, _name: &str) -> bool {
        false
    }
}

/// No catalog at hand: every function that is not built in may write.
impl Volatility for () {
    fn may_write(&self, _: &FunctionName) -> bool {
        true
    }
}
