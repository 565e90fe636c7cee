//! Wishes in comments: `/* pgherd: role=primary, shard=2, key=42 */`, and sqlcommenter's
//! `traceparent`.

/// Which instances a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoleWish {
    Primary,
    Replica,
    Any,
}

/// What the comments of a text ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directive {
    pub role: Option<RoleWish>,
    pub shard: Option<u32>,
    pub key: Option<String>,
    pub traceparent: Option<String>,
}

/// The directive in a text's comments, if there is one.
pub fn directive(_sql: &[u8]) -> Option<Directive> {
    None
}
