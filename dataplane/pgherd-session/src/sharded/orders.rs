//! The order of text under linguistic collations: of which the proxy's own C library has it exactly
//! as the shards have it, so that their rows can be merged as they come.
//!
//! It has when the shards agree on what a collation is, and each server runs the same version of the
//! library as the proxy, which is what Postgres itself goes by. A server says its version anew on
//! each connection that is merged from: behind a failover may be another one.

use std::collections::{BTreeMap, BTreeSet};

use pgherd_plan::{Linguistic, MergeKey};
use pgherd_types::{Collation, CollationFacts};

use super::branch::Branch;
use super::failure::Failure;

/// What collations a shard has: those of libc, and its database's default.
#[derive(Debug, Default, Clone)]
pub(crate) struct Offered {
    /// By schema and name, each with both as SQL.
    collations: BTreeMap<(String, String), (String, CollationFacts)>,
    /// Names that stand in several schemas.
    ambiguous: BTreeSet<String>,
}

/// The collations whose order is known, by their quoted names.
#[derive(Debug, Default)]
pub(crate) struct Orders(BTreeMap<String, Collation>);

/// The version of the C library, as any of its collations has it.
const LIBRARY: &str = "SELECT pg_catalog.pg_collation_actual_version(c.oid) \
    FROM pg_catalog.pg_collation c WHERE c.collprovider = 'c' \
    AND c.collcollate OPERATOR(pg_catalog.!~~*) 'C' \
    AND c.collcollate OPERATOR(pg_catalog.!~~*) 'C.%' \
    AND c.collcollate OPERATOR(pg_catalog.!~~*) 'POSIX' LIMIT 1";
/// The same from 15 on, where a database may have no such collation but its default.
const LIBRARY_OF_DATABASE: &str = "SELECT pg_catalog.pg_database_collation_actual_version(d.oid) \
    FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database() \
    AND d.datlocprovider = 'c'";

/// The name of the database's own collation.
fn default() -> (String, String) {
    ("pg_catalog".to_owned(), "default".to_owned())
}

// === impl Offered ===

impl Offered {
    /// The rows of this are for [`Offered::read`]. To be run with `search_path = pg_catalog`.
    pub(crate) fn query(major: u32) -> String {
        let facts = pgherd_types::catalog::collations(major);
        format!(
            "SELECT f.*, n.nspname, quote_ident(n.nspname) || '.' || quote_ident(c.collname), \
             EXISTS (SELECT FROM pg_collation o \
             WHERE o.collname = c.collname AND o.collnamespace <> c.collnamespace) \
             FROM ({facts}) AS f(id, name, provider, locale, deterministic, version) \
             LEFT JOIN pg_collation c ON c.oid = f.id LEFT JOIN pg_namespace n ON n.oid = c.collnamespace \
             WHERE f.id = 0 OR f.provider = 'c'"
        )
    }

    pub(crate) fn read(rows: impl IntoIterator<Item = Vec<Option<String>>>) -> Self {
        let mut offered = Self::default();
        for row in rows {
            let Ok(
                [oid, name, provider, locale, deterministic, version, schema, quoted, ambiguous],
            ) = <[Option<String>; 9]>::try_from(row)
            else {
                continue;
            };
            let (Some(oid), Some(name), Some(provider)) = (oid, name, provider) else { continue };
            if ambiguous.as_deref() == Some("t") {
                offered.ambiguous.insert(name.clone());
            }
            let (key, quoted) = match (schema, quoted) {
                (Some(schema), Some(quoted)) => ((schema, name.clone()), quoted),
                _ if oid == "0" => (default(), Linguistic::DEFAULT.to_owned()),
                _ => continue,
            };
            let facts = CollationFacts {
                name,
                provider: provider.chars().next().unwrap_or_default(),
                locale: locale.unwrap_or_default(),
                deterministic: deterministic.as_deref() == Some("t"),
                version: version.unwrap_or_default(),
            };
            offered.collations.insert(key, (quoted, facts));
        }
        offered.date_default();
        offered
    }

    /// Before 15 a database's default has no version; one of the same library has.
    fn date_default(&mut self) {
        let of_libc = |it: &&CollationFacts| it.provider == 'c' && !it.version.is_empty();
        let facts = self.collations.values().map(|(_, facts)| facts);
        let version = facts.into_iter().find(of_libc).map(|it| it.version.clone());
        if let (Some((_, default)), Some(version)) = (self.collations.get_mut(&default()), version)
            && default.provider == 'c'
            && default.version.is_empty()
        {
            default.version = version;
        }
    }

    /// Text under the database's default collation is ordered by bytes.
    pub(crate) fn is_by_bytes(&self) -> bool {
        let default = self.collations.get(&default());
        default.is_some_and(|(_, facts)| matches!(facts.resolve(), Collation::Bytes))
    }
}

// === impl Orders ===

impl Orders {
    /// Those on which all shards agree, and what the planner has to know of them.
    pub(crate) fn new(shards: &[&Offered]) -> (Self, Vec<Linguistic>) {
        let (mut orders, mut names) = (BTreeMap::new(), Vec::new());
        let Some((first, others)) = shards.split_first() else { return Default::default() };
        for (key, offered) in &first.collations {
            if !others.iter().all(|it| it.collations.get(key) == Some(offered)) {
                continue;
            }
            let ((schema, name), (quoted, facts)) = (key, offered);
            let collation = facts.resolve_with(pgherd_collation::library);
            if !matches!(collation, Collation::Library { deterministic: true, .. }) {
                continue;
            }
            orders.insert(quoted.clone(), collation);
            names.push(Linguistic {
                schema: schema.clone(),
                name: name.clone(),
                quoted: quoted.clone(),
                is_alone: !shards.iter().any(|it| it.ambiguous.contains(name)),
            });
        }
        (Self(orders), names)
    }

    /// By what the values of a key are ordered; `None` when that is not known any more.
    pub(crate) fn of(&self, key: &MergeKey) -> Option<Collation> {
        match &key.collation {
            None => Some(Collation::Bytes),
            Some(name) => self.0.get(&**name).cloned(),
        }
    }
}

/// Of a `server_version`.
pub(crate) fn major(version: &str) -> u32 {
    let major = version.split(|it: char| !it.is_ascii_digit()).next();
    major.and_then(|it| it.parse().ok()).unwrap_or_default()
}

impl Branch {
    async fn first_value(&mut self, sql: &str) -> Result<Vec<u8>, Failure> {
        self.is_quiet = true;
        let answer = self.simple(sql).await;
        self.is_quiet = false;
        Ok(answer?.rows.into_iter().flatten().flatten().next().unwrap_or_default())
    }

    /// Whether the server's C library is of the version that the proxy's is. Asked once on each
    /// connection.
    pub(crate) async fn has_own_library(&mut self) -> Result<bool, Failure> {
        let Some(own) = pgherd_collation::version() else { return Ok(false) };
        let shard = self.shard;
        let Some(lease) = self.connection() else { return Err(Failure::Broken(shard)) };
        if lease.info.library.is_none() {
            let has_default = major(&lease.info.version) >= 15;
            let mut version = self.first_value(LIBRARY).await?;
            if version.is_empty() && has_default {
                version = self.first_value(LIBRARY_OF_DATABASE).await?;
            }
            let version = String::from_utf8_lossy(&version).into();
            let Some(lease) = self.connection() else { return Err(Failure::Broken(shard)) };
            lease.info.library = Some(version);
        }
        let lease = self.connection();
        Ok(lease.is_some_and(|it| it.info.library.as_deref() == Some(own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, locale: &str, version: &str, schema: &str) -> Vec<Option<String>> {
        let oid = if schema.is_empty() { "0" } else { "1" };
        let quoted = (!schema.is_empty()).then(|| format!("{schema}.\"{name}\""));
        let schema = (!schema.is_empty()).then(|| schema.to_owned());
        let ambiguous = Some(if name == "both" { "t" } else { "f" }.to_owned());
        let fields = [oid, name, "c", locale, "t", version].map(|it| Some(it.to_owned()));
        fields.into_iter().chain([schema, quoted, ambiguous]).collect()
    }

    #[test]
    fn only_what_all_shards_have_of_the_own_version_is_known() {
        let own = pgherd_collation::version().expect("glibc");
        let offered = |locale: &str, version: &str| {
            Offered::read([
                row("C.UTF-8", "C.UTF-8", "", ""),
                row("de", "de_DE.utf8", own, "pg_catalog"),
                row("both", "sv_SE.utf8", own, "pg_catalog"),
                row("mine", locale, own, "public"),
                row("old", "de_DE.utf8", version, "public"),
                row("C", "C", "", "pg_catalog"),
            ])
        };
        let (first, second) = (offered("de_DE.utf8", own), offered("sv_SE.utf8", "0.1"));
        assert!(first.is_by_bytes());
        let names = |shards: &[&Offered]| -> Vec<(String, bool)> {
            Orders::new(shards).1.into_iter().map(|it| (it.quoted, it.is_alone)).collect()
        };
        let common =
            [("pg_catalog.\"both\"".to_owned(), false), ("pg_catalog.\"de\"".to_owned(), true)];
        assert_eq!(names(&[&first, &second]), common);
        assert_eq!(names(&[&first]).len(), 4);
    }

    #[test]
    fn before_15_a_default_is_as_old_as_its_library() {
        let own = pgherd_collation::version().expect("glibc");
        let rows =
            [row("de_DE.utf8", "de_DE.utf8", "", ""), row("sv", "sv_SE.utf8", own, "pg_catalog")];
        let offered = Offered::read(rows);
        let (orders, names) = Orders::new(&[&offered, &offered]);
        assert!(names.iter().any(|it| it.quoted == Linguistic::DEFAULT));
        let collation = Some(Linguistic::DEFAULT.into());
        let key =
            MergeKey { column: 0, type_oid: 25, collation, descending: false, nulls_first: false };
        let order = orders.of(&key).and_then(|it| it.order("ä".as_bytes(), b"b"));
        assert_eq!(order, Some(std::cmp::Ordering::Less));
    }
}
