//! What the proxy says to its running agent.

use tokio::sync::watch;

/// Speaks to a running [`crate::Agent`]; never waits. Clones speak to the same agent.
#[derive(Clone, Debug)]
pub struct AgentHandle {
    draining: watch::Sender<bool>,
    view: watch::Sender<()>,
}

/// The agent's ends of an [`AgentHandle`].
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) view: watch::Receiver<()>,
}

impl AgentHandle {
    pub(crate) fn new() -> (Self, Said) {
        let (draining, draining_said) = watch::channel(false);
        let (view, view_said) = watch::channel(());
        (Self { draining, view }, Said { draining: draining_said, view: view_said })
    }

    /// Says that this proxy takes no new clients and will end.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Says that [`crate::Proxy::view`] has something new to tell, which is to be heard at once.
    pub fn view_changed(&self) {
        self.view.send_replace(());
    }
}
