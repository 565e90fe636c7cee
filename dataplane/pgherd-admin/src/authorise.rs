//! Who may do what: the one way from a request to what it acts on.

use pgherd_session::{AdminReply, Shared};
use pgherd_wire::ErrorResponse;

use crate::control::Control;

/// What a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// To look at the state of the proxy.
    Look,
    /// To change it.
    Operate,
}

/// A statement that was found to be some command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// What follows the name of the command.
    pub(crate) arguments: &'a str,
    admin: &'a str,
    shared: &'a Shared,
    control: &'a dyn Control,
}

/// The proof that an admin may do what it asks. Only [`Request::authorise`] makes one, so that a
/// command that forgets to ask has nothing to act on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authorised<'a> {
    /// What the sessions of the process share.
    pub(crate) shared: &'a Shared,
    /// The process.
    pub(crate) control: &'a dyn Control,
}

/// Why a command was not carried out, as the admin reads it.
pub(crate) type Refusal = Box<ErrorResponse<'static>>;

/// What a command comes to.
pub(crate) type Outcome = Result<AdminReply, Refusal>;

impl<'a> Request<'a> {
    pub(crate) fn new(
        arguments: &'a str,
        admin: &'a str,
        shared: &'a Shared,
        control: &'a dyn Control,
    ) -> Self {
        Self { arguments, admin, shared, control }
    }

    /// Gives way to what the command acts on, if this admin has the permission.
    pub(crate) fn authorise(&self, permission: Permission) -> Result<Authorised<'a>, Refusal> {
        authorise(self.admin, permission)?;
        Ok(Authorised { shared: self.shared, control: self.control })
    }
}

/// Whether this admin has this permission. The configuration knows one kind of admin, who may do
/// everything; roles come in here.
fn authorise(_admin: &str, permission: Permission) -> Result<(), Refusal> {
    match permission {
        Permission::Look | Permission::Operate => Ok(()),
    }
}
