//! Who names an id: headers of laws and test files, comments of test functions, the front matter of pages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Where those who name ids live, below the root of the workspace.
const ROOMS: [&str; 2] = ["engine", "scenarios"];
/// What stands before the ids in a comment.
const WORD: &str = "Checklist:";
/// The key of a page's front matter.
const KEY: &str = "checklist:";
/// What follows an id that is checked in part.
const PARTLY: char = '~';

/// An id and who says that it is checked there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub id: String,
    /// Only a part of the behaviour is.
    pub is_partial: bool,
    /// The file, below the root of the workspace.
    pub path: PathBuf,
    /// The test in it; none when it is the file as a whole.
    pub function: Option<String>,
}

impl Name {
    /// The file, and the test in it.
    pub fn place(&self) -> String {
        match &self.function {
            Some(function) => format!("{}, {function}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }
}

/// All names that are given in the workspace whose root this is, in the order of their places.
pub fn below(root: &Path) -> anyhow::Result<Vec<Name>> {
    let mut names = Vec::new();
    for file in ROOMS.iter().map(|room| files(&root.join(room))).collect::<anyhow::Result<Vec<_>>>()?.concat() {
        let path = file.strip_prefix(root)?;
        let found = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => in_code(&read(&file)?),
            Some("md") => in_page(&read(&file)?),
            _ => continue,
        };
        for (line, said, function) in found.with_context(|| path.display().to_string())? {
            ensure!(
                function.is_some() || can_name(path),
                "{}:{line}: this file checks nothing by itself: name the id at the test that does",
                path.display()
            );
            for (id, is_partial) in ids(&said).with_context(|| format!("{}:{line}", path.display()))? {
                names.push(Name { id, is_partial, path: path.to_owned(), function: function.clone() });
            }
        }
    }
    Ok(names)
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Every file below, sorted.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => all.extend(files(&path)?),
            false => all.push(path),
        }
    }
    Ok(all)
}

/// A file whose whole is a check: a page, tests, and what laws are held with.
fn can_name(path: &Path) -> bool {
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    is_page
        || path.starts_with("scenarios/properties/src")
        || path.iter().any(|part| part == "tests" || part == "tests.rs")
}

/// The line, what stands behind the word, and the test function whose comment it is.
type Found = (usize, String, Option<String>);

fn in_code(text: &str) -> anyhow::Result<Vec<Found>> {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let said = |sign: &str| line.strip_prefix(sign).and_then(|said| said.trim_start().strip_prefix(WORD));
        if let Some(said) = said("//!") {
            found.push((at + 1, said.to_owned(), None));
        } else if let Some(said) = said("///") {
            let test = test_of(&lines[at..]).with_context(|| format!("{}: `{WORD}` stands at no test", at + 1))?;
            found.push((at + 1, said.to_owned(), Some(test.to_owned())));
        }
    }
    Ok(found)
}

/// The test function to which the comment belongs with which the lines begin.
fn test_of<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let above = |line: &&&str| line.starts_with("//") || line.starts_with("#[");
    let head: Vec<&&str> = lines.iter().take_while(above).collect();
    let is_test = head.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    let function = lines.get(head.len())?;
    let (_, name) = function.split_once("fn ")?;
    name.split_once('(').map(|(name, _)| name).filter(|_| is_test)
}

fn in_page(text: &str) -> anyhow::Result<Vec<Found>> {
    let front = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map_or("", |(front, _)| front);
    let lines = (2..).zip(front.lines());
    Ok(lines.filter_map(|(at, line)| Some((at, line.strip_prefix(KEY)?.to_owned(), None))).collect())
}

/// `AB-01, CD-02~`: ids, and whether each is checked only in part.
fn ids(said: &str) -> anyhow::Result<Vec<(String, bool)>> {
    let one = |word: &str| {
        let id = word.strip_suffix(PARTLY).unwrap_or(word);
        let is_id = id.split_once('-').is_some_and(|(letters, number)| {
            !letters.is_empty()
                && letters.bytes().all(|byte| byte.is_ascii_uppercase())
                && number.len() == 2
                && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        ensure!(is_id, "'{word}' is no id: write `{WORD} AB-01, CD-02{PARTLY}`");
        Ok((id.to_owned(), id.len() < word.len()))
    };
    said.split(',').map(|word| one(word.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_for_its_file_and_a_comment_for_its_test() {
        let text = "//! About.\n//!\n//! Checklist: A-01, B-02~\n\nmod a {\n    /// Words.\n    /// Checklist: C-03\n    \
                    #[test]\n    fn it_holds() {}\n}\n";
        let found = in_code(text).unwrap();
        assert_eq!(found, [(3, " A-01, B-02~".into(), None), (7, " C-03".into(), Some("it_holds".into()))]);
        assert_eq!(ids(&found[0].1).unwrap(), [("A-01".to_owned(), false), ("B-02".to_owned(), true)]);
    }

    #[test]
    fn what_is_no_test_cannot_name() {
        for text in ["/// Checklist: A-01\nfn f() {}\n", "/// Checklist: A-01\n\n#[test]\nfn f() {}\n"] {
            assert!(
                format!("{:#}", in_code(text).unwrap_err()).contains("1: `Checklist:` stands at no test"),
                "{text}"
            );
        }
        for (path, can) in [
            ("engine/src/layer/mod.rs", false),
            ("scenarios/model/src/store.rs", false),
            ("engine/tests/push.rs", true),
            ("engine/src/driver/tests.rs", true),
            ("scenarios/properties/src/laws/a.rs", true),
            ("scenarios/cases/a.md", true),
        ] {
            assert_eq!(can_name(Path::new(path)), can, "{path}");
        }
    }

    #[test]
    fn a_page_names_in_its_front_matter_only() {
        let text = "---\ntargets: docker\nchecklist: A-01\n---\n\n# T\n\nchecklist: B-02\n";
        assert_eq!(in_page(text).unwrap(), [(3, " A-01".into(), None)]);
        assert!(in_page("# T\n---\nchecklist: A-01\n---\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for said in ["", "A-1", "a-01", "A-01 B-02", "A-01,", "A-01~~", "-01"] {
            assert!(ids(said).is_err(), "{said}");
        }
    }
}
