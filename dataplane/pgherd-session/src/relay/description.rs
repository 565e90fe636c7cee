//! What the server says of a statement that was parsed: it decides which statement that is.

use std::sync::Arc;

use bytes::Bytes;
use pgherd_pool::{Effect, Shape};
use pgherd_wire::backend::tag;
use pgherd_wire::description::row_type;
use pgherd_wire::frame::{HEADER_LEN, Header};
use pgherd_wire::owed::Audience;

use crate::end::End;
use crate::prepared::Checking;
use crate::session::Session;

/// No description is longer: 1,664 columns, 65,535 parameters.
pub(super) const MAX_DESCRIPTION: usize = 512 * 1024;

impl Session {
    /// Whether the description that comes now is one that the proxy asked for.
    pub(super) fn is_for_the_books(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| {
            matches!(lease.owed.head_effect(), Some(note) if matches!(note.undo, Effect::Described { .. }))
        })
    }

    /// Half of a description, all of which is there.
    pub(super) fn take_description(&mut self, header: Header) -> Result<Audience, End> {
        let Some(lease) = &mut self.lease else { return Ok(Audience::Proxy) };
        let unscanned = self.from_server.buffer.unscanned();
        let body = unscanned.get(HEADER_LEN..header.total_len()).unwrap_or_default();
        let columns = match header.tag {
            tag::PARAMETER_DESCRIPTION => {
                self.prepared.parameters = Bytes::copy_from_slice(body);
                return lease.owed.reply(header.tag).map_err(End::ServerUnexpected);
            }
            tag::NO_DATA => Bytes::new(),
            _ => Bytes::from(row_type(body).ok_or(End::ServerMalformed(header.tag))?),
        };
        let described = match lease.owed.head_effect().map(|note| &note.undo) {
            Some(Effect::Described { statement, name }) => (Arc::clone(statement), name.clone()),
            _ => return lease.owed.reply(header.tag).map_err(End::ServerUnexpected),
        };
        let audience = lease.owed.reply(header.tag).map_err(End::ServerUnexpected)?;
        let (statement, name) = described;
        let shape = Shape { parameters: std::mem::take(&mut self.prepared.parameters), columns };
        if statement.shape.as_ref() == Some(&shape) {
            return Ok(audience);
        }
        let now = self.pool.statements().intern(&statement.definition, shape, statement.marks);
        lease.statements.rename(statement.id, now.id);
        if statement.shape.is_some() {
            if self.prepared.checking == Some(Checking::Asked(statement.id)) {
                self.prepared.checking = Some(Checking::Stale(statement.id));
            }
        } else if let Some(mine) = self.statements.get_mut(&name)
            && mine.id == statement.id
        {
            *mine = now;
        }
        Ok(audience)
    }
}
