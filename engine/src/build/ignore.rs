//! `.dockerignore`: which paths of a directory are no part of the build's context.
//!
//! The rules are Docker 20.10's (`pkg/fileutils`): a line is a pattern, the last that fits decides, `!` takes back, `**` is any
//! number of directories, and a pattern that fits a directory fits all in it.

use std::path::Path;

use regex::Regex;

/// The patterns of a `.dockerignore`.
#[derive(Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    is_exception: bool,
    regex: Regex,
    depth: usize,
}

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    pub fn read(text: &str) -> Result<Ignore, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty());
        Ok(Ignore { patterns: lines.map(pattern).collect::<Result<_, _>>()? })
    }

    /// Whether the path, relative to the context, is left out.
    pub fn covers(&self, path: &Path) -> bool {
        let parts: Vec<String> =
            path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        if parts.is_empty() {
            // The context itself cannot be left out of it.
            return false;
        }
        let whole = parts.join("/");
        let mut is_covered = false;
        for pattern in &self.patterns {
            let fits = |text: &str| pattern.regex.is_match(text);
            let fits_parent = (1..parts.len()).any(|depth| {
                (pattern.depth == depth || pattern.depth == usize::MAX) && fits(&parts[..depth].join("/"))
            });
            if fits(&whole) || fits_parent {
                is_covered = !pattern.is_exception;
            }
        }
        is_covered
    }
}

fn pattern(line: &str) -> Result<Pattern, String> {
    let (is_exception, text) = match line.strip_prefix('!') {
        Some("") => return Err("illegal exclusion pattern: \"!\"".to_owned()),
        Some(text) => (true, text.trim()),
        None => (false, line),
    };
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let mut cleaned: Vec<&str> = Vec::new();
    for part in parts {
        match part {
            ".." if cleaned.last().is_some_and(|last| *last != "..") => drop(cleaned.pop()),
            other => cleaned.push(other),
        }
    }
    // `a/**` and `**/a` reach any depth, so any parent may fit them.
    let depth = if cleaned.contains(&"**") { usize::MAX } else { cleaned.len() };
    let regex = to_regex(&cleaned.join("/"));
    let regex =
        Regex::new(&regex).map_err(|_| format!("error checking context: 'syntax error in pattern {line:?}'"))?;
    Ok(Pattern { is_exception, regex, depth })
}

/// A shell pattern as a regular expression that fits whole paths.
fn to_regex(pattern: &str) -> String {
    let mut regex = "^(?s:".to_owned();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' if characters.next_if_eq(&'*').is_some() => {
                characters.next_if_eq(&'/');
                regex.push_str(if characters.peek().is_none() { ".*" } else { "(.*/)?" });
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '\\' => {
                let escaped = characters.next().unwrap_or('\\');
                regex.push_str(&regex::escape(&escaped.to_string()));
            }
            // Character classes are alike in both.
            '[' | ']' | '^' | '-' => regex.push(character),
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
    }
    regex + ")$"
}

/// Whether `pattern`, with `*`, `?` and `[...]`, fits the whole of `path`; as `COPY` has it, where `**` is nothing special.
pub fn fits(pattern: &str, path: &str) -> Result<bool, String> {
    let pattern = pattern.trim_start_matches('/').replace("**", "*");
    let pattern = pattern.strip_prefix("./").unwrap_or(&pattern);
    Regex::new(&to_regex(pattern)).map(|regex| regex.is_match(path)).map_err(|_| "syntax error in pattern".to_owned())
}

/// Whether a source of COPY is a pattern.
pub fn is_pattern(source: &str) -> bool {
    let mut characters = source.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(patterns: &str, paths: &[&'static str]) -> Vec<&'static str> {
        let ignore = Ignore::read(patterns).unwrap();
        paths.iter().copied().filter(|path| ignore.covers(Path::new(path))).collect()
    }

    const PATHS: [&str; 8] = ["f1", "f2", "d", "d/x", "d/e/y", "d/e/f1", "x.tmp", "d/x.tmp"];

    #[test]
    fn the_last_pattern_that_fits_decides() {
        assert_eq!(covered("# said\nf*\n!f2\n", &PATHS), ["f1"]);
        assert_eq!(covered("*\n!f2\n!d/e", &PATHS), ["f1", "d", "d/x", "x.tmp", "d/x.tmp"]);
        assert_eq!(covered("d\n!d/x", &PATHS), ["d", "d/e/y", "d/e/f1", "d/x.tmp"]);
    }

    #[test]
    fn stars_stay_in_a_directory_and_double_stars_do_not() {
        assert_eq!(covered("*.tmp", &PATHS), ["x.tmp"]);
        assert_eq!(covered("**/*.tmp", &PATHS), ["x.tmp", "d/x.tmp"]);
        assert_eq!(covered("d/**", &PATHS), ["d/x", "d/e/y", "d/e/f1", "d/x.tmp"]);
        assert_eq!(covered("/d/?", &PATHS), ["d/x", "d/e/y", "d/e/f1"].to_vec());
        assert_eq!(covered("**/f1", &PATHS), ["f1", "d/e/f1"]);
        assert_eq!(covered("d/../f[12]", &PATHS), ["f1", "f2"]);
    }

    #[test]
    fn a_lone_exclamation_mark_is_refused() {
        assert_eq!(Ignore::read("!").unwrap_err(), "illegal exclusion pattern: \"!\"");
    }

    #[test]
    fn sources_of_copy_are_patterns_only_with_marks_in_them() {
        assert!(is_pattern("f*") && is_pattern("[ab]") && !is_pattern(r"f\*") && !is_pattern("f"));
        assert!(fits("f*", "f1").unwrap() && !fits("f*", "d/f1").unwrap() && fits("./d/*", "d/x").unwrap());
    }
}
