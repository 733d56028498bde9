//! Makes a transcript that is the same from run to run: names for bound ids, numbers for others, marks for times and sizes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::matcher::Bindings;
use crate::page::{Host, Step, StepRules};

/// A full id or its first 12 digits.
static HEX: LazyLock<Regex> = LazyLock::new(|| expression(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b"));
static LINK: LazyLock<Regex> = LazyLock::new(|| expression(r"\b[A-Z2-7]{26}\b"));
/// A row of a directory that holds links only; they are random, and so is their order.
static LINKS: LazyLock<Regex> = LazyLock::new(|| expression(r"^[A-Z2-7]{26}(?:\s+[A-Z2-7]{26})+$"));
static WIDE_BLANK: LazyLock<Regex> = LazyLock::new(|| expression(" {2,}"));

/// What is written for the rest, in the order it is looked for.
static MARKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let span = r"(?:Less than a second|About a minute|About an hour|\d+ (?:second|minute|hour|day|week|month|year)s?)";
    vec![
        (expression(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"), "<time>"),
        (expression(&format!(r"\b{span} ago\b")), "<ago>"),
        (expression(&format!(r"\bUp {span}")), "Up <duration>"),
        (expression(&format!(r"\b(?:{MONTHS}) [ \d]\d \d\d:\d\d\b")), "<date>"),
        (expression(r"\b\d+( +)\d+( +)\d( +)\d\d:\d\d\b"), "<pid>$1<pid>$2<cpu>$3<time>"),
        (expression(r#""Pid": \d+"#), "\"Pid\": <pid>"),
        (expression(r#"(  |"/)[a-z]+_[a-z]+("?,?)$"#), "$1<name>$2"),
        (expression("^\\d+ /"), "<inode> /"),
        (expression(r"\b\d+ ms\b"), "<n> ms"),
        (expression(r"\bin \d+s \("), "in <n>s ("),
        (expression(r" +\d[\d.]*[KMG]?B/s +\d\d:\d\d$"), " <rate>"),
        (expression(r"\b\d[\d,.]*\d ?(?:[kMGT]i?)?B\b|\b\d ?(?:[kMGT]i?)?B\b"), "<size>"),
        (expression(r"^\d+(?:\.\d+)?[KMG]\s"), "<size> "),
        (expression(r"^([-dl][-rwxstST]{9} +\d+ \S+ +\S+ +)\d+ "), "$1<size> "),
    ]
});

const MONTHS: &str = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec";

fn expression(text: &str) -> Regex {
    Regex::new(text).expect("a valid expression")
}

/// A transcript while it grows.
#[derive(Default)]
pub(super) struct Transcript {
    pub(super) text: String,
    /// Unbound ids by their first 12 digits, unbound links whole.
    numbers: BTreeMap<String, usize>,
}

impl Transcript {
    /// Adds a step with what came.
    pub(super) fn add(
        &mut self,
        step: &Step,
        rules: &StepRules,
        output: &[String],
        exit: Option<i32>,
        bindings: &Bindings,
    ) {
        self.text += &format!("[{}] {} {}\n", step.number, step.prompt, step.command_text().replace('\n', "\n> "));
        let mut lines: Vec<String> = output.iter().map(|line| mark(&named(line, bindings), rules)).collect();
        if rules.unordered {
            lines.sort_by_cached_key(|line| LINK.replace_all(&HEX.replace_all(line, ""), "").into_owned());
        }
        for line in &lines {
            let line = self.number(line);
            self.text += &(line + "\n");
        }
        if let Some(code) = exit.filter(|code| *code != 0) {
            self.text += &format!("(exit {code})\n");
        }
        self.text.push('\n');
    }

    /// From here on steps are typed on this host.
    pub(super) fn host(&mut self, host: Host) {
        self.text += &format!("== on the host {}\n\n", host.address());
    }

    fn number(&mut self, line: &str) -> String {
        let numbers = &mut self.numbers;
        let mut write = |found: &Captures<'_>| {
            let id = &found[0];
            let next = numbers.len() + 1;
            let is_link = id.len() == 26;
            let key = if is_link { id } else { &id[..12] };
            let number = *numbers.entry(key.to_owned()).or_insert(next);
            if id.len() == 12 { format!("<{number}:short>") } else { format!("<{number}>") }
        };
        let line = HEX.replace_all(line, &mut write).into_owned();
        LINK.replace_all(&line, &mut write).into_owned()
    }
}

/// Writes `[[name]]` for every bound id and link and for a bound number that is the whole line, `[[name:short]]` for the short form
/// of an id.
fn named(text: &str, bindings: &Bindings) -> String {
    let name_of = |found: &Captures<'_>| {
        let id = &found[0];
        let mut names = bindings.iter().filter(|(_, bound)| bound.is_id());
        match names.find(|(_, bound)| bound.value.starts_with(id) || id.starts_with(&bound.value)) {
            Some((name, _)) if id.len() == 12 => format!("[[{name}:short]]"),
            Some((name, _)) => format!("[[{name}]]"),
            None => id.to_owned(),
        }
    };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // An id may by chance have no letter.
    let mut numbers = bindings.iter().filter(|(_, bound)| is_number && !bound.is_id());
    if let Some((name, _)) = numbers.find(|(_, bound)| bound.value == text) {
        return format!("[[{name}]]");
    }
    if LINKS.is_match(text) {
        return LINK.replace_all(text, "<link>").into_owned();
    }
    let text = HEX.replace_all(text, name_of).into_owned();
    let name_of_link = |found: &Captures<'_>| match bindings.iter().find(|(_, bound)| bound.value == found[0]) {
        Some((name, _)) => format!("[[{name}]]"),
        None => found[0].to_owned(),
    };
    LINK.replace_all(&text, name_of_link).into_owned()
}

fn mark(line: &str, rules: &StepRules) -> String {
    let marked = MARKS.iter().fold(line.to_owned(), |line, (what, mark)| what.replace_all(&line, *mark).into_owned());
    if rules.columns { WIDE_BLANK.replace_all(&marked, "   ").into_owned() } else { marked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::Origin;
    use crate::page::Kind;

    #[test]
    fn an_id_without_a_letter_is_no_number() {
        let mut bindings = Bindings::default();
        bindings.bind("box", Kind::Short, "123456789012", Origin::default()).unwrap();
        assert_eq!(named("123456789012", &bindings), "[[box:short]]");
    }
}
