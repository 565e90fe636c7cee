//! All that is known of one text of SQL, which may hold several statements.

use pgherd_parser::{StringSyntax, Tree};

use crate::lexer::{LexError, Lexer};
use crate::{ClientEncoding, Kind, Lexical, Statement, Volatility};

mod calls;
mod kinds;
#[cfg(test)]
mod tests;

/// Texts up to this many bytes are analysed by [`Cache::get`](crate::Cache::get), on the worker:
/// beyond, parsing takes milliseconds, and its memory is some hundred times the text.
pub const LARGEST_CACHED: usize = 64 * 1024;
/// Tokens of such a text: what parsing and reading costs depends on these, some 300 ns each at worst.
const MOST_CACHED_TOKENS: usize = 16 * 1024;
/// Texts beyond this many bytes are not understood. Those above [`LARGEST_CACHED`] belong on a
/// thread of their own.
pub const LARGEST_ANALYZED: usize = 1024 * 1024;

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
pub fn analyze_in(sql: &[u8], lexical: Lexical) -> Analysis {
    analyze_up_to(usize::MAX, sql, lexical)
}

/// The same in the few milliseconds that a worker has: texts of more tokens are not understood.
pub(crate) fn analyze_briefly(sql: &[u8], lexical: Lexical) -> Analysis {
    analyze_up_to(MOST_CACHED_TOKENS, sql, lexical)
}

fn analyze_up_to(tokens: usize, sql: &[u8], lexical: Lexical) -> Analysis {
    match understand(sql, lexical, tokens) {
        Ok(statements) => Analysis { statements, unknown: None },
        Err(why) => Analysis::unknown(why),
    }
}

fn understand(
    sql: &[u8],
    lexical: Lexical,
    most_tokens: usize,
) -> Result<Box<[Statement]>, Unknown> {
    if sql.len() > LARGEST_ANALYZED {
        return Err(Unknown::TooLarge);
    }
    if let Some(why) = lexical.objection(sql) {
        return Err(why);
    }
    let text;
    let text = match lexical.client_encoding {
        ClientEncoding::AsciiSafe if !sql.is_ascii() => {
            // What the characters are does not matter to the grammar, only that they are letters.
            text = sql.iter().map(|&byte| char::from(byte)).collect::<String>();
            text.as_str()
        }
        _ => std::str::from_utf8(sql).map_err(|_| Unknown::Encoding)?,
    };
    check_work(text.as_bytes(), most_tokens)?;
    // With `standard_conforming_strings` off there is no backslash, so that it does not matter.
    let tree = Tree::parse(text, StringSyntax::Standard).map_err(|_| Unknown::Syntax)?;
    // More nodes than text can only mean nodes that hang in several places.
    let mut budget = 1000 + 16 * text.len();
    tree.statements()
        .map(|statement| kinds::statement(statement.stmt().ok_or(Unknown::Node)?, &mut budget))
        .collect::<Result<_, _>>()
        .and_then(|statements: Box<[Statement]>| {
            // Names of functions in an encoding that is not ours cannot be compared.
            let foreign = lexical.client_encoding != ClientEncoding::Utf8
                && statements.iter().any(|it| it.functions.iter().any(|it| !it.name.is_ascii()));
            if foreign { Err(Unknown::Encoding) } else { Ok(statements) }
        })
}

/// Refuses what would cost the parser's scanner the square of its length, or is of more tokens.
fn check_work(sql: &[u8], most_tokens: usize) -> Result<(), Unknown> {
    let mut lexer = Lexer::new(sql);
    let mut tokens = 0;
    loop {
        match lexer.next_token() {
            Ok(Some(_)) if tokens == most_tokens => return Err(Unknown::TooLarge),
            Ok(Some(_)) => tokens += 1,
            Ok(None) => return Ok(()),
            Err(LexError::TooDeep) => return Err(Unknown::TooDeep),
            // The parser would say the same.
            Err(LexError::Malformed) => return Err(Unknown::Syntax),
        }
    }
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
        self.needs_primary
            || inner
            || self.functions.iter().any(|function| volatility.may_write(function))
            || self.builtins.iter().any(|name| volatility.shadows(name))
    }
}
