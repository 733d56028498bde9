//! Patterns for names, as Go's `path.Match` has them: `*` and `?` stop at a slash, `[a-z]` is a class.

use crate::image::Reference;

/// Whether `pattern` fits an image's name, with or without its tag or digest.
pub fn matches_reference(pattern: &str, name: &str) -> bool {
    let fits = |text: &str| matches(pattern.as_bytes(), text.as_bytes());
    let Ok(reference) = Reference::parse(name) else { return fits(name) };
    fits(&reference.familiar()) || fits(&reference.familiar_name())
}

/// Whether `pattern` is one: no class is left open or empty, and a backslash has something behind it.
pub fn is_pattern(pattern: &str) -> bool {
    let mut rest = pattern.as_bytes();
    loop {
        rest = match rest {
            [] => return true,
            [b'\\'] => return false,
            [b'\\', _, rest @ ..] => rest,
            [b'[', class @ ..] => {
                let members = class.strip_prefix(b"^").unwrap_or(class);
                match members.iter().position(|byte| *byte == b']') {
                    None | Some(0) => return false,
                    Some(end) => &members[end + 1..],
                }
            }
            [_, rest @ ..] => rest,
        };
    }
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            matches(rest, text) || matches!(text, [first, others @ ..] if *first != b'/' && matches(pattern, others))
        }
        ([b'?', rest @ ..], [first, others @ ..]) => *first != b'/' && matches(rest, others),
        ([b'[', rest @ ..], [first, others @ ..]) => {
            class(rest, *first).is_some_and(|(fits, rest)| fits && matches(rest, others))
        }
        ([b'\\', wanted, rest @ ..] | [wanted, rest @ ..], [first, others @ ..]) => {
            wanted == first && matches(rest, others)
        }
        _ => false,
    }
}

/// Whether `byte` is in the class that `pattern` begins with, and the pattern behind it.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let end = pattern.iter().position(|other| *other == b']')?;
    let (members, rest) = (&pattern[..end], &pattern[end + 1..]);
    let (is_negated, members) = match members {
        [b'^', members @ ..] => (true, members),
        members => (false, members),
    };
    Some((contains(members, byte) != is_negated, rest))
}

fn contains(members: &[u8], byte: u8) -> bool {
    match members {
        [first, b'-', last, rest @ ..] => (*first..=*last).contains(&byte) || contains(rest, byte),
        [member, rest @ ..] => *member == byte || contains(rest, byte),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_go() {
        let rows = [
            ("ub*", "ubuntu:latest", true),
            ("ubuntu", "ubuntu:latest", true),
            ("*", "127.0.0.1:5000/library/bash:latest", false),
            ("*/*/*", "127.0.0.1:5000/library/bash:latest", true),
            ("ub?ntu", "ubuntu:latest", true),
            ("ub[a-z]ntu", "ubuntu:latest", true),
            ("ub[^a-z]ntu", "ubuntu:latest", false),
            ("ub[a-", "ubuntu:latest", false),
            ("*:latest", "ubuntu:latest", true),
            ("untu", "ubuntu:latest", false),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(matches_reference(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_breaks_off_is_none() {
        for (pattern, expected) in [("u*[a-z]?", true), ("[", false), ("a[]", false), ("a\\", false), ("\\[", true)] {
            assert_eq!(is_pattern(pattern), expected, "{pattern}");
        }
    }
}
