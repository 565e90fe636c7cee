//! The rules that a topology or a proxy's settings can break, and the settings that do nothing yet.

use crate::{KeyProblem, validate::limits};

/// A rule that is broken. What is shown never carries a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rule {
    #[error("a name is needed here")]
    NameEmpty,
    #[error("the name has {bytes} bytes; Postgres cuts names at {}", limits::NAME_BYTES)]
    NameTooLong { bytes: usize },
    #[error("the name contains control characters")]
    NameControl,
    #[error("`{name}` is the admin database; choose another name")]
    NameReserved { name: String },
    #[error("{what} `{name}` is already defined at {earlier}")]
    Duplicate { what: &'static str, name: String, earlier: String },
    #[error("the cluster has no users, so that nobody could log in")]
    NoUsers,
    #[error("the cluster has no shards; one that is not sharded has exactly one")]
    NoShards,
    #[error("the shard has no instances")]
    NoInstances,
    #[error("{what} must be from {least} to {most}")]
    OutOfRange { what: &'static str, least: usize, most: usize },
    #[error("min_pool_size {min} is more than the pool_size {size} of user `{user}`")]
    MinAboveSize { min: usize, size: usize, user: String },
    #[error("must be longer than 0s: without a limit, clients would wait for ever")]
    PeriodZero,
    #[error("the port cannot be 0")]
    PortZero,
    #[error("a host name, an IP address or the directory of a Unix socket is needed here")]
    HostEmpty,
    #[error("`{host}` is no host: write the port into `port`")]
    HostWithPort { host: String },
    #[error("`{host}`: write an IPv6 address without brackets")]
    HostInBrackets { host: String },
    #[error("`{host}` is no host name, IP address or absolute directory")]
    HostMalformed { host: String },
    #[error("the path of the socket would be {bytes} bytes long; the system allows 107")]
    SocketPathTooLong { bytes: usize },
    #[error("`{address}` is not of the form host:port")]
    AddressMalformed { address: String },
    #[error("must be an octal number from 0000 to 0777")]
    PermissionsMalformed,
    #[error("`{missing}` is needed: a certificate and its key belong together")]
    TlsPairIncomplete { missing: &'static str },
    #[error("mode `{mode}` needs `{missing}`")]
    TlsIncomplete { mode: &'static str, missing: &'static str },
    #[error(
        "`ca` is looked at by the modes `verify-ca` and `verify-full` only: choose one of them"
    )]
    TlsCaUnused,
    #[error("a path is needed here, not empty")]
    PathEmpty,
    #[error("write the key into a file on the proxy and its path here: a key must not travel")]
    TlsKeyInline,
    #[error("at least one address to listen on is needed")]
    NoListeners,
    #[error("the password is empty; Postgres never accepts an empty one")]
    PasswordEmpty,
    #[error("`***` stands for a secret that was not shown; write the password itself")]
    PasswordMasked,
    #[error("looks like a SCRAM verifier, but is none: SCRAM-SHA-256$<iterations>:<salt>$<keys>")]
    VerifierMalformed,
    #[error("an MD5 hash cannot serve here; give the password itself or a SCRAM verifier")]
    Md5Hash,
    #[error(
        "`server_password` is needed: `password` is a SCRAM verifier, which is enough to check \
         clients but not to log in to an instance"
    )]
    ServerPasswordMissing,
    #[error("a SCRAM verifier cannot log in to an instance; give the password itself")]
    ServerPasswordIsVerifier,
    #[error("the shard already has a primary, `{first}`; only one instance can be it")]
    SecondPrimary { first: String },
    #[error("the shard has replicas only: name the primary, or let role = \"auto\" find it")]
    PrimaryMissing,
    #[error(
        "the cluster has {shards} shards: say in `sharded_tables`, `sharded_schemas` or \
         `reference_tables` what is where"
    )]
    NothingPlaced { shards: usize },
    #[error(
        "a cluster for every name has one shard: give each sharded database a cluster of its own"
    )]
    ShardsForEveryName,
    #[error("several shards need pool_mode = \"transaction\" or \"session\"")]
    StatementModeWithShards,
    #[error("{address} has the database `{database}` of shard {earlier} already")]
    DatabaseOfOtherShard { address: String, database: String, earlier: usize },
    #[error("`{table}` is a reference table: it cannot be sharded as well")]
    ReferenceAndSharded { table: String },
    #[error("`{name}` is not of the form table or schema.table")]
    TableMalformed { name: String },
    #[error("`{name}` is neither a schema's name nor the beginning of names with a `*` at the end")]
    SchemaMalformed { name: String },
    #[error("`{name}` stands for a schema of Postgres or pgherd, which is on all shards")]
    SchemaReserved { name: String },
    #[error("`{table}` is on one shard with all its schema: `sharded_schemas` has `{schema}`")]
    TableOfShardedSchema { table: String, schema: String },
    #[error("must be at least {least}: less would hold no rows worth gathering")]
    SizeTooSmall { least: crate::ByteSize },
    #[error("there is no shard {shard}: the cluster has {shards}, counted from 0")]
    UnknownShard { shard: usize, shards: usize },
    #[error("`hash` spreads keys over all shards: leave `shards` out, or choose `list` or `range`")]
    HashWithKeys,
    #[error("keys are needed here: `values` for a list, `from` and `to` for a range, or `default`")]
    NoKeys,
    #[error("`{setting}` has no meaning for the algorithm `{algorithm}`")]
    KeysOfOtherAlgorithm { setting: &'static str, algorithm: &'static str },
    #[error("an entry is either the default or has `from` and `to`")]
    DefaultWithRange,
    #[error(transparent)]
    Keys(#[from] KeyProblem),
    #[error("a statement is needed here")]
    StatementEmpty,
    #[error("the statement contains a zero byte, which Postgres takes for its end")]
    StatementMalformed,
    #[error("there are {count} {what}; at most {most} are allowed")]
    TooMany { what: &'static str, count: usize, most: usize },
    #[error("the document has {bytes} bytes; at most {} are allowed", limits::DOCUMENT_BYTES)]
    DocumentTooLarge { bytes: usize },
    #[error("must be 0 or whole seconds from 1s to 32767s, as the kernel takes them")]
    NotKernelSeconds,
    #[error("the cluster has no user `{name}`")]
    UnknownUser { name: String },
    #[error("`{user}` has no password for the instances: set its `server_password`")]
    UserWithoutServerPassword { user: String },
    #[error("role = \"auto\" is found out by health checks: health_check_interval cannot be 0")]
    AutoWithoutChecks,
    #[error("must be from 0 to 1")]
    NotARatio,
    #[error("{count} more problems are not listed")]
    More { count: usize },
}

impl Rule {
    /// A fixed word for programs to act on.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NameEmpty => "name_empty",
            Self::NameTooLong { .. } => "name_too_long",
            Self::NameControl => "name_malformed",
            Self::NameReserved { .. } => "name_reserved",
            Self::Duplicate { .. } => "duplicate",
            Self::NoUsers => "no_users",
            Self::NoShards => "no_shards",
            Self::NoInstances => "no_instances",
            Self::OutOfRange { .. }
            | Self::PeriodZero
            | Self::PortZero
            | Self::NotKernelSeconds
            | Self::NotARatio => "out_of_range",
            Self::UnknownUser { .. } => "unknown_user",
            Self::UserWithoutServerPassword { .. } => "server_password_missing",
            Self::AutoWithoutChecks => "health_checks_needed",
            Self::MinAboveSize { .. } => "min_pool_size_above_pool_size",
            Self::HostEmpty
            | Self::HostWithPort { .. }
            | Self::HostInBrackets { .. }
            | Self::HostMalformed { .. } => "bad_host",
            Self::SocketPathTooLong { .. } => "socket_path_too_long",
            Self::AddressMalformed { .. } => "bad_address",
            Self::NoListeners => "no_listeners",
            Self::PermissionsMalformed => "out_of_range",
            Self::TlsPairIncomplete { .. } | Self::TlsIncomplete { .. } => "tls_incomplete",
            Self::TlsCaUnused => "tls_ca_unused",
            Self::PathEmpty => "path_empty",
            Self::TlsKeyInline => "tls_key_inline",
            Self::PasswordEmpty => "password_empty",
            Self::PasswordMasked => "password_masked",
            Self::VerifierMalformed => "bad_verifier",
            Self::Md5Hash => "md5_hash",
            Self::ServerPasswordMissing => "server_password_missing",
            Self::ServerPasswordIsVerifier => "server_password_is_verifier",
            Self::SecondPrimary { .. } => "several_primaries",
            Self::PrimaryMissing => "primary_not_named",
            Self::NothingPlaced { .. } => "nothing_placed",
            Self::ShardsForEveryName => "shards_for_every_name",
            Self::StatementModeWithShards => "statement_mode_with_shards",
            Self::DatabaseOfOtherShard { .. } => "database_of_other_shard",
            Self::ReferenceAndSharded { .. } => "reference_and_sharded",
            Self::TableMalformed { .. } => "bad_table",
            Self::SchemaMalformed { .. } => "bad_schema",
            Self::SchemaReserved { .. } => "schema_reserved",
            Self::TableOfShardedSchema { .. } => "table_of_sharded_schema",
            Self::SizeTooSmall { .. } => "out_of_range",
            Self::UnknownShard { .. } => "unknown_shard",
            Self::HashWithKeys | Self::KeysOfOtherAlgorithm { .. } | Self::DefaultWithRange => {
                "keys_without_meaning"
            }
            Self::NoKeys => "no_keys",
            Self::Keys(_) => "bad_keys",
            Self::StatementEmpty | Self::StatementMalformed => "bad_statement",
            Self::TooMany { .. } => "too_many",
            Self::DocumentTooLarge { .. } => "document_too_large",
            Self::More { .. } => "more",
        }
    }
}

/// A setting that is accepted although it does not do what its reader may hope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Caution {
    #[error("`{setting}` has no effect yet in this version")]
    NoEffectYet { setting: &'static str },
    #[error("`{setting}` has no effect: the cluster has one shard")]
    NoEffectWithOneShard { setting: &'static str },
}

impl Caution {
    /// A fixed word for programs to act on.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoEffectYet { .. } => "no_effect_yet",
            Self::NoEffectWithOneShard { .. } => "no_effect",
        }
    }
}
