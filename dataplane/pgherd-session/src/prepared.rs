//! What a session must know of its prepared statements besides their names.

use bytes::Bytes;

/// What a session must know of its prepared statements besides their names.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The ParameterDescription that came last, whose other half is still to come.
    pub(crate) parameters: Bytes,
    /// A statement that has turned out not to be any more what it was when the client defined it.
    pub(crate) stale: Option<u64>,
    /// A message that names a statement waits until everything before it has been answered.
    pub(crate) barrier: bool,
    /// A Flush was slipped in so that the end of a copy is answered.
    pub(crate) flushed: bool,
}
