//! What is set on the sockets of server connections.

use std::io;

use pgherd_config::TcpSettings;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// No delay, and a dead peer is found even when nothing is sent.
pub(crate) fn tune(stream: &TcpStream, settings: &TcpSettings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if let Some(idle) = settings.keepalive_idle {
        let keepalive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval(settings.keepalive_interval)
            .with_retries(settings.keepalive_count);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    if settings.user_timeout.is_some() {
        socket.set_tcp_user_timeout(settings.user_timeout)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_takes_what_is_set() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let settings = TcpSettings {
            keepalive_idle: Some(Duration::from_secs(7)),
            keepalive_interval: Duration::from_secs(2),
            keepalive_count: 4,
            user_timeout: Some(Duration::from_millis(1_500)),
        };
        tune(&stream, &settings)?;
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive()? && socket.tcp_nodelay()?);
        assert_eq!(socket.tcp_keepalive_time()?, Duration::from_secs(7));
        assert_eq!(socket.tcp_keepalive_interval()?, Duration::from_secs(2));
        assert_eq!(socket.tcp_keepalive_retries()?, 4);
        assert_eq!(socket.tcp_user_timeout()?, Some(Duration::from_millis(1_500)));
        Ok(())
    }
}
