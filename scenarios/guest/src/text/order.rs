//! `sort`, `uniq` and `cut`.

use super::{each, lines};
use crate::applets::Call;
use crate::options::{Accepts, Options};
use crate::say;
use std::cmp::Ordering;

struct Key {
    first: usize,
    last: Option<usize>,
    flags: String,
}

pub fn sort(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "sort",
        short: "bcdfghik:mno:rst:uVz",
        long: &[
            ("reverse", 'r'),
            ("numeric-sort", 'n'),
            ("unique", 'u'),
            ("key", 'k'),
            ("field-separator", 't'),
            ("human-numeric-sort", 'h'),
            ("version-sort", 'V'),
            ("stable", 's'),
        ],
        misuse: 2,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let keys: Vec<Key> = options.values('k').filter_map(key).collect();
    let mut all: Vec<Vec<u8>> = Vec::new();
    let status = each("sort", &options.operands, |_, contents| all.extend(lines(&contents).map(<[u8]>::to_vec)));
    if status != 0 {
        return 2;
    }
    let global: String = "nrhVfb".chars().filter(|flag| options.has(*flag)).collect();
    let by_keys = |a: &[u8], b: &[u8]| {
        if keys.is_empty() {
            return directed(compare(a, b, &global), &global);
        }
        keys.iter()
            .map(|key| {
                let flags = if key.flags.is_empty() { &global } else { &key.flags };
                directed(compare(&field(a, key, &options), &field(b, key, &options), flags), flags)
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    all.sort_by(|a, b| {
        let order = by_keys(a, b);
        if options.has('s') || options.has('u') { order } else { order.then_with(|| directed(a.cmp(b), &global)) }
    });
    if options.has('u') {
        all.dedup_by(|b, a| by_keys(a, b).is_eq());
    }
    if let Some(path) = options.value('o') {
        let joined: Vec<u8> = all.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
        if let Err(error) = std::fs::write(path, joined) {
            say::complain("sort", format!("open failed: {path}: {}", say::reason(&error)));
            return 2;
        }
        return 0;
    }
    for line in all {
        say::bytes(&line);
        say::bytes(b"\n");
    }
    0
}

fn key(text: &str) -> Option<Key> {
    let (from, to) = match text.split_once(',') {
        Some((from, to)) => (from, Some(to)),
        None => (text, None),
    };
    let number = |part: &str| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    };
    let flags = text.chars().filter(char::is_ascii_alphabetic).collect();
    Some(Key { first: number(from)?.max(1), last: to.and_then(number), flags })
}

fn field(line: &[u8], key: &Key, options: &Options) -> Vec<u8> {
    let fields: Vec<&[u8]> = match options.value('t').and_then(|text| text.bytes().next()) {
        Some(separator) => line.split(|byte| *byte == separator).collect(),
        None => {
            let mut fields = Vec::new();
            let (mut start, mut in_blank) = (0, true);
            for (at, byte) in line.iter().enumerate() {
                let blank = *byte == b' ' || *byte == b'\t';
                if blank && !in_blank {
                    fields.push(&line[start..at]);
                    start = at;
                }
                in_blank = blank;
            }
            fields.push(&line[start..]);
            fields
        }
    };
    let last = key.last.unwrap_or(usize::MAX).min(fields.len());
    fields.get(key.first - 1..last.max(key.first - 1)).unwrap_or_default().join(&b' ')
}

fn compare(a: &[u8], b: &[u8], flags: &str) -> Ordering {
    if flags.contains('n') || flags.contains('h') {
        let human = flags.contains('h');
        return number(a, human).total_cmp(&number(b, human));
    }
    if flags.contains('V') {
        return version(a, b);
    }
    if flags.contains('f') {
        return a.to_ascii_uppercase().cmp(&b.to_ascii_uppercase());
    }
    if flags.contains('b') { a.trim_ascii_start().cmp(b.trim_ascii_start()) } else { a.cmp(b) }
}

fn directed(order: Ordering, flags: &str) -> Ordering {
    if flags.contains('r') { order.reverse() } else { order }
}

fn number(text: &[u8], human: bool) -> f64 {
    let text = String::from_utf8_lossy(text.trim_ascii_start()).into_owned();
    let end = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*c == '-' && *at == 0)))
        .map_or(text.len(), |(at, _)| at);
    let value: f64 = text[..end].parse().unwrap_or(0.0);
    let unit = text[end..].chars().next().and_then(|c| "KMGTPE".find(c.to_ascii_uppercase()));
    match unit {
        Some(power) if human => value * 1024f64.powi(i32::try_from(power).unwrap_or(0) + 1),
        _ => value,
    }
}

fn version(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (na, nb) = (digits(a), digits(b));
            let value = |text: &[u8]| String::from_utf8_lossy(text).parse::<u128>().unwrap_or(u128::MAX);
            let order = value(&a[..na]).cmp(&value(&b[..nb]));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[na..], &b[nb..]);
        } else if x == y {
            (a, b) = (&a[1..], &b[1..]);
        } else {
            return x.cmp(y);
        }
    }
    a.len().cmp(&b.len())
}

pub fn uniq(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "uniq",
        short: "cdiu",
        long: &[("count", 'c'), ("repeated", 'd'), ("unique", 'u'), ("ignore-case", 'i')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    each("uniq", options.operands.get(..1).unwrap_or_default(), |_, contents| {
        let mut groups: Vec<(usize, &[u8])> = Vec::new();
        for line in lines(&contents) {
            match groups.last_mut() {
                Some((count, last)) if *last == line || (options.has('i') && last.eq_ignore_ascii_case(line)) => {
                    *count += 1;
                }
                _ => groups.push((1, line)),
            }
        }
        for (count, line) in groups {
            if (options.has('d') && count == 1) || (options.has('u') && count > 1) {
                continue;
            }
            if options.has('c') {
                say::text(format!("{count:>7} "));
            }
            say::bytes(line);
            say::bytes(b"\n");
        }
    })
}

pub fn cut(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "cut",
        short: "b:c:d:f:sn",
        long: &[
            ("bytes", 'b'),
            ("characters", 'c'),
            ("delimiter", 'd'),
            ("fields", 'f'),
            ("only-delimited", 's'),
            ("output-delimiter", 'O'),
        ],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let Some(list) = options.value('f').or(options.value('c')).or(options.value('b')) else {
        say::complain("cut", "you must specify a list of bytes, characters, or fields");
        error_line!("Try 'cut --help' for more information.");
        return 1;
    };
    let Some(ranges) = ranges(list) else {
        say::complain("cut", format!("invalid field value '{list}'"));
        return 1;
    };
    let chosen = |number: usize| ranges.iter().any(|(from, to)| (*from..=*to).contains(&number));
    let delimiter = options.value('d').and_then(|text| text.chars().next()).unwrap_or('\t');
    each("cut", &options.operands, |_, contents| {
        for line in lines(&contents) {
            let line = String::from_utf8_lossy(line);
            if !options.has('f') {
                say::line(
                    line.chars().enumerate().filter(|(at, _)| chosen(at + 1)).map(|(_, c)| c).collect::<String>(),
                );
            } else if line.contains(delimiter) {
                let fields: Vec<&str> = line
                    .split(delimiter)
                    .enumerate()
                    .filter(|(at, _)| chosen(at + 1))
                    .map(|(_, field)| field)
                    .collect();
                say::line(fields.join(&delimiter.to_string()));
            } else if !options.has('s') {
                say::line(line);
            }
        }
    })
}

fn ranges(list: &str) -> Option<Vec<(usize, usize)>> {
    list.split(',')
        .map(|part| match part.split_once('-') {
            None => part.parse().ok().filter(|number| *number > 0).map(|number| (number, number)),
            Some(("", "")) => None,
            Some((from, to)) => Some((
                if from.is_empty() { 1 } else { from.parse().ok()? },
                if to.is_empty() { usize::MAX } else { to.parse().ok()? },
            )),
        })
        .collect()
}
