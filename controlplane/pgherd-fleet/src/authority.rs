//! Decides whose token a caller holds, from memory: revocation is heard within a second.

use pgherd_store::{Role, TokenRow, hash_token};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// Who a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's row.
    pub id: Uuid,
    /// The token's name, the author of what it changes.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// The tokens that count now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    live: Vec<TokenRow>,
}

impl Authority {
    /// Keeps the tokens that were not revoked.
    pub fn new(tokens: Vec<TokenRow>) -> Self {
        Self { live: tokens.into_iter().filter(|token| token.revoked_at.is_none()).collect() }
    }

    /// Whose token this is. Looks at every token in constant time, whether one fits or not.
    pub fn authenticate(&self, token: &str) -> Option<Identity> {
        let hash = hash_token(token);
        let mut found = None;
        for candidate in &self.live {
            if bool::from(candidate.hash.ct_eq(&hash)) {
                found = Some(candidate);
            }
        }
        found.map(|token| Identity { id: token.id, name: token.name.clone(), role: token.role })
    }

    /// Whether a token that was accepted before still counts.
    pub fn still_holds(&self, identity: &Identity) -> bool {
        self.live.iter().any(|token| token.id == identity.id && token.role == identity.role)
    }
}

/// The token in an `Authorization` header; the scheme's case does not matter (RFC 9110, 11.1).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use pgherd_store::{Role, TokenRow, hash_token};
    use uuid::Uuid;

    use super::{Authority, bearer};

    fn token(name: &str, text: &str, revoked: bool) -> TokenRow {
        let now = chrono::Utc::now();
        TokenRow {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            role: Role::Viewer,
            hash: hash_token(text),
            created_at: now,
            created_by: "test".to_owned(),
            revoked_at: revoked.then_some(now),
        }
    }

    #[test]
    fn a_revoked_token_does_not_count() {
        let authority = Authority::new(vec![token("a", "one", false), token("b", "two", true)]);
        assert_eq!(authority.authenticate("one").unwrap().name, "a");
        assert_eq!(authority.authenticate("two"), None);
        assert_eq!(authority.authenticate(""), None);
    }

    #[test]
    fn the_bearer_scheme_is_read_in_any_case() {
        assert_eq!(bearer("Bearer x"), Some("x"));
        assert_eq!(bearer("bearer  x"), Some("x"));
        assert_eq!(bearer("Basic x"), None);
        assert_eq!(bearer("x"), None);
    }
}
