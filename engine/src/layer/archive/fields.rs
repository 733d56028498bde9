//! What stands in a header block and in the records of an extended one: text, numbers, times.

use std::collections::BTreeMap;

use super::super::header::{BLOCK_BYTES, field};
use super::{Time, sparse};

pub(super) fn short_name(block: &[u8; BLOCK_BYTES]) -> Vec<u8> {
    let name = text(&block[field::NAME]);
    let prefix = text(&block[field::PREFIX]);
    match block[field::MAGIC].starts_with(b"ustar\0") && !prefix.is_empty() {
        true => [prefix, b"/", name].concat(),
        false => name.to_vec(),
    }
}

/// A field's bytes up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number of a header field: octal between blanks and NULs (nothing means 0), or base-256 with the top bit set.
pub(super) fn numeric(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        return base256(field);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let digits = &field[start..];
    let digits = &digits[..digits.iter().position(blank).unwrap_or(digits.len())];
    match digits {
        [] => Some(0),
        _ => i64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok().filter(|number| *number >= 0),
    }
}

/// GNU's two's complement form; the first byte's top bit is the mark, the next one the sign.
pub(super) fn base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let number = field[1..].iter().try_fold(i128::from(first.cast_signed()), |number, &byte| {
        number.checked_mul(256).map(|number| number + i128::from(byte))
    })?;
    i64::try_from(number).ok()
}

pub(super) fn decimal(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// `seconds[.fraction]`, with a sign that counts for both; digits beyond the nanosecond are dropped.
pub(super) fn pax_time(value: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds: u32 = format!("{fraction:0<9}")[..9].parse().ok()?;
    match whole.starts_with('-') && nanoseconds > 0 {
        true => Some(Time { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds }),
        false => Some(Time { seconds, nanoseconds }),
    }
}

/// `LENGTH KEYWORD=VALUE\n` after each other; the length counts the whole record, so values may hold any byte.
pub(super) fn pax_records(mut body: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut records = BTreeMap::new();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    while !body.is_empty() {
        let blank = body.iter().position(|&byte| byte == b' ')?;
        let length = usize::try_from(decimal(&body[..blank])?).ok()?;
        let record = body.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|&byte| byte == b'=').filter(|&at| at > 0)?;
        let (keyword, value) = (&record[..equals], &record[equals + 1..]);
        match sparse::PARTS.contains(&keyword) {
            // Of these there are many, by turns.
            true if keyword != sparse::PARTS[parts.len() % 2] || value.contains(&b',') => return None,
            true => parts.push(value.to_vec()),
            false => drop(records.insert(keyword.to_vec(), value.to_vec())),
        }
        body = &body[length..];
    }
    if !parts.is_empty() {
        records.insert(sparse::MAP.to_vec(), parts.join(&b','));
    }
    Some(records)
}

/// Takes a record out; an empty value means that the header's own field holds (POSIX `pax`).
pub(super) fn take_text(pax: &mut BTreeMap<Vec<u8>, Vec<u8>>, keyword: &str) -> Option<Vec<u8>> {
    pax.remove(keyword.as_bytes()).filter(|value| !value.is_empty())
}

pub(super) fn xattrs(pax: BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let named = |(key, value): (Vec<u8>, Vec<u8>)| Some((key.strip_prefix(b"SCHILY.xattr.")?.to_vec(), value));
    pax.into_iter().filter_map(named).collect()
}
