//! Why an authentication exchange failed, and what to tell whom.

use std::borrow::Cow;
use std::fmt;

/// Why an exchange failed. Trying again with the same input never helps.
///
/// `Display` is for the log; [`AuthError::client_message`] is what the client may be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A message exceeds what its kind may need.
    #[error("{message} has {length} bytes, more than the {limit} allowed")]
    TooLong { message: Message, length: usize, limit: usize },
    /// A message does not follow the grammar of RFC 5802.
    #[error("malformed {message}: {flaw}")]
    Malformed { message: Message, flaw: Flaw },
    /// The client asks for channel binding, which the mechanism that it chose does not have.
    #[error("the client chose SCRAM-SHA-256 without channel binding but sent channel binding data")]
    BindingNotOffered,
    /// The client chose the mechanism with channel binding and does not bind.
    #[error("the client chose SCRAM-SHA-256-PLUS but sent no channel binding data")]
    BindingMissing,
    /// The client believes that channel binding was not offered, and it was.
    #[error("the client was not told that channel binding is offered: somebody stands between")]
    BindingDowngrade,
    /// The client binds to something else than the server's certificate.
    #[error("the client wants channel binding of type {name:?}")]
    BindingType {
        /// The type; long and unprintable ones are cut.
        name: String,
    },
    /// The client has seen another certificate.
    #[error("the client has seen another certificate: somebody stands between")]
    BindingFailed,
    /// The channel binding in the last message is not the one announced in the first.
    #[error("channel binding differs between client-first-message and client-final-message")]
    BindingMismatch,
    /// The client wants to act as someone else than the user it logs in as.
    #[error("the client sent an authorization identity, which Postgres does not support")]
    AuthorizationIdentity,
    /// The peer requires an extension of SCRAM; none exists.
    #[error("{message} requires a SCRAM extension, and none is supported")]
    MandatoryExtension { message: Message },
    /// A nonce is not the one of this exchange.
    #[error("the nonce in {message} does not belong to this exchange")]
    NonceMismatch { message: Message },
    /// The server asks for more (or less) work than is reasonable.
    #[error("the server asks for {iterations} iterations; 1 to {limit} are allowed")]
    Iterations { iterations: u64, limit: u32 },
    /// The client sent a password of no characters, which never passes.
    #[error("the client sent an empty password")]
    EmptyPassword,
    /// The client does not know the password, or there is no such user.
    #[error("wrong password or unknown user")]
    WrongPassword,
    /// The server ended the exchange with an error value.
    #[error("the server refused the exchange: {reason}")]
    ServerRefused {
        /// One of the values that RFC 5802 lists.
        reason: &'static str,
    },
    /// The server does not know the password either: it may be someone else.
    #[error("the server's signature is wrong: it does not know the password")]
    ServerSignature,
}

/// Which message of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    ClientFirst,
    ServerFirst,
    ClientFinal,
    ServerFinal,
    /// The PasswordMessage that carries a cleartext or MD5 password.
    Password,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Flaw {
    #[error("it is empty")]
    Empty,
    #[error("it contains a zero byte")]
    ZeroByte,
    #[error("attribute \"{0}\" expected")]
    AttributeExpected(char),
    #[error("an attribute expected, with a letter for its name")]
    AnyAttributeExpected,
    #[error("\"=\" expected after the name of attribute \"{0}\"")]
    EqualsExpected(char),
    #[error("a comma expected after the channel binding flag and after the empty identity")]
    CommaExpected,
    #[error("the channel binding flag is none of n, y and p")]
    BindingFlag,
    #[error("the nonce is empty or contains characters that are not printable ASCII")]
    Nonce,
    #[error("attribute \"{0}\" is not base64")]
    Base64(char),
    #[error("attribute \"{0}\" has a wrong length")]
    Length(char),
    #[error("attribute \"{0}\" is not a number")]
    Number(char),
    #[error("something follows its last attribute")]
    Trailing,
}

/// Whose doing a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    Client,
    /// An instance.
    Server,
    /// The proxy's own configuration.
    Proxy,
}

// === impl AuthError ===

impl AuthError {
    /// A short name, for metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Malformed { .. } => "malformed",
            Self::BindingNotOffered => "binding_not_offered",
            Self::BindingMissing => "binding_missing",
            Self::BindingDowngrade => "binding_downgrade",
            Self::BindingType { .. } => "binding_type",
            Self::BindingFailed => "binding_failed",
            Self::BindingMismatch => "binding_mismatch",
            Self::AuthorizationIdentity => "authorization_identity",
            Self::MandatoryExtension { .. } => "mandatory_extension",
            Self::NonceMismatch { .. } => "nonce_mismatch",
            Self::Iterations { .. } => "iterations",
            Self::EmptyPassword => "empty_password",
            Self::WrongPassword => "wrong_password",
            Self::ServerRefused { .. } => "server_refused",
            Self::ServerSignature => "server_signature",
        }
    }

    /// Whose doing this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooLong { message, .. }
            | Self::Malformed { message, .. }
            | Self::MandatoryExtension { message }
            | Self::NonceMismatch { message } => message.sender(),
            Self::BindingNotOffered
            | Self::BindingMissing
            | Self::BindingDowngrade
            | Self::BindingType { .. }
            | Self::BindingFailed
            | Self::BindingMismatch
            | Self::AuthorizationIdentity
            | Self::EmptyPassword
            | Self::WrongPassword => Fault::Client,
            Self::ServerRefused { .. } => Fault::Proxy,
            Self::Iterations { .. } | Self::ServerSignature => Fault::Server,
        }
    }

    /// The SQLSTATE for the client, the one that Postgres uses where it has the same error.
    pub fn sqlstate(&self) -> &'static str {
        match (self.fault(), self) {
            // sqlclient_unable_to_establish_sqlconnection
            (Fault::Server | Fault::Proxy, _) => "08001",
            (Fault::Client, Self::WrongPassword | Self::EmptyPassword) => "28P01",
            (Fault::Client, Self::AuthorizationIdentity | Self::MandatoryExtension { .. }) => {
                "0A000"
            }
            (Fault::Client, Self::BindingDowngrade | Self::BindingFailed) => "28000",
            (Fault::Client, _) => "08P01",
        }
    }

    /// What the client is told, in Postgres's words; the details stay in the log.
    pub fn client_message(&self, user: &str) -> Cow<'static, str> {
        match (self.fault(), self) {
            (Fault::Server | Fault::Proxy, _) => "the proxy could not log in to the server".into(),
            (Fault::Client, Self::WrongPassword) => {
                format!("password authentication failed for user \"{user}\"").into()
            }
            (Fault::Client, Self::EmptyPassword) => "empty password returned by client".into(),
            (Fault::Client, Self::AuthorizationIdentity) => {
                "client uses authorization identity, but it is not supported".into()
            }
            (Fault::Client, Self::MandatoryExtension { .. }) => {
                "client requires an unsupported SCRAM extension".into()
            }
            (Fault::Client, Self::BindingMismatch) => {
                "unexpected SCRAM channel-binding attribute in client-final-message".into()
            }
            (Fault::Client, Self::BindingDowngrade) => {
                "SCRAM channel binding negotiation error".into()
            }
            (Fault::Client, Self::BindingType { name }) => {
                format!("unsupported SCRAM channel-binding type \"{name}\"").into()
            }
            (Fault::Client, Self::BindingFailed) => "SCRAM channel binding check failed".into(),
            (Fault::Client, Self::NonceMismatch { .. }) => "invalid SCRAM response".into(),
            (
                Fault::Client,
                Self::TooLong { message: Message::Password, .. }
                | Self::Malformed { message: Message::Password, .. },
            ) => "invalid password packet size".into(),
            (Fault::Client, _) => "malformed SCRAM message".into(),
        }
    }
}

// === impl Message ===

impl Message {
    fn sender(self) -> Fault {
        match self {
            Self::ClientFirst | Self::ClientFinal | Self::Password => Fault::Client,
            Self::ServerFirst | Self::ServerFinal => Fault::Server,
        }
    }

    /// Refuses what is too long, empty, or not a C string: the three checks that Postgres makes
    /// before it reads a message.
    pub(crate) fn admit(self, bytes: &[u8], limit: usize) -> Result<(), AuthError> {
        if bytes.len() > limit {
            let length = bytes.len();
            return Err(AuthError::TooLong { message: self, length, limit });
        }
        if bytes.is_empty() {
            return Err(match self {
                Self::Password => AuthError::EmptyPassword,
                _ => self.malformed(Flaw::Empty),
            });
        }
        if bytes.contains(&0) {
            return Err(self.malformed(Flaw::ZeroByte));
        }
        Ok(())
    }

    pub(crate) fn malformed(self, flaw: Flaw) -> AuthError {
        AuthError::Malformed { message: self, flaw }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientFirst => "client-first-message",
            Self::ServerFirst => "server-first-message",
            Self::ClientFinal => "client-final-message",
            Self::ServerFinal => "server-final-message",
            Self::Password => "password message",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect;

    use super::{AuthError, Flaw, Message};

    #[test]
    fn a_client_is_told_what_postgres_would_tell_it() {
        let errors = [
            AuthError::WrongPassword,
            AuthError::TooLong { message: Message::ClientFirst, length: 2000, limit: 1024 },
            Message::ClientFinal.malformed(Flaw::Base64('p')),
            AuthError::EmptyPassword,
            Message::Password.malformed(Flaw::ZeroByte),
            Message::Password.malformed(Flaw::ZeroByte),
            AuthError::BindingNotOffered,
            AuthError::BindingMissing,
            AuthError::BindingDowngrade,
            AuthError::BindingType { name: "tls-unique".to_owned() },
            AuthError::BindingFailed,
            AuthError::BindingMismatch,
            AuthError::AuthorizationIdentity,
            AuthError::MandatoryExtension { message: Message::ClientFirst },
            AuthError::NonceMismatch { message: Message::ClientFinal },
            AuthError::NonceMismatch { message: Message::ServerFirst },
            AuthError::Iterations { iterations: 0, limit: 1 },
            AuthError::ServerRefused { reason: "invalid-proof" },
            AuthError::ServerSignature,
        ];
        let mut report = String::new();
        for error in errors {
            let (kind, state, fault) = (error.kind(), error.sqlstate(), error.fault());
            writeln!(report, "{kind} {fault:?} {state} {}", error.client_message("app")).unwrap();
        }
        expect![[r#"
            wrong_password Client 28P01 password authentication failed for user "app"
            too_long Client 08P01 malformed SCRAM message
            malformed Client 08P01 malformed SCRAM message
            empty_password Client 28P01 empty password returned by client
            malformed Client 08P01 invalid password packet size
            malformed Client 08P01 invalid password packet size
            binding_not_offered Client 08P01 malformed SCRAM message
            binding_missing Client 08P01 malformed SCRAM message
            binding_downgrade Client 28000 SCRAM channel binding negotiation error
            binding_type Client 08P01 unsupported SCRAM channel-binding type "tls-unique"
            binding_failed Client 28000 SCRAM channel binding check failed
            binding_mismatch Client 08P01 unexpected SCRAM channel-binding attribute in client-final-message
            authorization_identity Client 0A000 client uses authorization identity, but it is not supported
            mandatory_extension Client 0A000 client requires an unsupported SCRAM extension
            nonce_mismatch Client 08P01 invalid SCRAM response
            nonce_mismatch Server 08001 the proxy could not log in to the server
            iterations Server 08001 the proxy could not log in to the server
            server_refused Proxy 08001 the proxy could not log in to the server
            server_signature Server 08001 the proxy could not log in to the server
        "#]].assert_eq(&report);
    }
}
