//! Shows expected and actual output as a unified diff in which lines that match are alike.

use similar::TextDiff;

use super::binding::{Bindings, Origin};
use super::line::{LineRules, match_line};
use super::lines::without_blank_end;
use crate::page::{Expected, ExpectedText, StepRules};

/// The unified diff from what the page expects to what came. A line that matches its pattern stands as it came; the others
/// stand as the page writes them.
pub fn unified_diff(expected: &[Expected], actual: &[String], rules: &StepRules, bindings: &Bindings) -> String {
    let actual = without_blank_end(actual);
    let line_rules = LineRules { columns: rules.columns, ignore_names: false };
    let fits = |expected: &Expected, text: &str, bindings: &Bindings| match &expected.text {
        ExpectedText::Line(pattern) => match_line(pattern, text, line_rules, bindings, Origin::default()),
        ExpectedText::AnyLines => None,
    };
    let shown = if rules.unordered {
        any_order(expected, actual, bindings, fits)
    } else {
        in_order(expected, actual, bindings, fits)
    };
    let (shown, came) = (shown.join("\n") + "\n", actual.join("\n") + "\n");
    TextDiff::from_lines(&shown, &came).unified_diff().context_radius(3).header("expected", "actual").to_string()
}

fn source(expected: &Expected) -> String {
    match &expected.text {
        ExpectedText::Line(pattern) => pattern.source.clone(),
        ExpectedText::AnyLines => "...".into(),
    }
}

/// The expected lines with the text that came for those that match; the longest alignment, then walked from the start.
fn in_order(
    expected: &[Expected],
    actual: &[String],
    bindings: &Bindings,
    fits: impl Fn(&Expected, &str, &Bindings) -> Option<Bindings>,
) -> Vec<String> {
    let pairs: Vec<Vec<bool>> =
        expected.iter().map(|e| actual.iter().map(|a| fits(e, a, bindings).is_some()).collect()).collect();
    let is_gap = |i: usize| matches!(expected[i].text, ExpectedText::AnyLines);
    let mut best = vec![vec![0_usize; actual.len() + 1]; expected.len() + 1];
    for i in (0..expected.len()).rev() {
        for j in (0..=actual.len()).rev() {
            let skipped = best[i + 1][j];
            let passed = if j < actual.len() { best[i][j + 1] + usize::from(is_gap(i)) } else { 0 };
            let paired = if j < actual.len() && pairs[i][j] { best[i + 1][j + 1] + 2 } else { 0 };
            best[i][j] = skipped.max(passed).max(paired);
        }
    }
    let (mut shown, mut bindings, mut j) = (Vec::new(), bindings.clone(), 0);
    let mut i = 0;
    while i < expected.len() {
        if j < actual.len() && pairs[i][j] && best[i][j] == best[i + 1][j + 1] + 2 {
            match fits(&expected[i], &actual[j], &bindings) {
                Some(bound) => {
                    bindings = bound;
                    shown.push(actual[j].clone());
                }
                None => shown.push(source(&expected[i])),
            }
            (i, j) = (i + 1, j + 1);
        } else if j < actual.len() && best[i][j] == best[i][j + 1] + usize::from(is_gap(i)) {
            if is_gap(i) {
                shown.push(actual[j].clone());
            }
            j += 1;
        } else {
            if !is_gap(i) {
                shown.push(source(&expected[i]));
            }
            i += 1;
        }
    }
    shown
}

/// The lines that match in the order they came, then the expected lines that nothing matched.
fn any_order(
    expected: &[Expected],
    actual: &[String],
    bindings: &Bindings,
    fits: impl Fn(&Expected, &str, &Bindings) -> Option<Bindings>,
) -> Vec<String> {
    let mut bindings = bindings.clone();
    let mut matched = vec![false; actual.len()];
    let mut missing = Vec::new();
    let mut rest_may_be_anything = false;
    for line in expected {
        if matches!(line.text, ExpectedText::AnyLines) {
            rest_may_be_anything = true;
            continue;
        }
        let found =
            (0..actual.len()).filter(|at| !matched[*at]).find_map(|at| Some((at, fits(line, &actual[at], &bindings)?)));
        match found {
            Some((at, bound)) => {
                matched[at] = true;
                bindings = bound;
            }
            None => missing.push(source(line)),
        }
    }
    let kept = actual
        .iter()
        .zip(matched)
        .filter(|(_, matched)| *matched || rest_may_be_anything)
        .map(|(line, _)| line.clone());
    kept.chain(missing).collect()
}
