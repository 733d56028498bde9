//! What text each kind of placeholder takes.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;

use crate::page::Kind;

const SPAN: &str =
    r"(?:Less than a second|About a minute|About an hour|\d+ (?:second|minute|hour|day|week|month|year)s?)";

static SPAN_RE: LazyLock<Regex> = LazyLock::new(|| anchored(SPAN));
static AGO_RE: LazyLock<Regex> = LazyLock::new(|| anchored(&format!("{SPAN} ago")));
static SIZE_RE: LazyLock<Regex> = LazyLock::new(|| anchored(r"\d+(?:\.\d+)? ?(?:[kMGTP]i?)?B"));
static TIME_RE: LazyLock<Regex> =
    LazyLock::new(|| anchored(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"));
static NUMBER_RE: LazyLock<Regex> = LazyLock::new(|| anchored(r"\d+(?:\.\d+)?"));
static VERSION_RE: LazyLock<Regex> = LazyLock::new(|| anchored(r"v?\d+(?:\.\d+)+(?:[-+~.][0-9A-Za-z.+~-]*)?"));

fn anchored(expression: &str) -> Regex {
    Regex::new(&format!("^(?:{expression})")).expect("a valid expression")
}

/// How many bytes at the start of `text` a value of this kind may take, the longest first; none if there is no such value.
pub fn candidate_lengths(kind: Kind, text: &str) -> Vec<usize> {
    match kind {
        Kind::Id => exactly(text, 0, 64, is_hex),
        Kind::Short => exactly(text, 0, 12, is_hex),
        Kind::Digest if text.starts_with("sha256:") => exactly(text, "sha256:".len(), 64, is_hex),
        Kind::Digest => Vec::new(),
        Kind::Link => exactly(text, 0, 26, |byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)),
        Kind::Ago => one(&AGO_RE, text),
        Kind::Duration => one(&SPAN_RE, text),
        Kind::Size => one(&SIZE_RE, text),
        Kind::Time => one(&TIME_RE, text),
        Kind::Number => one(&NUMBER_RE, text),
        Kind::Version => one(&VERSION_RE, text),
        Kind::Port => port(text),
        Kind::Ip => prefixes(text, |c| c.is_ascii_hexdigit() || c == '.' || c == ':', |s| s.parse::<IpAddr>().is_ok()),
        Kind::Word => prefixes(text, |c| !c.is_whitespace(), |_| true),
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// `count` characters of a class after `skip` bytes, and not one more of them.
fn exactly(text: &str, skip: usize, count: usize, class: impl Fn(u8) -> bool) -> Vec<usize> {
    let run = text.bytes().skip(skip).take_while(|byte| class(*byte)).count();
    if run == count { vec![skip + count] } else { Vec::new() }
}

fn one(expression: &Regex, text: &str) -> Vec<usize> {
    expression.find(text).map(|found| found.end()).into_iter().collect()
}

fn port(text: &str) -> Vec<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text[..digits].parse::<u16>() {
        Ok(1..) => vec![digits],
        _ => Vec::new(),
    }
}

fn prefixes(text: &str, class: impl Fn(char) -> bool, whole: impl Fn(&str) -> bool) -> Vec<usize> {
    let ends = text.char_indices().take_while(|(_, c)| class(*c)).map(|(at, c)| at + c.len_utf8());
    let mut lengths: Vec<usize> = ends.filter(|end| whole(&text[..*end])).collect();
    lengths.reverse();
    lengths
}
