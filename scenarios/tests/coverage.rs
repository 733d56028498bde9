//! No command of a source document is missing from its page.
//!
//! Beside each walkthrough lies a list of what its document types, one command a line, in the document's words and order.
//! Where a page has to type something else (the document abbreviates, or is wrong), a line `  = words` below says what; there may be
//! several. A line `! words` is one that only looks like a command.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use layerlab_scenarios::page::{ExpectedText, Page, Step};
use layerlab_scenarios::skip::skip;
use regex::Regex;

/// A line of a document that begins with one of the prompts the documents have; the command is group 1.
static PROMPTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:\[[^\]]*\]|\S+@\S+:\S*?|[0-9a-f]{12} )?[#$] *([^#\s].*?)\s*$").unwrap());
/// A numbered heading of Markdown, which begins as a prompt does.
static HEADING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^# \d+\. ").unwrap());
/// An ID as the documents write it: whole, short, its first digits and dots, or one of overlay2's short links.
static ID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:[0-9a-f]{64}\b|[0-9a-f]{12}\b|[0-9a-f]{8}\.\.\.|[A-Z0-9]{26}\b)").unwrap());
/// A name as a page writes it.
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[\[([a-z0-9-]+)(:[a-z]+)?\]\]").unwrap());

/// A line of a Dockerfile, as the documents have them: a comment or an instruction.
static OF_DOCKERFILE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(?:#|[A-Z]+ )").unwrap());

/// The targets on which nothing of a document may be left out.
const WHOLE: [&str; 2] = ["layerlab", "docker"];

/// Of each list: its commands, those for which the page types something else, and the lines that only look like a command.
/// A list that grows shorter, or excuses more, has to say so here.
const EXPECTED: [(&str, [usize; 3]); 5] = [
    ("deep-dive", [28, 1, 0]),
    ("httpd", [56, 1, 0]),
    ("image-layers", [9, 0, 0]),
    ("introduction", [78, 4, 1]),
    ("lecture", [6, 3, 0]),
];

/// Steps on which a page asks for nothing, and why.
const SILENT: [(&str, &str); 1] =
    // What a package manager says is not the page's business; its exit code is.
    [("httpd", "yum install mlocate")];

/// One line of a list.
struct Listed {
    words: String,
    /// What the page types for it.
    typed: Vec<String>,
}

fn walkthroughs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("walkthroughs")
}

/// The documents' commands, each page beside its list.
fn lists() -> Vec<(Page, Vec<Listed>)> {
    let files = std::fs::read_dir(walkthroughs()).unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let with_list = |path: PathBuf| {
        let list = path.with_extension("commands");
        let text = std::fs::read_to_string(&list).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
        (Page::read(path).unwrap(), parse(&text))
    };
    pages.map(with_list).collect()
}

fn parse(text: &str) -> Vec<Listed> {
    let mut lines = text.lines().peekable();
    let mut listed = Vec::new();
    while let Some(line) = lines.next() {
        let mut typed = Vec::new();
        while let Some(instead) = lines.peek().and_then(|line| line.strip_prefix("  = ")) {
            typed.push(instead.to_owned());
            lines.next();
        }
        match line.strip_prefix("! ") {
            Some(words) => {
                assert!(typed.is_empty(), "'{words}' is no command, yet a page types it");
                listed.push(Listed { words: words.to_owned(), typed });
            }
            None if typed.is_empty() => listed.push(Listed { words: line.to_owned(), typed: vec![line.to_owned()] }),
            None => listed.push(Listed { words: line.to_owned(), typed }),
        }
    }
    listed
}

/// What the page has to type, in order.
fn demanded(list: &[Listed]) -> Vec<String> {
    list.iter().flat_map(|listed| listed.typed.clone()).collect()
}

/// Finds every command among the page's, in order; the error names the first that is missing or contradicts itself.
fn missing(document: &[String], page: &[String]) -> Result<(), String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut at = 0;
    for command in document {
        let found = page[at..].iter().position(|typed| is_same(command, typed));
        // Lines of one command may be asked for one after the other.
        at += found.ok_or_else(|| format!("'{command}' is no step of the page (after step {at})"))?;
        at += usize::from(!page[at].contains('\n'));
        let step = if page.get(at).is_some_and(|typed| typed.contains('\n')) { at } else { at - 1 };
        // A line without IDs may stand in a step that has names of its own.
        let (ids, named) = (ID.find_iter(command), NAME.captures_iter(&page[step]));
        if ids.count() > 0 && ID.find_iter(command).count() != named.count() {
            return Err(format!("step {at}: '{command}' has other IDs than '{}' has names", page[step]));
        }
        for (id, name) in ID.find_iter(command).zip(NAME.captures_iter(&page[step])) {
            // An ID's first digits are its short form's too.
            let (id, name) = (id.as_str()[..8].to_owned(), name[1].to_owned());
            if names.iter().any(|(known, stands_for)| (*known == id) != (*stands_for == name)) {
                return Err(format!("step {at}: {id} is {name} here, and not elsewhere"));
            }
            names.insert(id, name);
        }
    }
    Ok(())
}

/// Whether a step is the command, or writes a file in which it is a line of a Dockerfile.
fn is_same(command: &str, typed: &str) -> bool {
    let mut lines = typed.lines().enumerate().filter(|(at, line)| *at == 0 || OF_DOCKERFILE.is_match(line));
    lines.any(|(_, line)| without_ids(command) == without_names(line))
}

/// What stands for an ID or a name of one; nobody types it.
const SOME_ID: &str = "\u{0}";

fn without_ids(command: &str) -> String {
    ID.replace_all(command, SOME_ID).replace("sha256:\u{0}", SOME_ID)
}

fn without_names(typed: &str) -> String {
    NAME.replace_all(typed, SOME_ID).replace("sha256:\u{0}", SOME_ID)
}

/// Whether two commands of the document differ in their IDs only.
fn is_alike(one: &str, other: &str) -> bool {
    without_ids(one) == without_ids(other)
}

fn typed(page: &Page, target: &str) -> Vec<String> {
    page.steps().filter(|step| step.targets.hold_for(target)).map(Step::command_text).collect()
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(ToString::to_string).collect()
}

/// Whether the list has all that the document types, and nothing that it does not have.
fn compare(document: &str, list: &[Listed]) -> Result<(), String> {
    let lines: Vec<&str> = document.lines().collect();
    let mut taken = vec![false; lines.len()];
    let (mut row, mut column) = (0, 0);
    for Listed { words, .. } in list {
        let at_prompt = |at: &usize| PROMPTED.captures(lines[*at]).is_some_and(|found| found[1] == **words);
        let in_text = |at: usize| {
            let from = if at == row { column } else { 0 };
            lines[at][from..].find(words.as_str()).map(|found| (at, from + found + words.len()))
        };
        // Text may speak of a command before it is typed.
        let typed = (row..lines.len()).filter(|at| !taken[*at]).find(at_prompt).map(|at| (at, lines[at].len()));
        let place = typed.or_else(|| (row..lines.len()).find_map(in_text));
        (row, column) = place.ok_or_else(|| format!("'{words}' is not in the document (after its line {row})"))?;
        taken[row] = true;
    }
    let prompted = lines.iter().zip(taken).filter(|(line, _)| PROMPTED.is_match(line) && !HEADING.is_match(line));
    match prompted.into_iter().find(|(_, taken)| !taken) {
        Some((line, _)) => Err(format!("'{line}' is not in the list")),
        None => Ok(()),
    }
}

#[test]
fn every_command_of_the_document_is_a_step_of_the_page_in_order() {
    let lists = lists();
    assert!(!lists.is_empty());
    for (page, list) in lists {
        assert!(!list.is_empty(), "{} has no commands", page.name());
        for target in WHOLE {
            if let Err(what) = missing(&demanded(&list), &typed(&page, target)) {
                panic!("{} on {target}: {what}", page.path.display());
            }
        }
    }
}

#[test]
fn no_list_grows_shorter_or_excuses_more_unseen() {
    let mut counted: Vec<(String, [usize; 3])> = lists()
        .into_iter()
        .map(|(page, list)| {
            let is_instead = |listed: &&Listed| !listed.typed.is_empty() && listed.typed != [listed.words.as_str()];
            let (instead, none) =
                (list.iter().filter(is_instead), list.iter().filter(|listed| listed.typed.is_empty()));
            (page.name(), [list.len() - none.clone().count(), instead.count(), none.count()])
        })
        .collect();
    counted.sort();
    assert_eq!(counted, EXPECTED.map(|(name, counts)| (name.to_owned(), counts)));
}

#[test]
fn every_step_of_a_walkthrough_asks_for_something() {
    for (page, _) in lists() {
        for (step, target) in page.steps().flat_map(|step| WHOLE.map(|target| (step, target))) {
            let expected = step.expected_for(target);
            let asks = expected.is_empty() || expected.iter().any(|line| matches!(line.text, ExpectedText::Line(_)));
            let command = step.command_text();
            let known = SILENT.contains(&(page.name().as_str(), command.as_str()));
            assert!(asks || known || !step.targets.hold_for(target), "{}: '{command}' asks for nothing", page.name());
        }
    }
}

#[test]
fn a_page_that_leaves_out_any_one_step_of_the_document_is_noticed() {
    for (page, list, target) in lists().iter().flat_map(|(page, list)| WHOLE.map(|target| (page, list, target))) {
        let all = typed(page, target);
        let document = demanded(list);
        for command in &document {
            let demanded = document.iter().filter(|other| is_alike(other, command)).count();
            let places: Vec<usize> = (0..all.len()).filter(|at| is_same(command, &all[*at])).collect();
            let surplus = places.len() - demanded;
            for left_out in &places {
                // A step that the page has more often than the document could stand in for the one left out.
                let others = places.iter().rev().filter(|other| *other != left_out);
                let gone: Vec<&usize> = others.take(surplus).chain([left_out]).collect();
                let without: Vec<String> =
                    (0..all.len()).filter(|at| !gone.contains(&at)).map(|at| all[at].clone()).collect();
                assert!(
                    missing(&document, &without).is_err(),
                    "{}: nobody missed '{command}' without step {}",
                    page.name(),
                    left_out + 1
                );
            }
        }
    }
}

#[test]
fn order_and_names_count() {
    assert!(missing(&owned(&["a", "b"]), &owned(&["x", "a", "y", "b"])).is_ok());
    assert!(missing(&owned(&["a", "b"]), &owned(&["b", "a"])).unwrap_err().contains("'b' is no step"));
    let document = owned(&["cat /o/2de088e9.../x", "cat /o/b9c65fdc.../x"]);
    assert!(missing(&document, &owned(&["cat /o/[[a]]/x", "cat /o/[[b]]/x"])).is_ok());
    assert!(
        missing(&document, &owned(&["cat /o/[[a]]/x", "cat /o/[[a]]/x"])).unwrap_err().contains("and not elsewhere")
    );
    let twice = owned(&["cat /o/2de088e9.../x", "cat /o/2de088e9.../x"]);
    assert!(missing(&twice, &owned(&["cat /o/[[a]]/x", "cat /o/[[b]]/x"])).unwrap_err().contains("and not elsewhere"));
}

#[test]
fn an_id_is_the_same_whole_and_short() {
    let whole = "605c77e624ddb75e6110f997c58876baa13f8754486b461117934b24a9dc3a85";
    let document = vec!["docker rmi 605c77e624dd".to_owned(), format!("echo sha256:{whole}")];
    assert!(missing(&document, &owned(&["docker rmi [[a:short]]", "echo [[a:digest]]"])).is_ok());
    assert!(missing(&document, &owned(&["docker rmi [[a:short]]", "echo [[b:digest]]"])).is_err());
}

#[test]
fn lines_of_one_command_are_found_in_it() {
    let document = owned(&["FROM x", "RUN y", "z"]);
    assert!(missing(&document, &owned(&["cat > f <<E\nFROM x\nRUN y\nE", "z"])).is_ok());
    assert!(missing(&document, &owned(&["cat > f <<E\nFROM x\nE", "z"])).unwrap_err().contains("'RUN y'"));
    assert!(missing(&document, &owned(&["cat > f <<E\nFROM x\nRUN y\nz\nE"])).unwrap_err().contains("'z'"));
}

#[test]
fn a_pattern_of_the_shell_stands_for_no_id() {
    let document = owned(&["ls /o/2de088e9.../x"]);
    assert!(missing(&document, &owned(&["ls /o/*/x"])).is_err());
    assert!(missing(&document, &owned(&["ls /o/[[a]]/x"])).is_ok());
}

#[test]
fn a_list_that_lacks_a_command_or_invents_one_is_noticed() {
    let document = "# 1. A heading\n# first\ntext with `inner one` and `inner two`\n[root@h l]# second\n# Outputs\n";
    let list = "first\n! inner one\nsecond\n  = typed for it\n! Outputs\n";
    assert_eq!(compare(document, &parse(list)), Ok(()));
    assert_eq!(demanded(&parse(list)), ["first", "typed for it"]);
    assert!(compare(document, &parse("first\n! Outputs\n")).unwrap_err().contains("second' is not in the list"));
    assert!(compare(document, &parse("first\ninvented\n")).unwrap_err().contains("'invented' is not in the document"));
    assert!(compare(document, &parse("second\nfirst\n")).unwrap_err().contains("'first' is not in the document"));
}

#[test]
fn the_list_of_commands_is_the_documents() {
    let Some(documents) = std::env::var_os("LAYERLAB_DOCUMENTS").map(PathBuf::from) else {
        skip("documents", "LAYERLAB_DOCUMENTS does not name the directory of the source documents");
        return;
    };
    for (page, list) in lists() {
        let source = page.source.clone().unwrap_or_else(|| panic!("{} names no source", page.path.display()));
        let path = documents.join(source);
        let document = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Err(what) = compare(&document, &list) {
            panic!("{} against {}: {what}", page.name(), path.display());
        }
    }
}
