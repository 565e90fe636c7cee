//! Session state that lives on one server connection, by kind.

/// Kinds of session state that may keep a server connection with its client.
///
/// A kind is first *suspected*, by a word in a statement or by a command tag; when the transaction
/// has ended the server is asked what of it there really is (see `settle.rs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins(u16);

impl Pins {
    /// None.
    pub const NONE: Self = Self(0);
    /// Parameters that Postgres does not report. They are carried over, so they never pin.
    pub const SETTINGS: Self = Self(1);
    /// Temporary tables, views, sequences, functions and types.
    pub const TEMPORARY: Self = Self(1 << 1);
    /// `LISTEN`.
    pub const LISTEN: Self = Self(1 << 2);
    /// Session-level advisory locks.
    pub const ADVISORY_LOCK: Self = Self(1 << 3);
    /// Cursors `WITH HOLD`.
    pub const HELD_CURSOR: Self = Self(1 << 4);
    /// SQL-level `PREPARE`.
    pub const PREPARED: Self = Self(1 << 5);
    /// `LOAD`: nothing takes a library out again.
    pub const LOAD: Self = Self(1 << 6);
    /// A custom parameter whose name is not known, so that it cannot be asked for.
    pub const UNKNOWN_SETTING: Self = Self(1 << 7);
    /// `SET SESSION AUTHORIZATION`.
    pub const AUTHORIZATION: Self = Self(1 << 8);
    /// A statement that is too long to be kept for other server connections.
    pub const LARGE_STATEMENT: Self = Self(1 << 9);

    /// No kind: some of what is there may be gone.
    pub const ENDS: Self = Self(1 << 13);

    /// What a `DO` block or a procedure may have done, whose text or body says little.
    pub const ANYTHING: Self = Self(
        Self::SETTINGS.0
            | Self::TEMPORARY.0
            | Self::LISTEN.0
            | Self::ADVISORY_LOCK.0
            | Self::HELD_CURSOR.0
            | Self::PREPARED.0,
    );
    /// Kinds of which the server can be asked whether they are there.
    pub const ASKABLE: Self = Self::ANYTHING;

    const NAMES: [(Self, &'static str); 9] = [
        (Self::TEMPORARY, "temporary objects"),
        (Self::LISTEN, "LISTEN"),
        (Self::ADVISORY_LOCK, "advisory locks"),
        (Self::HELD_CURSOR, "cursors WITH HOLD"),
        (Self::PREPARED, "PREPARE"),
        (Self::LOAD, "LOAD"),
        (Self::UNKNOWN_SETTING, "custom parameters"),
        (Self::AUTHORIZATION, "SESSION AUTHORIZATION"),
        (Self::LARGE_STATEMENT, "a large prepared statement"),
    ];

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are among these.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These but not those.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is among these and those.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// As a number, to be kept where this type is not known.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// From [`Pins::bits`].
    pub fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// What people read.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(kind, _)| self.contains(*kind)).map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_and_go_one_by_one() {
        let both = Pins::LISTEN.and(Pins::TEMPORARY);
        assert_eq!(both.names().collect::<Vec<_>>(), ["temporary objects", "LISTEN"]);
        assert_eq!(both.without(Pins::LISTEN), Pins::TEMPORARY);
        assert!(Pins::NONE.names().next().is_none() && Pins::SETTINGS.names().next().is_none());
        assert_eq!(Pins::from_bits(both.bits()), both);
    }
}
