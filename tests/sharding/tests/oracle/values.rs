//! Values as bytes: results are compared, and parameters passed on, as the servers wrote them.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A value of any type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(pub Option<Vec<u8>>);

impl<'a> FromSql<'a> for Value {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter of any type, in text or binary.
#[derive(Debug, Clone)]
pub struct Bound {
    pub value: Option<Vec<u8>>,
    pub binary: bool,
}

impl ToSql for Bound {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.value {
            Some(value) => {
                out.put_slice(value);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        if self.binary { Format::Binary } else { Format::Text }
    }

    to_sql_checked!();
}

/// An array of one dimension in binary.
pub fn array(element: u32, values: &[Value]) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_i32(i32::from(!values.is_empty()));
    out.put_i32(i32::from(values.iter().any(|it| it.0.is_none())));
    out.put_u32(element);
    if !values.is_empty() {
        out.put_i32(i32::try_from(values.len()).expect("few rows"));
        out.put_i32(1);
    }
    for Value(value) in values {
        match value {
            Some(value) => {
                out.put_i32(i32::try_from(value.len()).expect("small values"));
                out.put_slice(value);
            }
            None => out.put_i32(-1),
        }
    }
    out.to_vec()
}
