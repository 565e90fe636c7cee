//! OIDs of the database's own types and tables, which differ between shards: clients see those of
//! the first one, whichever shard answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::branch::Question;
use super::failure::Failure;

/// Types and tables: what, schema, name, OID, and whether its binary values have OIDs in them.
/// To be run with `search_path = pg_catalog`.
pub(crate) const OIDS_QUERY: &str = "SELECT 't', n.nspname, t.typname, t.oid, \
    t.typcategory IN ('A', 'C', 'P') OR t.typtype IN ('c', 'd', 'r', 'm') \
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid >= 16384 \
    AND n.nspname !~ '^pg_t' \
    UNION ALL SELECT 'c', n.nspname, c.relname, c.oid, false \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid >= 16384 \
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_t'";

/// A row of [`OIDS_QUERY`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OidRow {
    pub(crate) is_type: bool,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) oid: u32,
    pub(crate) has_oids: bool,
}

/// The OIDs of all shards.
#[derive(Debug, Default)]
pub(crate) struct Oids {
    /// By shard; `None` where they are those of the first one.
    of_shard: Vec<Option<Arc<Translation>>>,
}

/// Between the OIDs of one shard and those of the first.
#[derive(Debug, Default)]
pub(crate) struct Translation {
    tables: HashMap<u32, u32>,
    types: HashMap<u32, u32>,
    /// From the first one's.
    types_back: HashMap<u32, u32>,
    /// Of the first one: types whose values in binary mean something else on this shard.
    opaque: HashSet<u32>,
}

/// `record` and `record[]`, whose values have OIDs of all their fields.
const RECORDS: [u32; 2] = [2249, 2287];

// === impl Oids ===

impl Oids {
    pub(crate) fn new(shards: &[Vec<OidRow>]) -> Self {
        let Some((first, _)) = shards.split_first() else { return Self::default() };
        let name = |row: &OidRow| (row.is_type, row.schema.clone(), row.name.clone());
        let known: HashMap<_, u32> = first.iter().map(|row| (name(row), row.oid)).collect();
        let of_shard = shards.iter().map(|rows| {
            let mut translation = Translation::default();
            let mut differs = false;
            for row in rows {
                let Some(&ours) = known.get(&name(row)) else { continue };
                differs |= ours != row.oid;
                if row.is_type {
                    translation.types.insert(row.oid, ours);
                    translation.types_back.insert(ours, row.oid);
                    if row.has_oids {
                        translation.opaque.insert(ours);
                    }
                } else {
                    translation.tables.insert(row.oid, ours);
                }
            }
            differs.then(|| Arc::new(translation))
        });
        Self { of_shard: of_shard.collect() }
    }

    /// What a shard's OIDs mean to the client, if they are others.
    pub(crate) fn of(&self, shard: usize) -> Option<Arc<Translation>> {
        self.of_shard.get(shard)?.clone()
    }

    /// Whether they are the same on all shards.
    pub(crate) fn are_alike(&self) -> bool {
        self.of_shard.iter().all(Option::is_none)
    }
}

// === impl Translation ===

impl Translation {
    /// A type of the client's on this shard.
    pub(crate) fn type_there(&self, oid: u32) -> u32 {
        self.types_back.get(&oid).copied().unwrap_or(oid)
    }

    /// Types of the client's on this shard, of values in binary.
    pub(crate) fn elements_there(&self, types: &[u32]) -> Result<Vec<u32>, Failure> {
        if types.iter().any(|it| self.is_opaque(*it)) {
            return Err(opaque());
        }
        Ok(types.iter().map(|it| self.type_there(*it)).collect())
    }

    /// A type of this shard for the client.
    pub(crate) fn type_here(&self, oid: u32) -> u32 {
        self.types.get(&oid).copied().unwrap_or(oid)
    }

    /// The body of a RowDescription for the client. Refuses columns in binary whose values have
    /// OIDs in them. `None` when it is malformed.
    pub(crate) fn row_here(&self, body: &[u8]) -> Option<Result<Vec<u8>, Failure>> {
        let mut out = body.to_vec();
        let mut at = 2;
        while at < body.len() {
            let fields = at + body.get(at..)?.iter().position(|&byte| byte == 0)? + 1;
            let read = |from: usize| {
                let bytes = body.get(fields + from..fields + from + 4)?;
                Some(u32::from_be_bytes(*bytes.first_chunk()?))
            };
            let (table, type_oid) = (read(0)?, read(6)?);
            let table = self.tables.get(&table).copied().unwrap_or(table);
            let type_oid = self.type_here(type_oid);
            let is_binary = body.get(fields + 16..fields + 18)? == [0, 1];
            if is_binary && self.is_opaque(type_oid) {
                return Some(Err(opaque()));
            }
            out.get_mut(fields..fields + 4)?.copy_from_slice(&table.to_be_bytes());
            out.get_mut(fields + 6..fields + 10)?.copy_from_slice(&type_oid.to_be_bytes());
            at = fields + 18;
        }
        Some(Ok(out))
    }

    fn is_opaque(&self, type_oid: u32) -> bool {
        self.opaque.contains(&type_oid) || RECORDS.contains(&type_oid)
    }

    /// Refuses parameters in binary whose values have OIDs in them.
    pub(crate) fn check(&self, question: &Question<'_>) -> Result<(), Failure> {
        let mut values = question.arguments.iter().zip(question.types);
        let refused = values.any(|((binary, value), type_oid)| {
            binary && value.is_some() && self.is_opaque(*type_oid)
        });
        if refused { Err(opaque()) } else { Ok(()) }
    }
}

fn opaque() -> Failure {
    Failure::unsupported(
        "a value in binary of an array, composite or domain of the database's own, where its types \
         have other OIDs on other shards,",
        "Use the text format, or create the types in the same order on all shards.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(is_type: bool, name: &str, oid: u32, has_oids: bool) -> OidRow {
        OidRow { is_type, schema: "public".into(), name: name.into(), oid, has_oids }
    }

    fn description(type_oid: u32, format: u8) -> Vec<u8> {
        let mut body = b"\0\x01a\0".to_vec();
        body.extend_from_slice(&700_u32.to_be_bytes());
        body.extend_from_slice(&[0, 1]);
        body.extend_from_slice(&type_oid.to_be_bytes());
        body.extend_from_slice(&[0, 4, 0, 0, 0, 0, 0, format]);
        body
    }

    #[test]
    fn clients_see_the_oids_of_the_first_shard() {
        let first = vec![row(true, "mood", 500, false), row(true, "_mood", 501, true)];
        let first = [first, vec![row(false, "t", 600, false)]].concat();
        let second = vec![row(true, "mood", 901, false), row(true, "_mood", 902, true)];
        let second = [second, vec![row(false, "t", 700, false)]].concat();
        let oids = Oids::new(&[first.clone(), second, first]);
        assert!(oids.of(0).is_none() && oids.of(2).is_none() && !oids.are_alike());
        let there = oids.of(1).unwrap();
        assert_eq!((there.type_there(500), there.type_here(902)), (901, 501));
        assert_eq!(there.type_there(23), 23);
        let mut expected = description(500, 1);
        expected[4..8].copy_from_slice(&600_u32.to_be_bytes());
        assert_eq!(there.row_here(&description(901, 1)).unwrap().unwrap(), expected);
        assert!(there.row_here(&description(902, 0)).unwrap().is_ok());
        assert!(there.row_here(&description(902, 1)).unwrap().is_err());
        assert!(there.row_here(&description(902, 1)[..9]).is_none());
    }
}
