//! OIDs of the database's own types and tables, which differ between shards: clients see those of
//! the first one, whichever shard answers.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pgherd_wire::backend;

use super::branch::{Arguments, Question, length};
use super::failure::Failure;

/// Types and tables: what, schema, name, OID, whether its binary values have OIDs in them, and of
/// an array of values that have none the type of these, otherwise 0.
/// To be run with `search_path = pg_catalog`.
pub(crate) const OIDS_QUERY: &str = "SELECT 't', n.nspname, t.typname, t.oid, \
    t.typcategory IN ('A', 'C', 'P') OR t.typtype IN ('c', 'r', 'm') \
      OR t.typtype = 'd' AND (t.typbasetype >= 16384 OR b.typcategory IN ('A', 'C', 'P')), \
    CASE WHEN t.typtype = 'b' AND t.typcategory = 'A' AND (e.typtype = 'e' \
        OR e.typtype = 'b' AND e.typcategory <> 'A' \
        OR e.typtype = 'd' AND d.typtype = 'b' AND d.oid < 16384 AND d.typcategory <> 'A') \
      THEN t.typelem ELSE 0 END \
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
    LEFT JOIN pg_type b ON b.oid = t.typbasetype LEFT JOIN pg_type e ON e.oid = t.typelem \
    LEFT JOIN pg_type d ON d.oid = e.typbasetype \
    WHERE t.oid >= 16384 AND n.nspname !~ '^pg_t' \
    UNION ALL SELECT 'c', n.nspname, c.relname, c.oid, false, 0 \
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
    pub(crate) element: u32,
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
    /// Of the first one: arrays, with the OIDs of their elements here and there.
    arrays: HashMap<u32, Element>,
}

/// The type of an array's elements, which its binary values name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    here: u32,
    there: u32,
}

/// `record` and `record[]`, whose values have OIDs of all their fields.
const RECORDS: [u32; 2] = [2249, 2287];

// === impl Oids ===

impl Oids {
    pub(crate) fn new(shards: &[Vec<OidRow>]) -> Self {
        let Some((first, _)) = shards.split_first() else { return Self::default() };
        let name = |row: &OidRow| (row.is_type, row.schema.clone(), row.name.clone());
        let known: HashMap<_, u32> = first.iter().map(|row| (name(row), row.oid)).collect();
        let elements: HashMap<u32, u32> = first.iter().map(|it| (it.oid, it.element)).collect();
        let of_shard = shards.iter().map(|rows| {
            let mut translation = Translation::default();
            let mut differs = false;
            for row in rows {
                let Some(&ours) = known.get(&name(row)) else { continue };
                differs |= ours != row.oid;
                if row.is_type {
                    translation.types.insert(row.oid, ours);
                    translation.types_back.insert(ours, row.oid);
                    let element = elements.get(&ours).copied().unwrap_or_default();
                    if row.element != 0 && element != 0 {
                        let element = Element { here: element, there: row.element };
                        translation.arrays.insert(ours, element);
                    } else if row.has_oids {
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

    /// The columns of a RowDescription, as the client gets it, that are such arrays in binary.
    pub(crate) fn arrays_in(&self, body: &[u8]) -> Vec<(usize, Element)> {
        let mut rest = body.get(2..).unwrap_or_default();
        let mut found = Vec::new();
        for column in 0.. {
            let Some(end) = rest.iter().position(|&byte| byte == 0) else { break };
            let Some(fields) = rest.get(end + 1..end + 19) else { break };
            let type_oid = fields.get(6..10).and_then(|it| <[u8; 4]>::try_from(it).ok());
            let element = type_oid.and_then(|it| self.arrays.get(&u32::from_be_bytes(it)));
            if let Some(element) = element.filter(|_| fields.ends_with(&[0, 1])) {
                found.push((column, *element));
            }
            rest = rest.get(end + 19..).unwrap_or_default();
        }
        found
    }

    /// Parameters with the OIDs of this shard in their arrays; `None` where nothing is to be done.
    pub(crate) fn arguments_there(&self, question: &Question<'_>) -> Option<Arguments> {
        let element = |index: usize| self.arrays.get(question.types.get(index)?);
        let values = || question.arguments.iter().enumerate();
        if !values().any(|(index, (binary, _))| binary && element(index).is_some()) {
            return None;
        }
        let mut there = Arguments::default();
        for (index, (binary, value)) in values() {
            match (value, element(index).filter(|_| binary)) {
                (Some(value), Some(element)) => {
                    let value = with_element(value, element.here, element.there);
                    there.push(binary, Some(&value));
                }
                _ => there.push(binary, value),
            }
        }
        Some(there)
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

/// The body of a DataRow for the client.
pub(crate) fn row_with_arrays<'r>(row: &'r [u8], arrays: &[(usize, Element)]) -> Cow<'r, [u8]> {
    let changed = if arrays.is_empty() { None } else { changed(row, arrays) };
    changed.map_or(Cow::Borrowed(row), Cow::Owned)
}

/// `None` when it is malformed: what reads it next will say so.
fn changed(row: &[u8], arrays: &[(usize, Element)]) -> Option<Vec<u8>> {
    let mut out = row.get(..2)?.to_vec();
    for (index, value) in backend::parse_data_row(row)?.into_iter().enumerate() {
        let element = arrays.iter().find(|it| it.0 == index).map(|it| it.1);
        match (value, element) {
            (None, _) => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            (Some(value), element) => {
                out.extend_from_slice(&length(value.len()));
                match element {
                    Some(it) => out.extend_from_slice(&with_element(value, it.there, it.here)),
                    None => out.extend_from_slice(value),
                }
            }
        }
    }
    Some(out)
}

/// An array in binary with another type of elements: behind dimensions and flags.
fn with_element(array: &[u8], from: u32, to: u32) -> Vec<u8> {
    let mut out = array.to_vec();
    if let Some(element) = out.get_mut(8..12)
        && *element == from.to_be_bytes()
    {
        element.copy_from_slice(&to.to_be_bytes());
    }
    out
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
        OidRow { is_type, schema: "public".into(), name: name.into(), oid, has_oids, element: 0 }
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

    #[test]
    fn arrays_name_the_elements_of_the_first_shard() {
        let mood = |oid| row(true, "mood", oid, false);
        let array = |oid, element| OidRow { element, ..row(true, "_mood", oid, true) };
        let oids = Oids::new(&[vec![mood(500), array(501, 500)], vec![mood(901), array(902, 901)]]);
        let there = oids.of(1).unwrap();
        let described = there.row_here(&description(902, 1)).unwrap().unwrap();
        let arrays = there.arrays_in(&described);
        assert_eq!(arrays, [(0, Element { here: 500, there: 901 })]);
        assert!(there.arrays_in(&description(501, 0)).is_empty());
        let value = |element: u32| [&[0; 8][..], &element.to_be_bytes()].concat();
        let row = |element| [b"\0\x02\0\0\0\x0c", &value(element)[..], &[0xff; 4]].concat();
        assert_eq!(*row_with_arrays(&row(901), &arrays), *row(500));
        assert_eq!(*row_with_arrays(&row(901)[..9], &arrays), row(901)[..9]);
        let mut arguments = Arguments::default();
        arguments.push(true, Some(&value(500)));
        arguments.push(true, None);
        let types = [501, 501];
        let question = Question { types: &types, arguments: &arguments, ..Question::plain("") };
        assert!(there.check(&question).is_ok());
        let sent = there.arguments_there(&question).unwrap();
        let sent: Vec<_> = sent.iter().collect();
        assert_eq!(sent, [(true, Some(&value(901)[..])), (true, None)]);
    }
}
