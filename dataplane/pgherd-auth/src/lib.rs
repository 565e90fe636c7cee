//! Proves who a client is, and to an instance who the proxy is, without IO or clock.
//!
//! Each exchange is a chain of states: a message goes in, the next state and the bytes to send
//! come out, and a state that was used is gone. Randomness is an argument. Where a login has
//! succeeded stands an [`Authenticated`], which nothing but these exchanges can make.

mod authenticated;
pub mod cleartext;
mod error;
pub mod md5;
mod nonce;
pub mod scram;

pub use authenticated::{Authenticated, Method};
pub use error::{AuthError, Fault, Flaw, Message};
pub use nonce::nonce;
