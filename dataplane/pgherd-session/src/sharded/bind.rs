//! The Bind message, taken apart.

use pgherd_wire::sqlstate;

use super::branch::Arguments;
use super::failure::Failure;

/// A Bind message.
#[derive(Debug)]
pub(crate) struct Bind<'a> {
    pub(crate) portal: &'a [u8],
    pub(crate) statement: &'a [u8],
    parameter_formats: Vec<i16>,
    values: Vec<Option<&'a [u8]>>,
    /// Of the result.
    pub(crate) formats: Vec<i16>,
}

impl<'a> Bind<'a> {
    /// `None` when it is malformed.
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        let portal = string(&mut rest)?;
        let statement = string(&mut rest)?;
        let parameter_formats = formats(&mut rest)?;
        let values = (0..count(&mut rest)?).map(|_| value(&mut rest)).collect::<Option<_>>()?;
        let formats = formats(&mut rest)?;
        rest.is_empty().then_some(Self { portal, statement, parameter_formats, values, formats })
    }

    /// The values of a statement that takes so many.
    pub(crate) fn arguments(&self, wanted: usize) -> Result<Arguments, Failure> {
        let (formats, values) = (self.parameter_formats.len(), self.values.len());
        if formats > 1 && formats != values {
            let text =
                format!("bind message has {formats} parameter formats but {values} parameters");
            return Err(Failure::error(sqlstate::PROTOCOL_VIOLATION, text));
        }
        if values != wanted {
            let name = String::from_utf8_lossy(self.statement);
            let text = format!(
                "bind message supplies {values} parameters, but prepared statement \"{name}\" \
                 requires {wanted}"
            );
            return Err(Failure::error(sqlstate::PROTOCOL_VIOLATION, text));
        }
        let mut arguments = Arguments::default();
        for (index, value) in self.values.iter().enumerate() {
            let format = match self.parameter_formats.as_slice() {
                [] => 0,
                [one] => *one,
                each => each.get(index).copied().unwrap_or(0),
            };
            if !matches!(format, 0 | 1) {
                let text = format!("unsupported format code: {format}");
                return Err(Failure::error(sqlstate::INVALID_PARAMETER_VALUE, text));
            }
            arguments.push(format == 1, *value);
        }
        Ok(arguments)
    }
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (text, behind) = rest.split_at(memchr::memchr(0, rest)?);
    *rest = behind.get(1..)?;
    Some(text)
}

fn count(rest: &mut &[u8]) -> Option<u16> {
    let (count, behind) = rest.split_first_chunk::<2>()?;
    *rest = behind;
    Some(u16::from_be_bytes(*count))
}

fn formats(rest: &mut &[u8]) -> Option<Vec<i16>> {
    let read = |rest: &mut &[u8]| count(rest).map(u16::cast_signed);
    (0..count(rest)?).map(|_| read(rest)).collect()
}

fn value<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let length = i32::from_be_bytes(*length);
    if length == -1 {
        *rest = behind;
        return Some(None);
    }
    let (value, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x02\0\0\0\x01";

    #[test]
    fn a_bind_is_taken_apart() {
        let bind = Bind::read(BODY).unwrap();
        assert_eq!((bind.portal, bind.statement), (&b"p"[..], &b"s"[..]));
        assert_eq!(bind.values, [Some(&b"a"[..]), None]);
        assert_eq!(bind.formats, [0, 1]);
        let arguments = bind.arguments(2).unwrap();
        let both: Vec<_> = arguments.iter().collect();
        assert_eq!(both, [(true, Some(&b"a"[..])), (true, None)]);
        assert!(bind.arguments(1).is_err());
        for cut in 0..BODY.len() {
            assert!(Bind::read(&BODY[..cut]).is_none(), "cut at {cut}");
        }
    }
}
