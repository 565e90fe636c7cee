//! The bytes of a cached snapshot: one line of JSON with its name and checksum, then the document.

use pgherd_proto::v1::SnapshotId;
use serde::{Deserialize, Serialize};

use super::Stored;

/// Raised when the layout changes, so that a newer proxy's files are not misread.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    lineage: String,
    generation: u64,
    content_hash: String,
    checksum: String,
}

/// Why bytes are not a cached snapshot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damaged {
    #[error("its first line is no header")]
    Header,
    #[error("its format is {found}, not {FORMAT}")]
    Format { found: u32 },
    #[error("its checksum does not fit")]
    Checksum,
}

pub(super) fn encode(stored: &Stored) -> Vec<u8> {
    let header = Header {
        format: FORMAT,
        lineage: stored.id.lineage.clone(),
        generation: stored.id.generation,
        content_hash: stored.id.content_hash.clone(),
        checksum: checksum(&stored.id, &stored.document),
    };
    let mut bytes = serde_json::to_vec(&header).expect("strings and numbers are valid JSON");
    bytes.push(b'\n');
    bytes.extend_from_slice(&stored.document);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<Stored, Damaged> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(Damaged::Header)?;
    let (line, rest) = bytes.split_at(end);
    let header: Header = serde_json::from_slice(line).map_err(|_| Damaged::Header)?;
    if header.format != FORMAT {
        return Err(Damaged::Format { found: header.format });
    }
    let document = rest.strip_prefix(b"\n").unwrap_or(rest).to_vec();
    let id = SnapshotId {
        lineage: header.lineage,
        generation: header.generation,
        content_hash: header.content_hash,
    };
    if checksum(&id, &document) != header.checksum {
        return Err(Damaged::Checksum);
    }
    Ok(Stored { id, document })
}

/// Covers the name too: a snapshot under a wrong generation could block all later ones.
fn checksum(id: &SnapshotId, document: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&id.generation.to_le_bytes());
    for part in [id.lineage.as_bytes(), id.content_hash.as_bytes(), document] {
        hasher.update(&part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}
