//! The SQLSTATE codes that the proxy itself sends or reacts to.

/// `successful_completion`.
pub const SUCCESSFUL_COMPLETION: &str = "00000";
/// `connection_exception`: the server connection broke.
pub const CONNECTION_FAILURE: &str = "08006";
/// `sqlclient_unable_to_establish_sqlconnection`: no server connection could be made.
pub const UNABLE_TO_CONNECT: &str = "08001";
/// `protocol_violation`.
pub const PROTOCOL_VIOLATION: &str = "08P01";
/// `feature_not_supported`.
pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
/// `invalid_parameter_value`.
pub const INVALID_PARAMETER_VALUE: &str = "22023";
/// `invalid_authorization_specification`.
pub const INVALID_AUTHORIZATION: &str = "28000";
/// `invalid_password`.
pub const INVALID_PASSWORD: &str = "28P01";
/// `invalid_catalog_name`.
pub const INVALID_CATALOG_NAME: &str = "3D000";
/// `insufficient_privilege`.
pub const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// `syntax_error`.
pub const UNDEFINED_OBJECT: &str = "42704";
/// `syntax_error`
pub const SYNTAX_ERROR: &str = "42601";
/// `too_many_connections`.
pub const TOO_MANY_CONNECTIONS: &str = "53300";
/// `configuration_limit_exceeded`.
pub const CONFIGURATION_LIMIT_EXCEEDED: &str = "53400";
/// `admin_shutdown`.
pub const ADMIN_SHUTDOWN: &str = "57P01";
/// `cannot_connect_now`: the server is starting up or shutting down.
pub const CANNOT_CONNECT_NOW: &str = "57P03";
/// `query_canceled`.
pub const QUERY_CANCELED: &str = "57014";
/// `idle_in_transaction_session_timeout`.
pub const IDLE_IN_TRANSACTION_SESSION_TIMEOUT: &str = "25P03";
/// `transaction_timeout`.
pub const TRANSACTION_TIMEOUT: &str = "25P04";
/// `idle_session_timeout`.
pub const IDLE_SESSION_TIMEOUT: &str = "57P05";
/// `internal_error`.
pub const INTERNAL_ERROR: &str = "XX000";
