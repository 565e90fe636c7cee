//! PostgreSQL's frontend/backend protocol, version 3, as values: no socket, no clock, no runtime.
//!
//! A relay needs little of the protocol: where a message ends ([`frame`]), which few messages it
//! must understand ([`frontend`], [`backend`], [`startup`]), and what the server still owes
//! ([`owed`]). The formats are those of the manual, chapter "Frontend/Backend Protocol".

pub mod backend;
pub mod error_response;
pub mod frame;
pub mod frontend;
pub mod owed;
pub mod params;
pub mod sqlstate;
pub mod startup;

mod cursor;
pub mod description;

pub use error_response::{ErrorResponse, Severity};
pub use frame::{FrameError, Header};
pub use owed::{Owed, Request, TransactionStatus};
pub use params::ParamSet;
