//! Postgres's parser: text in, a typed view of its tree out, and back to text.
//!
//! The tree is the C library's own (libpg_query, linked by the crate `pg_query`), read where it
//! lies: nothing is copied or converted. [`Node`] and the views behind it (`SelectStmt`, …) are
//! generated from the library's headers, so their fields are those of Postgres's `parsenodes.h`, in
//! snake case. This is the only crate with `unsafe`; nothing of it shows outside.
//!
//! What it guarantees: errors of the parser become [`ParseError`], also those for lack of stack;
//! views cannot outlive their [`Tree`]; no function here recurses. What it does not: bounded time.
//! Callers limit the size of the text, and the nesting of its comments.

mod raw;
#[expect(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    reason = "generated from C headers"
)]
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, rust_2018_idioms)]
#[allow(unsafe_op_in_unsafe_fn, reason = "bindgen 0.66 writes the edition of 2021")]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/sys.rs"));
}
mod tree;
#[allow(clippy::identity_op, non_camel_case_types, reason = "generated, with the names in C")]
mod views {
    use crate::List;
    use crate::raw::{Field, Raw};
    use crate::sys;

    include!(concat!(env!("OUT_DIR"), "/views.rs"));
}

// Only for its static library.
use pg_query as _;

pub use raw::List;
pub use tree::{DeparseError, ParseError, StringSyntax, Tree};
pub use views::*;
