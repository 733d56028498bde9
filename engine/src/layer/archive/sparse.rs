//! Files with holes: which parts of its file an entry holds.
//!
//! Understood: the old GNU form (type `S`) and GNU tar's PAX forms 0.0, 0.1 and 1.0. *Source*: GNU tar manual, "Storing Sparse
//! Files"; what is refused is what Go's `archive/tar` refuses, which Docker reads layers with.

use std::collections::BTreeMap;

use super::super::header::{BLOCK_BYTES, field};
use super::fields::{decimal, numeric};

/// A part of a sparse file that is no hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file it begins.
    pub offset: u64,
    /// How long it is.
    pub length_bytes: u64,
}

/// What a header says of a sparse file.
pub(super) struct Sparse {
    /// Its length, holes included.
    pub(super) size_bytes: u64,
    /// Its name, if the header's own is a substitute for whoever does not know sparse files.
    pub(super) name: Option<Vec<u8>>,
    pub(super) map: Map,
}

/// Where its extents are listed.
pub(super) enum Map {
    /// These are all.
    Whole(Vec<Extent>),
    /// Beginning in the header block, going on in blocks behind it.
    Blocks(Vec<Extent>),
    /// In lines of numbers before the contents.
    Lines,
}

/// In which of the extended header's records the parts of form 0.0 stand, one after another.
pub(super) const PARTS: [&[u8]; 2] = [b"GNU.sparse.offset", b"GNU.sparse.numbytes"];
/// The record of form 0.1 with all of them, separated by commas.
pub(super) const MAP: &[u8] = b"GNU.sparse.map";

/// The longest list of extents that is taken into memory.
pub(super) const LINES_LIMIT_BYTES: usize = 1 << 20;

/// What the header `block` and its records `pax` say; `None` if the file is not sparse.
pub(super) fn of(block: &[u8; BLOCK_BYTES], pax: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Option<Sparse>, String> {
    if block[field::TYPE] == b'S' {
        return old(block).map(Some);
    }
    let mut take = |keyword: &[u8]| pax.remove(keyword).filter(|value| !value.is_empty());
    let (major, minor, map) = (take(b"GNU.sparse.major"), take(b"GNU.sparse.minor"), take(MAP));
    let is_in_lines = match (major.as_deref(), minor.as_deref()) {
        (None, None) if map.is_none() && take(b"GNU.sparse.size").is_none() => return Ok(None),
        (None, None) | (Some(b"0"), Some(b"0" | b"1")) => false,
        (Some(b"1"), Some(b"0")) => true,
        _ => return Err("a sparse file of an unknown form".to_owned()),
    };
    let number = |value: Option<Vec<u8>>| value.and_then(|value| u64::try_from(decimal(&value)?).ok());
    let sizes = [take(b"GNU.sparse.realsize"), take(b"GNU.sparse.size")];
    let size_bytes = number(sizes.into_iter().flatten().next()).ok_or("the size of a sparse file")?;
    let (name, count) = (take(b"GNU.sparse.name"), take(b"GNU.sparse.numblocks"));
    let map = match is_in_lines {
        true => Map::Lines,
        false => Map::Whole(listed(map.as_deref().unwrap_or_default(), number(count))?),
    };
    Ok(Some(Sparse { size_bytes, name, map }))
}

/// The extents of forms 0.0 and 0.1.
fn listed(map: &[u8], count: Option<u64>) -> Result<Vec<Extent>, String> {
    let broken = || "the map of a sparse file".to_owned();
    let parts = map.split(|byte| *byte == b',').filter(|part| !part.is_empty());
    let numbers: Option<Vec<u64>> = parts.map(|part| u64::try_from(decimal(part)?).ok()).collect();
    let extents = pairs(&numbers.ok_or_else(broken)?).ok_or_else(broken)?;
    if count == Some(extents.len() as u64) { Ok(extents) } else { Err(broken()) }
}

fn pairs(numbers: &[u64]) -> Option<Vec<Extent>> {
    let pair = |pair: &[u64]| match pair {
        [offset, length_bytes] => Some(Extent { offset: *offset, length_bytes: *length_bytes }),
        _ => None,
    };
    numbers.chunks(2).map(pair).collect()
}

/// Where the old form has its numbers: in the header block, and in each block that goes on with them.
const FIRST: (usize, usize, usize) = (386, 4, 482);
const FURTHER: (usize, usize, usize) = (0, 21, 504);
const NUMBER_BYTES: usize = 12;
const REAL_SIZE: std::ops::Range<usize> = 483..495;

fn old(block: &[u8; BLOCK_BYTES]) -> Result<Sparse, String> {
    if !block[field::MAGIC].starts_with(b"ustar ") {
        return Err("a sparse file in a tar that is not GNU's".to_owned());
    }
    let size = numeric(&block[REAL_SIZE]).and_then(|size| u64::try_from(size).ok());
    let size_bytes = size.ok_or("the size of a sparse file")?;
    let mut extents = Vec::new();
    let map = match more(block, FIRST, &mut extents)? {
        true => Map::Blocks(extents),
        false => Map::Whole(extents),
    };
    Ok(Sparse { size_bytes, name: None, map })
}

/// Adds the extents of a block that goes on with the old form's list to `extents`; whether there is one more.
pub(super) fn further(block: &[u8; BLOCK_BYTES], extents: &mut Vec<Extent>) -> Result<bool, String> {
    more(block, FURTHER, extents)
}

fn more(
    block: &[u8; BLOCK_BYTES],
    (start, count, goes_on): (usize, usize, usize),
    extents: &mut Vec<Extent>,
) -> Result<bool, String> {
    for place in block[start..].chunks_exact(2 * NUMBER_BYTES).take(count) {
        let (offset, length) = place.split_at(NUMBER_BYTES);
        // An empty place ends the list.
        if offset[0] == 0 || length[0] == 0 {
            break;
        }
        let number = |field: &[u8]| numeric(field).and_then(|number| u64::try_from(number).ok());
        let extent = number(offset).zip(number(length));
        let (offset, length_bytes) = extent.ok_or("the map of a sparse file")?;
        extents.push(Extent { offset, length_bytes });
    }
    Ok(block[goes_on] != 0)
}

/// The extents that stand in `lines`, decimal numbers with a newline behind each, of which the first says how many there are; `None` as long
/// as lines are missing.
pub(super) fn in_lines(lines: &[u8]) -> Result<Option<Vec<Extent>>, String> {
    let broken = || "the map of a sparse file".to_owned();
    let Some(end) = lines.iter().rposition(|byte| *byte == b'\n') else { return Ok(None) };
    let mut numbers = lines[..end]
        .split(|byte| *byte == b'\n')
        .map(|line| decimal(line).and_then(|number| u64::try_from(number).ok()));
    let count = numbers.next().flatten().and_then(|count| usize::try_from(count).ok()).ok_or_else(broken)?;
    let wanted = count.checked_mul(2).filter(|wanted| *wanted <= LINES_LIMIT_BYTES).ok_or_else(broken)?;
    let numbers: Option<Vec<u64>> = numbers.take(wanted).collect();
    let numbers = numbers.ok_or_else(broken)?;
    if numbers.len() < wanted { Ok(None) } else { pairs(&numbers).map(Some).ok_or_else(broken) }
}

/// Whether `extents` lie one behind the other in a file of `size_bytes` and are as long together as what is `stored`.
pub(super) fn is_possible(extents: &[Extent], size_bytes: u64, stored_bytes: u64) -> bool {
    let mut end = 0;
    let mut sum = 0_u64;
    for extent in extents {
        let Some(next) = extent.offset.checked_add(extent.length_bytes) else { return false };
        if extent.offset < end || next > size_bytes {
            return false;
        }
        end = next;
        sum = sum.saturating_add(extent.length_bytes);
    }
    sum == stored_bytes
}
