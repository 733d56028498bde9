//! Two trees side by side as text, a line for each path, those that differ marked as in a diff.
//!
//! ```text
//!   d 0755 0:0 - / mtime clock
//! - - 0644 0:0 5 /a mtime 12.000000000 x*5 2 names
//! + - 0644 0:0 0 /a mtime 12.000000000 2 names
//!   - 0644 0:0 5 /b mtime 12.000000000 x*5 2 names one with /a
//! ```
//!
//! A line is that of `layerlab_scenarios::listing` (type, mode, owner, size, path, target or device) with what else is compared: the
//! time, `clock` where it is the kernel's, the content as runs of letters, names, attributes, and overlayfs's marks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use layerlab_model::text::Text;

use crate::tree::{Clock, Facts, Tree, When, mark_differences, shown};

/// Every path of either tree: `-` is what should be there, `+` what is, both where they differ.
pub fn compared(expected: &Tree, actual: &Tree, clock: &Clock) -> String {
    let (expected_firsts, actual_firsts) = (firsts(expected), firsts(actual));
    let mut paths: Vec<&Text> = expected.keys().chain(actual.keys()).collect();
    paths.sort();
    paths.dedup();
    let mut text = String::new();
    for path in paths {
        let (should, is) = (expected.get(path), actual.get(path));
        let time_of = |facts: &Facts| match facts.mtime {
            When::Reading(reading) => clock.get(&reading).copied(),
            When::Time(time) => Some(time),
            When::Whenever => None,
        };
        let is_clocks = should.is_some_and(|should| matches!(should.mtime, When::Reading(_)));
        let is_same_time = match (should.and_then(time_of), is.and_then(time_of)) {
            (Some(should), Some(is)) => should == is,
            _ => true,
        };
        let time = |facts: &Facts| match time_of(facts) {
            Some(time) if !(is_clocks && is_same_time) => format!("{}.{:09}", time.seconds, time.nanoseconds),
            _ => "clock".to_owned(),
        };
        // A mark that may be there or not is not what differs.
        let marks_of = |should: &Facts| match is {
            Some(is) if mark_differences(&should.marks, &is.marks).is_empty() => is.marks.clone(),
            _ => should.marks.clone(),
        };
        let should = should.map(|should| {
            let facts = Facts { marks: marks_of(should), ..should.clone() };
            line(path, &facts, &time(should), &expected_firsts)
        });
        let is = is.map(|is| line(path, is, &time(is), &actual_firsts));
        if should == is {
            should.into_iter().for_each(|line| push(&mut text, ' ', &line));
        } else {
            should.into_iter().for_each(|line| push(&mut text, '-', &line));
            is.into_iter().for_each(|line| push(&mut text, '+', &line));
        }
    }
    text
}

fn push(text: &mut String, mark: char, line: &str) {
    let _ = writeln!(text, "{mark} {line}");
}

/// The first name of every file that is no directory.
fn firsts(tree: &Tree) -> BTreeMap<(u64, u64), &Text> {
    let mut firsts = BTreeMap::new();
    for (path, facts) in tree.iter().filter(|(_, facts)| !matches!(facts.kind, 'd' | 'w')) {
        firsts.entry(facts.identity).or_insert(path);
    }
    firsts
}

fn line(path: &Text, facts: &Facts, time: &str, firsts: &BTreeMap<(u64, u64), &Text>) -> String {
    if facts.kind == 'w' {
        return format!("w /{path}");
    }
    let size = if facts.kind == '-' { facts.content.len().to_string() } else { "-".to_owned() };
    let (uid, gid) = facts.owner;
    let mut line = format!("{} {:04o} {uid}:{gid} {size} /{path}", facts.kind, facts.mode);
    match facts.kind {
        'l' => line += &format!(" -> {}", Text(facts.content.clone())),
        'b' | 'c' => line += &format!(" {}:{}", facts.device.0, facts.device.1),
        _ => {}
    }
    line += &format!(" mtime {time}");
    if facts.kind == '-' && !facts.content.is_empty() {
        line += &format!(" {}", shown(&facts.content));
    }
    if facts.links > 1 {
        line += &format!(" {} names", facts.links);
    }
    if facts.kind != 'd'
        && let Some(first) = firsts.get(&facts.identity).filter(|first| **first != path)
    {
        line += &format!(" one with /{first}");
    }
    for (name, value) in &facts.xattrs {
        line += &format!(" {name}={}", Text(value.clone()));
    }
    let marks = &facts.marks;
    let words = [(marks.opaque, "opaque"), (marks.redirect, "redirect"), (marks.metacopy, "metacopy")];
    for (_, word) in words.iter().filter(|(is_there, _)| *is_there) {
        line += &format!(" [{word}]");
    }
    for name in &marks.unknown {
        line += &format!(" [{name}]");
    }
    if !facts.is_listed_as_what_it_is {
        line += " [listed as something else]";
    }
    line
}

#[cfg(test)]
mod tests {
    use layerlab_model::inode::Time;

    use super::*;
    use crate::tree::Marks;

    fn file(content: &str, mtime: When, identity: u64) -> Facts {
        Facts {
            kind: '-',
            mode: 0o644,
            owner: (0, 0),
            mtime,
            content: content.as_bytes().to_vec(),
            device: (0, 0),
            links: 1,
            identity: (0, identity),
            xattrs: BTreeMap::new(),
            marks: Marks::default(),
            private: BTreeMap::new(),
            is_listed_as_what_it_is: true,
            is_listed_with_its_inode: true,
        }
    }

    fn tree(entries: &[(&str, Facts)]) -> Tree {
        entries.iter().map(|(path, facts)| (Text::from(*path), facts.clone())).collect()
    }

    #[test]
    fn what_differs_is_marked_and_a_reading_of_the_clock_does_not() {
        let time = |seconds| Time { seconds, nanoseconds: 5 };
        let expected = tree(&[
            ("a", file("xx", When::Reading(1), 1)),
            ("b", file("x", When::Time(time(7)), 2)),
            ("c", file("", When::Reading(2), 3)),
        ]);
        let actual = tree(&[
            ("a", file("xx", When::Time(time(9)), 10)),
            ("b", file("y", When::Time(time(7)), 20)),
            ("d", file("y", When::Time(time(7)), 20)),
        ]);
        let clock = Clock::from([(1, time(9))]);
        let wanted = "  - 0644 0:0 2 /a mtime clock x*2\n\
                      - - 0644 0:0 1 /b mtime 7.000000005 x*1\n\
                      + - 0644 0:0 1 /b mtime 7.000000005 y*1\n\
                      - - 0644 0:0 0 /c mtime clock\n\
                      + - 0644 0:0 1 /d mtime 7.000000005 y*1 one with /b\n";
        assert_eq!(compared(&expected, &actual, &clock), wanted);
    }

    #[test]
    fn a_time_of_the_clock_that_became_another_is_told() {
        let time = |seconds| Time { seconds, nanoseconds: 0 };
        let expected = tree(&[("a", file("", When::Reading(1), 1))]);
        let actual = tree(&[("a", file("", When::Time(time(9)), 1))]);
        let text = compared(&expected, &actual, &Clock::from([(1, time(8))]));
        assert_eq!(text, "- - 0644 0:0 0 /a mtime 8.000000000\n+ - 0644 0:0 0 /a mtime 9.000000000\n");
    }

    #[test]
    fn a_mark_that_is_free_is_no_difference() {
        let marked = |opaque, opaque_is_free| Facts {
            kind: 'd',
            marks: Marks { opaque, opaque_is_free, ..Marks::default() },
            ..file("", When::Reading(1), 1)
        };
        let of = |facts: Facts| tree(&[("a", facts)]);
        let clock = Clock::new();
        assert_eq!(
            compared(&of(marked(false, true)), &of(marked(true, false)), &clock),
            "  d 0644 0:0 - /a mtime clock [opaque]\n"
        );
        let text = compared(&of(marked(false, false)), &of(marked(true, false)), &clock);
        assert_eq!(text, "- d 0644 0:0 - /a mtime clock\n+ d 0644 0:0 - /a mtime clock [opaque]\n");
    }
}
