//! How long a server may take over what the proxy itself asks of it on a client's behalf.

use std::io;
use std::time::Duration;

use pgherd_pool::ServerError;

/// These questions cost a server less than a millisecond: one that needs longer is frozen, or cut
/// off, and the client must not wait for it to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for the answer, up to a limit.
///
/// Not cancel safe, and when it fails neither: the server connection must be closed then.
pub(crate) async fn in_time<T>(
    asking: impl Future<Output = Result<T, ServerError>>,
) -> Result<T, ServerError> {
    within(PATIENCE, asking).await
}

async fn within<T>(
    limit: Duration,
    asking: impl Future<Output = Result<T, ServerError>>,
) -> Result<T, ServerError> {
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(ServerError::Io(io::ErrorKind::TimedOut.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_frozen_server_is_given_up() {
        let answer = within(Duration::from_millis(1), pending::<Result<(), _>>()).await;
        assert!(matches!(answer, Err(ServerError::Io(_))));
        assert!(in_time(async { Ok(1) }).await.is_ok());
    }
}
