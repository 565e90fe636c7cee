//! What the catalog of a database says of its functions, as far as routing needs it.

use ahash::AHashMap;

/// The functions outside of `pg_catalog` of one database, and whether they may write.
#[derive(Debug, Default)]
pub struct Volatilities {
    /// Which reading of the catalog this is.
    id: u64,
    /// By name, then by schema: whether any function of that name there may write.
    by_name: AHashMap<Box<str>, Vec<(Box<str>, bool)>>,
}

impl Volatilities {
    /// From schema, name and whether it may write; of several of one name the worst counts.
    pub(crate) fn new<'n>(functions: impl IntoIterator<Item = (&'n str, &'n str, bool)>) -> Self {
        let mut by_name = AHashMap::<Box<str>, Vec<(Box<str>, bool)>>::new();
        for (schema, name, writes) in functions {
            let schemas = by_name.entry(name.into()).or_default();
            match schemas.iter_mut().find(|(known, _)| **known == *schema) {
                Some((_, may_write)) => *may_write |= writes,
                None => schemas.push((schema.into(), writes)),
            }
        }
        Self { id: rand::random(), by_name }
    }

    /// A number that no other reading of a catalog has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether a function of this name may write; `None` where there is none of that name.
    ///
    /// A name without a schema means any of the name, since the `search_path` that decides is the
    /// session's; `pg_catalog` comes first in it unless the session says otherwise, so a caller
    /// that knows a function of Postgres itself by this name asks [`Self::shadows`].
    pub fn may_write(&self, schema: Option<&str>, name: &str) -> Option<bool> {
        let mut of_name = self.by_name.get(name)?.iter().peekable();
        match schema {
            None => Some(of_name.any(|(_, writes)| *writes)),
            Some(schema) => of_name.find(|(it, _)| **it == *schema).map(|(_, writes)| *writes),
        }
    }

    /// Whether there is a function of this name that may write. One with the name of a function of
    /// Postgres itself can be meant instead of that, by its arguments or by the `search_path`.
    pub fn shadows(&self, name: &str) -> bool {
        self.may_write(None, name) == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::Volatilities;

    fn functions() -> Volatilities {
        Volatilities::new([
            ("public", "audit", true),
            ("public", "area", false),
            ("public", "area", false),
            ("geo", "area", true),
            ("public", "mixed", false),
            ("public", "mixed", true),
        ])
    }

    #[track_caller]
    fn check(schema: Option<&str>, name: &str, expected: Option<bool>) {
        assert_eq!(functions().may_write(schema, name), expected, "{schema:?}.{name}");
    }

    #[test]
    fn any_overload_that_may_write_counts() {
        check(Some("public"), "mixed", Some(true));
        check(None, "mixed", Some(true));
        check(Some("public"), "area", Some(false));
    }

    #[test]
    fn a_name_without_schema_means_all_of_that_name() {
        check(None, "area", Some(true));
        check(None, "audit", Some(true));
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        check(None, "gone", None);
        check(Some("geo"), "audit", None);
    }
}
