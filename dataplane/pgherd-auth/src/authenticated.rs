//! The proof that a client has shown who it is.

/// A client has passed authentication. Only the exchanges of this crate can make one, so that
/// code which asks for it cannot be reached by a login that was skipped or has failed.
#[derive(Debug)]
#[must_use = "a login that succeeded and is not acted on leaves the client waiting"]
pub struct Authenticated {
    method: Method,
}

impl Authenticated {
    pub(crate) fn by(method: Method) -> Self {
        Self { method }
    }

    /// How the client proved itself.
    pub fn method(&self) -> Method {
        self.method
    }
}

/// How a client proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// SCRAM-SHA-256 without channel binding.
    ScramSha256,
    /// Postgres's salted MD5.
    Md5,
    /// The password itself.
    Cleartext,
}
