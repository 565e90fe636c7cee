//! `inet`, `cidr`, `macaddr` and `macaddr8`.

use std::cmp::Ordering;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::binary::Cursor;

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inet {
    /// An IPv4 address uses the first four bytes.
    pub address: [u8; 16],
    pub is_v6: bool,
    pub prefix: u8,
}

/// How Postgres numbers the families, on any system: `AF_INET`, and one more.
const V4: u8 = 2;
const V6: u8 = 3;

// === impl Inet ===

impl Inet {
    fn most(self) -> u8 {
        if self.is_v6 { 128 } else { 32 }
    }

    /// The bytes in use.
    pub fn octets(&self) -> &[u8] {
        let (first, _) = self.address.split_at(4);
        if self.is_v6 { &self.address } else { first }
    }

    /// What Postgres keeps in the value: family, prefix, address. Its hash is over these.
    pub fn stored(&self) -> Vec<u8> {
        let mut bytes = vec![if self.is_v6 { V6 } else { V4 }, self.prefix];
        bytes.extend_from_slice(self.octets());
        bytes
    }

    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let mut bytes = [0; 16];
        let is_v6 = address.contains(':');
        if is_v6 {
            bytes = address.parse::<Ipv6Addr>().ok()?.octets();
        } else {
            let octets = address.parse::<Ipv4Addr>().ok()?.octets();
            bytes.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
        }
        let mut inet = Self { address: bytes, is_v6, prefix: 0 };
        inet.prefix = prefix.unwrap_or(inet.most());
        (inet.prefix <= inet.most()).then_some(inet)
    }

    pub(crate) fn write_text(self, is_cidr: bool, out: &mut Vec<u8>) {
        let mut text = String::new();
        if self.is_v6 {
            write_v6(self.address, &mut text);
        } else if let Some(octets) = self.address.first_chunk::<4>() {
            text = Ipv4Addr::from(*octets).to_string();
        }
        if is_cidr || self.prefix != self.most() {
            // Cannot fail: a String takes anything.
            let _ = write!(text, "/{}", self.prefix);
        }
        out.extend(text.as_bytes());
    }

    pub(crate) fn from_binary(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let (family, prefix, _is_cidr, length) =
            (cursor.u8()?, cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let mut address = [0; 16];
        let is_v6 = match (family, length, cursor.0.len()) {
            (V4, 4, 4) => false,
            (V6, 16, 16) => true,
            _ => return None,
        };
        address.iter_mut().zip(cursor.0).for_each(|(to, from)| *to = *from);
        let inet = Self { address, is_v6, prefix };
        (prefix <= inet.most()).then_some(inet)
    }

    pub(crate) fn write_binary(&self, is_cidr: bool, out: &mut Vec<u8>) {
        let octets = self.octets();
        let length = if self.is_v6 { 16 } else { 4 };
        out.extend([if self.is_v6 { V6 } else { V4 }, self.prefix, u8::from(is_cidr), length]);
        out.extend_from_slice(octets);
    }

    /// `network_cmp`
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let prefix = |it: &Self, bits: u8| {
            let number = u128::from_be_bytes(it.address);
            number.checked_shr(128 - u32::from(bits)).unwrap_or(0)
        };
        let shared = self.prefix.min(other.prefix);
        self.is_v6
            .cmp(&other.is_v6)
            .then_with(|| prefix(self, shared).cmp(&prefix(other, shared)))
            .then(self.prefix.cmp(&other.prefix))
            .then_with(|| self.address.cmp(&other.address))
    }
}

/// `pg_inet_net_ntop`: the first longest run of zeros is left out, and more addresses than Rust
/// thinks have an IPv4 tail.
fn write_v6(address: [u8; 16], text: &mut String) {
    let words: Vec<u16> = address
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |word, &byte| word << 8 | u16::from(byte)))
        .collect();
    let run = |start: usize| words.iter().skip(start).take_while(|&&word| word == 0).count();
    let best = (0..8)
        .map(|start| (start, run(start)))
        .fold((0, 1), |best, candidate| if candidate.1 > best.1 { candidate } else { best });
    let (base, length) = if best.1 >= 2 { best } else { (8, 0) };
    let word = |place: usize| words.get(place).copied().unwrap_or(0);
    let has_v4 = base == 0 && (length == 6 || (length == 5 && word(5) == 0xFFFF));
    for place in 0..8 {
        if (base..base + length).contains(&place) {
            if place == base {
                text.push(':');
            }
            continue;
        }
        if place != 0 {
            text.push(':');
        }
        if place == 6 && has_v4 {
            if let Some(tail) = address.last_chunk::<4>() {
                text.push_str(&Ipv4Addr::from(*tail).to_string());
            }
            return;
        }
        // Cannot fail: a String takes anything.
        let _ = write!(text, "{:x}", word(place));
    }
    if length > 0 && base + length == 8 {
        text.push(':');
    }
}

/// `08:00:2b:01:02:03`
pub(crate) fn mac_from_text<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut address = [0; N];
    let mut groups = text.split(|&byte| byte == b':');
    for byte in &mut address {
        let group = std::str::from_utf8(groups.next()?).ok()?;
        *byte = u8::from_str_radix(group, 16).ok().filter(|_| group.len() == 2)?;
    }
    groups.next().is_none().then_some(address)
}

pub(crate) fn write_mac(address: &[u8], out: &mut Vec<u8>) {
    for (place, byte) in address.iter().enumerate() {
        if place > 0 {
            out.push(b':');
        }
        out.extend(format!("{byte:02x}").as_bytes());
    }
}
