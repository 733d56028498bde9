//! Holds the whole output of a step against the lines the page expects.

use std::collections::HashSet;

use super::binding::{Bindings, Origin};
use super::line::{LineRules, clash, match_line};
use crate::page::{Expected, ExpectedText, Pattern, StepRules};

/// How many pairs of lines a match may look at before the page is told to be more exact.
const BUDGET: usize = 200_000;

/// Why the output is not what the page expects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Sentences about names: what they stand for and what came.
    pub notes: Vec<String>,
}

/// Matches all lines; names seen for the first time are bound in what is returned.
pub fn match_output(
    expected: &[Expected],
    actual: &[String],
    rules: &StepRules,
    bindings: &Bindings,
    step: usize,
) -> Result<Bindings, Mismatch> {
    let actual = without_blank_end(actual);
    let line_rules = LineRules { columns: rules.columns, ignore_names: false };
    let mut search = Search { expected, actual, rules: line_rules, step, failed: HashSet::new(), budget: BUDGET };
    let found = if rules.unordered {
        search.any_order(&Order::of(expected), 0, &mut vec![false; actual.len()], bindings)
    } else {
        search.in_order(0, 0, bindings)
    };
    match found {
        Some(bound) => Ok(bound),
        None if search.budget == 0 => Err(Mismatch {
            notes: vec!["the lines can be matched in too many ways: name or spell out more of them".into()],
        }),
        None => Err(Mismatch { notes: search.notes(bindings) }),
    }
}

/// Blank lines at the end do not count, on either side.
pub(super) fn without_blank_end(lines: &[String]) -> &[String] {
    let end = lines.iter().rposition(|line| !line.trim_end().is_empty()).map_or(0, |last| last + 1);
    &lines[..end]
}

/// The patterns of an unordered step in the order they are tried: those that say most first.
struct Order<'p> {
    lines: Vec<(&'p Pattern, usize)>,
    rest_may_be_anything: bool,
}

impl<'p> Order<'p> {
    fn of(expected: &'p [Expected]) -> Self {
        let mut lines: Vec<(&Pattern, usize)> =
            expected.iter().filter_map(|e| pattern(e).map(|p| (p, e.line))).collect();
        lines.sort_by_key(|(pattern, _)| pattern.tokens.len());
        Order { rest_may_be_anything: lines.len() < expected.len(), lines }
    }
}

fn pattern(expected: &Expected) -> Option<&Pattern> {
    match &expected.text {
        ExpectedText::Line(pattern) => Some(pattern),
        ExpectedText::AnyLines => None,
    }
}

struct Search<'p> {
    expected: &'p [Expected],
    actual: &'p [String],
    rules: LineRules,
    step: usize,
    failed: HashSet<(usize, Vec<usize>, Bindings)>,
    budget: usize,
}

impl Search<'_> {
    fn line(&mut self, pattern: &Pattern, line: usize, actual: usize, bindings: &Bindings) -> Option<Bindings> {
        self.budget = self.budget.checked_sub(1)?;
        match_line(pattern, &self.actual[actual], self.rules, bindings, Origin { step: self.step, line })
    }

    fn in_order(&mut self, wanted: usize, at: usize, bindings: &Bindings) -> Option<Bindings> {
        let mut bindings = bindings.clone();
        let expected = self.expected;
        for (wanted, at) in (wanted..).zip(at..) {
            let Some(line) = expected.get(wanted) else { return (at == self.actual.len()).then_some(bindings) };
            let Some(pattern) = pattern(line) else { return self.after_gap(wanted + 1, at, &bindings) };
            if at == self.actual.len() {
                return None;
            }
            bindings = self.line(pattern, line.line, at, &bindings)?;
        }
        None
    }

    fn after_gap(&mut self, wanted: usize, at: usize, bindings: &Bindings) -> Option<Bindings> {
        let key = (wanted, vec![at], bindings.clone());
        if self.failed.contains(&key) {
            return None;
        }
        let found = (at..=self.actual.len()).find_map(|from| self.in_order(wanted, from, bindings));
        if found.is_none() {
            self.failed.insert(key);
        }
        found
    }

    fn any_order(
        &mut self,
        order: &Order<'_>,
        wanted: usize,
        used: &mut [bool],
        bindings: &Bindings,
    ) -> Option<Bindings> {
        let Some((pattern, line)) = order.lines.get(wanted) else {
            let complete = order.rest_may_be_anything || used.iter().all(|used| *used);
            return complete.then(|| bindings.clone());
        };
        let taken = (0..used.len()).filter(|at| used[*at]).collect();
        let key = (wanted, taken, bindings.clone());
        if self.failed.contains(&key) {
            return None;
        }
        let mut tried: HashSet<&str> = HashSet::new();
        let actual = self.actual;
        for at in 0..actual.len() {
            if used[at] || !tried.insert(&actual[at]) {
                continue;
            }
            if let Some(bound) = self.line(pattern, *line, at, bindings) {
                used[at] = true;
                if let Some(found) = self.any_order(order, wanted + 1, used, &bound) {
                    return Some(found);
                }
                used[at] = false;
            }
        }
        self.failed.insert(key);
        None
    }

    /// Says, for every line that has the right shape but the wrong value, what is wrong with it.
    fn notes(&self, bindings: &Bindings) -> Vec<String> {
        let mut bound = bindings.clone();
        let mut notes = Vec::new();
        for expected in self.expected {
            let Some(pattern) = pattern(expected) else { continue };
            let origin = Origin { step: self.step, line: expected.line };
            let fits = |text: &String| match_line(pattern, text, self.rules, &bound, origin);
            if let Some(found) = self.actual.iter().find_map(fits) {
                bound = found;
                continue;
            }
            let clash = self.actual.iter().find_map(|text| clash(pattern, text, self.rules, &bound, origin));
            notes.extend(clash.map(|clash| format!("line {}: {clash}", expected.line)));
        }
        notes
    }
}
