//! From the text of SQL to facts about it: what a statement is, what it needs, what it calls.
//!
//! Postgres's own parser reads the text; what is left of the tree is a small [`Analysis`] of plain
//! Rust, kept in a [`Cache`]. Everything here is total: bytes from clients go in, and whatever they
//! are, an answer comes out, in bounded time and stack. What is not understood is
//! [`Analysis::unknown`], which needs the primary.
//!
//! Two things are recognised without the parser, since they are comments or no valid SQL at all:
//! [`directive`] and [`command`].

mod analysis;
mod builtin;
mod cache;
mod command;
mod directive;
mod first_word;
mod for_server;
mod function;
mod lexer;
mod lexical;
mod listing;
mod normal;
mod statement;

pub use analysis::{
    Access, Analysis, LARGEST_ANALYZED, LARGEST_CACHED, Unknown, analyze, analyze_in,
};
pub use builtin::{Builtin, builtin, volatilities};
pub use cache::{Cache, Counts};
pub use command::{Command, Setting, SettingName, command};
pub use directive::{Directive, RoleWish, directive, directive_in, names_proxy};
pub use first_word::begins_with_write;
pub use for_server::{ForServer, for_server};
pub use function::{FunctionName, Volatility};
pub use lexer::{LexError, Lexer, Token};
pub use lexical::{ClientEncoding, Lexical};
pub use statement::{Kind, Statement};
