//! The matcher: literal unless marked, names bound once and demanded ever after.
#![allow(clippy::unwrap_used)]

use layerlab_scenarios::matcher::{Bindings, LineRules, Origin, match_line, match_output, unified_diff};
use layerlab_scenarios::page::{Expected, Page, Pattern, StepRules};
use proptest::prelude::*;

const A: &str = "aaaaaaaaaaaa1111111111111111111111111111111111111111111111111111";
const B: &str = "bbbbbbbbbbbb2222222222222222222222222222222222222222222222222222";

fn line(pattern: &str, text: &str, bindings: &Bindings) -> Option<Bindings> {
    match_line(&Pattern::parse(pattern).unwrap(), text, LineRules::default(), bindings, Origin::default())
}

fn fits(pattern: &str, text: &str) -> bool {
    line(pattern, text, &Bindings::default()).is_some()
}

fn expected(lines: &str) -> (Vec<Expected>, StepRules) {
    let page = Page::parse("x.md", &format!("# T\n```console\n# a\n{lines}\n```\n")).unwrap();
    let step = page.steps().next().unwrap();
    (step.expected_for("docker"), step.rules("docker"))
}

fn output(lines: &str, actual: &[&str]) -> Result<Bindings, Vec<String>> {
    let (expected, rules) = expected(lines);
    let actual: Vec<String> = actual.iter().map(ToString::to_string).collect();
    match_output(&expected, &actual, &rules, &Bindings::default(), 1).map_err(|mismatch| mismatch.notes)
}

#[test]
fn text_is_literal() {
    assert!(fits("a.b*c [x]", "a.b*c [x]"));
    assert!(!fits("a.b", "axb"));
    assert!(!fits("a b", "a  b"));
    assert!(!fits("abc", "abcd"));
    assert!(!fits("abc", "ab"));
    assert!(!fits("", "x"));
}

#[test]
fn blanks_at_the_end_of_a_line_do_not_count() {
    assert!(fits("a  ", "a"));
    assert!(fits("a", "a   "));
    assert!(!fits("a", " a"));
}

#[test]
fn two_dots_in_brackets_are_any_text_within_a_line() {
    assert!(fits("a[[..]]z", "az"));
    assert!(fits("a[[..]]z", "a then z and z"));
    assert!(fits("[[..]]x[[..]]y", "axbxcy"));
    assert!(!fits("a[[..]]z", "a then y"));
}

#[test]
fn every_kind_takes_its_own_text_and_no_other() {
    let short = &A[..12];
    let digest = format!("sha256:{A}");
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("id", &[A], &[short, &A[..63], &A.to_uppercase(), &digest, ""]),
        ("short", &[short], &[A, &short[..11], "AAAAAAAAAAAA"]),
        ("digest", &[&digest], &[A, "sha256:", &digest[..70]]),
        (
            "link",
            &["H7WVSU4L2Y7PG6GAVJNBKUY6GK"],
            &["H7WVSU4L2Y7PG6GAVJNBKUY6G", "h7wvsu4l2y7pg6gavjnbkuy6gk", "17WVSU4L2Y7PG6GAVJNBKUY6GK"],
        ),
        (
            "ago",
            &["2 minutes ago", "Less than a second ago", "1 second ago", "About an hour ago", "3 months ago"],
            &["2 minutes", "ago", "two minutes ago"],
        ),
        ("duration", &["2 seconds", "Less than a second", "About a minute"], &["2 seconds ago", "seconds"]),
        ("size", &["4.33MB", "0B", "166 MB", "1.2kB"], &["4.33", "MB", "4.33XB"]),
        (
            "time",
            &["2026-11-21T01:25:52.470911998Z", "2026-11-21T01:25:52+01:00"],
            &["2026-11-21", "2026-11-21 01:25:52"],
        ),
        ("port", &["80", "65535"], &["0", "65536", "http", "-1"]),
        ("ip", &["172.17.0.2", "::1", "fe80::1"], &["172.17.0", "256.1.1.1", "1"]),
        ("number", &["0", "12", "1.5"], &["", "x", "1."]),
        ("version", &["20.10.24+dfsg1", "0.1.0", "v2.3"], &["20", "x.y"]),
        ("word", &["overlay2", "a/b"], &["", "two words"]),
    ];
    for (kind, good, bad) in cases {
        let pattern = format!("[[:{kind}]]");
        good.iter().for_each(|text| assert!(fits(&pattern, text), "{kind} takes {text:?}"));
        bad.iter().for_each(|text| assert!(!fits(&pattern, text), "{kind} does not take {text:?}"));
    }
}

#[test]
fn a_name_stands_for_one_value_all_along() {
    let bound = line("got [[x:id]]", &format!("got {A}"), &Bindings::default()).unwrap();
    assert!(line("[[x:id]]/diff", &format!("{A}/diff"), &bound).is_some());
    assert!(line("[[x:id]]/diff", &format!("{B}/diff"), &bound).is_none());
    assert!(line("[[x]]", A, &bound).is_some());
    assert!(line("[[x]]", B, &bound).is_none());
    assert!(!fits("[[x:word]] [[x:word]]", "one two"));
    assert!(fits("[[x:word]] [[x:word]]", "one one"));
}

#[test]
fn an_id_its_short_form_and_its_digest_are_one_value_in_either_order() {
    let short_first = line("[[x:short]]", &A[..12], &Bindings::default()).unwrap();
    let both = line("[[x:digest]]", &format!("sha256:{A}"), &short_first).unwrap();
    assert_eq!(both.get("x").unwrap().value, A);
    assert!(line("[[x:digest]]", &format!("sha256:{B}"), &short_first).is_none());
    let long_first = line("[[x:id]]", A, &Bindings::default()).unwrap();
    assert!(line("[[x:short]]", &A[..12], &long_first).is_some());
    assert!(line("[[x:short]]", &B[..12], &long_first).is_none());
}

#[test]
fn two_names_never_stand_for_one_id() {
    let bound = line("[[x:id]]", A, &Bindings::default()).unwrap();
    assert!(line("[[y:id]]", A, &bound).is_none());
    assert!(line("[[y:short]]", &A[..12], &bound).is_none());
    assert!(line("[[y:id]]", B, &bound).is_some());
    let ports = line("[[a:port]] [[b:port]]", "80 80", &Bindings::default());
    assert!(ports.is_some(), "ports may be equal");
}

#[test]
fn a_longer_sight_of_one_name_may_not_reach_another() {
    let other = format!("{}{}", &A[..12], &B[12..]);
    let bound = line("[[x:id]]", A, &Bindings::default()).unwrap();
    let bound = line("[[y:id]]", &other, &bound).unwrap();
    assert_eq!(bound.get("y").unwrap().value, other);
}

#[test]
fn dots_alone_take_any_number_of_lines() {
    assert!(output("...", &[]).is_ok());
    assert!(output("...\nVersion: [[:version]]\n...", &["Client:", "Version: 1.2", "x"]).is_ok());
    assert!(output("...\nVersion: [[:version]]", &["Client:", "Version: 1.2", "x"]).is_err());
    assert!(output("a\n...\nb", &["a", "b"]).is_ok());
    assert!(output("a\n...\nb", &["a", "x", "b", "y", "b"]).is_ok());
    assert!(output("a\n...\nb", &["a"]).is_err());
}

#[test]
fn a_gap_is_tried_longer_when_names_demand_it() {
    let lines = [A, B, "end", B];
    let bound = output("...\n[[x:id]]\nend\n[[x:id]]", &lines).unwrap();
    assert_eq!(bound.get("x").unwrap().value, B);
}

#[test]
fn missing_and_surplus_lines_are_noticed() {
    assert!(output("a\nb", &["a"]).is_err());
    assert!(output("a", &["a", "b"]).is_err());
    assert!(output("", &["a"]).is_err());
    assert!(output("", &["", ""]).is_ok());
    assert!(output("a\nb", &["b", "a"]).is_err());
}

#[test]
fn unordered_lines_come_in_any_order_but_all_of_them() {
    assert!(output("? unordered\na\nb\nc", &["c", "a", "b"]).is_ok());
    assert!(output("? unordered\na\nb\nc", &["c", "a"]).is_err());
    assert!(output("? unordered\na\nb", &["a", "b", "c"]).is_err());
    assert!(output("? unordered\na\na", &["a", "b"]).is_err());
    assert!(output("? unordered\na\n...", &["b", "a", "c"]).is_ok());
}

#[test]
fn unordered_lines_find_the_names_that_make_all_fit() {
    let (a, b) = (format!("{A}/merged"), format!("{B}/diff"));
    let bound = output("? unordered\n[[html:id]]/[[:word]]\n[[upper:id]]/merged", &[&a, &b]).unwrap();
    assert_eq!(bound.get("html").unwrap().value, B);
    assert_eq!(bound.get("upper").unwrap().value, A);
}

#[test]
fn many_lines_alike_do_not_take_for_ever() {
    let wanted = format!("? unordered\n{}", "a[[..]]\n".repeat(14));
    let actual: Vec<String> = (0..13).map(|n| format!("a{n}")).chain(["b".to_owned()]).collect();
    let actual: Vec<&str> = actual.iter().map(String::as_str).collect();
    assert!(output(&wanted, &actual).is_err());
}

#[test]
fn columns_may_be_wider_or_narrower_but_are_still_columns() {
    let table = "? columns\nID   NAME   STATUS\n[[:short]]   web   Up [[:duration]]";
    assert!(output(table, &["ID             NAME      STATUS", "aaaaaaaaaaaa   web       Up 2 seconds"]).is_ok());
    assert!(output(table, &["ID NAME   STATUS", "aaaaaaaaaaaa   web   Up 2 seconds"]).is_err());
    assert!(output("a   b", &["a  b"]).is_err(), "literal unless marked");
    assert!(output("? columns\na b", &["a  b"]).is_err(), "one blank is one blank");
}

#[test]
fn a_wrong_name_is_explained() {
    let (wanted, rules) = expected("[[x:id]] first\n[[x:id]] second");
    let actual = [format!("{A} first"), format!("{B} second")];
    let notes = match_output(&wanted, &actual, &rules, &Bindings::default(), 7).unwrap_err().notes;
    assert_eq!(notes, [format!("line 5: [[x]] is {A} since step 7 (line 4), but here stands {B}")]);
    let notes =
        output("[[x:id]] first\n[[y:id]] second", &[&format!("{A} first"), &format!("{A} second")]).unwrap_err();
    assert_eq!(notes, [format!("line 5: [[y]] would be {A}, which is [[x]] since step 1 (line 4)")]);
}

#[test]
fn the_diff_shows_lines_that_match_as_they_came() {
    let (wanted, rules) = expected("[[:id]] one\n...\nthree\nfour");
    let actual = [format!("{A} one"), "two".into(), "tree".into(), "four".into()];
    let diff = unified_diff(&wanted, &actual, &rules, &Bindings::default());
    assert!(diff.contains(&format!(" {A} one")) && diff.contains("-three\n"), "{diff}");
    assert!(diff.contains("\n tree\n"), "the gap takes it: {diff}");
    assert!(diff.contains(" four"), "{diff}");
}

#[test]
fn the_diff_of_unordered_lines_shows_only_what_is_missing_and_what_is_too_much() {
    let (wanted, rules) = expected("? unordered\na\nb\nc");
    let diff = unified_diff(&wanted, &["c".into(), "x".into(), "a".into()], &rules, &Bindings::default());
    let changed: Vec<&str> = diff.lines().skip(2).filter(|l| l.starts_with(['+', '-'])).collect();
    assert_eq!(changed, ["+x", "-b"], "{diff}");
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[[..]]".to_owned()),
        Just("[[x:id]]".to_owned()),
        Just("[[y:short]]".to_owned()),
        Just("[[z:word]]".to_owned()),
        Just("[[:ago]]".to_owned()),
        Just("  ".to_owned()),
        Just(A.to_owned()),
        Just(A[..12].to_owned()),
        "[a-c ä€]{0,4}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn literal_text_matches_itself(text in "[^\\[\\]\\r\\n]{0,60}") {
        prop_assert!(fits(&text, &text));
    }

    #[test]
    fn literal_text_matches_nothing_else(text in "[a-z ]{0,20}", other in "[a-z ]{0,20}") {
        prop_assert_eq!(fits(&text, &other), text.trim_end() == other.trim_end());
    }

    #[test]
    fn any_text_takes_any_text(text in "\\PC{0,60}") {
        prop_assert!(fits("[[..]]", &text));
    }

    #[test]
    fn the_matcher_never_panics(pattern in hostile(), text in "\\PC{0,40}", columns: bool) {
        let pattern = Pattern::parse(&pattern).unwrap();
        let rules = LineRules { columns, ignore_names: false };
        let _ = match_line(&pattern, &text, rules, &Bindings::default(), Origin::default());
    }

    #[test]
    fn outputs_never_panic_and_the_diff_neither(
        wanted in prop::collection::vec(prop_oneof![hostile(), Just("...".to_owned())], 0..6),
        actual in prop::collection::vec(hostile(), 0..6),
        unordered: bool,
        columns: bool,
    ) {
        let options = format!("{}{}", if unordered { "? unordered\n" } else { "" }, if columns { "? columns\n" } else { "" });
        let (wanted, rules) = expected(&format!("{options}{}", wanted.iter().map(|l| if l == "..." { l.clone() } else { format!("\\{l}") }).collect::<Vec<_>>().join("\n")));
        let _ = match_output(&wanted, &actual, &rules, &Bindings::default(), 1);
        let _ = unified_diff(&wanted, &actual, &rules, &Bindings::default());
    }

    #[test]
    fn what_a_pattern_binds_it_matches_again(pattern in hostile(), text in hostile()) {
        if let Some(bound) = line(&pattern, &text, &Bindings::default()) {
            prop_assert!(line(&pattern, &text, &bound).is_some());
        }
    }

    #[test]
    fn unordered_lines_match_in_every_order(lines in prop::collection::vec("[a-c]{1,3}", 1..6), seed in any::<prop::sample::Index>()) {
        let mut turned = lines.clone();
        turned.rotate_left(seed.index(lines.len()));
        let turned: Vec<&str> = turned.iter().map(String::as_str).collect();
        let wanted = format!("? unordered\n{}", lines.join("\n"));
        prop_assert!(output(&wanted, &turned).is_ok());
    }
}
