//! All that is known of one text of SQL, which may hold several statements.

use crate::{FunctionName, Kind, Lexical, Statement, Volatility};

/// Texts beyond this many bytes are not understood.
pub const LARGEST_ANALYZED: usize = 64 * 1024;

/// What is known of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// Empty when the text is not understood, or holds nothing but comments.
    pub statements: Box<[Statement]>,
    /// Why it is not understood, if so.
    pub unknown: Option<Unknown>,
}

/// Why a text is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// The parser refuses it. The server will probably, too.
    Syntax,
    TooLarge,
    TooDeep,
    /// Bytes that are not of the client's encoding, or an encoding that cannot be read safely.
    Encoding,
    /// A node of the parser's tree that this crate does not know.
    Node,
}

/// What an instance must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    Read,
    Write,
}

/// Analyses a text under the default settings: UTF-8, `standard_conforming_strings` on.
pub fn analyze(sql: &[u8]) -> Analysis {
    analyze_in(sql, Lexical::default())
}

/// Analyses a text; never panics, in bounded time and stack.
pub fn analyze_in(_sql: &[u8], _lexical: Lexical) -> Analysis {
    Analysis::unknown(Unknown::Syntax)
}

impl Analysis {
    pub fn unknown(why: Unknown) -> Self {
        Self { statements: Box::default(), unknown: Some(why) }
    }

    /// What the instance that executes all of it must be able to do.
    pub fn access(&self, volatility: &dyn Volatility) -> Access {
        let writes = self.unknown.is_some()
            || self.statements.iter().any(|statement| statement.may_write(volatility));
        if writes { Access::Write } else { Access::Read }
    }
}

impl Statement {
    /// Whether it must go to the primary, the database's own functions considered.
    pub fn may_write(&self, volatility: &dyn Volatility) -> bool {
        let inner = match &self.kind {
            Kind::Explain { inner, .. } | Kind::Prepare { inner, .. } => {
                inner.may_write(volatility)
            }
            _ => false,
        };
        let calls = |function: &FunctionName| volatility.may_write(function);
        self.needs_primary || inner || self.functions.iter().any(calls)
    }
}
