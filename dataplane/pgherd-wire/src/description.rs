//! What ParameterDescription and RowDescription say that Postgres compares between two plans of
//! one statement.

use crate::cursor::Cursor;

/// Of each column its name, type and modifier. Postgres compares no more when it plans a prepared
/// statement anew: table and column number may change, and length follows from the type.
/// `None` when the body is malformed.
pub fn row_type(body: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Cursor(body);
    let count = rest.array()?;
    let mut out = Vec::with_capacity(body.len());
    out.extend_from_slice(&count);
    for _ in 0..u16::from_be_bytes(count) {
        out.extend_from_slice(rest.cstr()?);
        out.push(0);
        let _table_and_column: [u8; 6] = rest.array()?;
        let type_oid: [u8; 4] = rest.array()?;
        let _length: [u8; 2] = rest.array()?;
        let modifier: [u8; 4] = rest.array()?;
        let _format: [u8; 2] = rest.array()?;
        out.extend_from_slice(&type_oid);
        out.extend_from_slice(&modifier);
    }
    rest.0.is_empty().then_some(out)
}

/// The definition of a statement with the types that the server found for its parameters: the
/// body of a ParameterDescription has the form in which Parse gives them.
pub fn with_parameters(text: &[u8], parameters: &[u8]) -> Vec<u8> {
    [text, b"\0", parameters].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, table: u32, type_oid: u32) -> Vec<u8> {
        let mut out = [name.as_bytes(), b"\0"].concat();
        out.extend_from_slice(&table.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&type_oid.to_be_bytes());
        out.extend_from_slice(&[0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        out
    }

    fn body(columns: &[Vec<u8>]) -> Vec<u8> {
        [&[0, u8::try_from(columns.len()).expect("few")][..], &columns.concat()].concat()
    }

    #[test]
    fn names_and_types_count_and_tables_do_not() {
        let a = row_type(&body(&[column("a", 7, 23), column("b", 7, 25)]));
        assert!(a.is_some());
        assert_eq!(a, row_type(&body(&[column("a", 8, 23), column("b", 8, 25)])));
        assert_ne!(a, row_type(&body(&[column("a", 7, 23), column("c", 7, 25)])));
        assert_ne!(a, row_type(&body(&[column("a", 7, 23), column("b", 7, 23)])));
        assert_ne!(a, row_type(&body(&[column("a", 7, 23)])));
    }

    #[test]
    fn a_malformed_body_says_nothing() {
        let whole = body(&[column("a", 7, 23)]);
        for cut in 0..whole.len() {
            assert_eq!(row_type(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(row_type(&[&whole[..], b"x"].concat()), None);
    }
}
