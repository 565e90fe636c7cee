//! The rows of the twin test, one file for each chapter of the protocol.

pub mod broken;
pub mod calls;
pub mod copy;
pub mod copy_aborts;
pub mod ddl;
pub mod extended;
pub mod large;
pub mod pipelines;
pub mod session;
pub mod simple;
pub mod statements;
pub mod transactions;
