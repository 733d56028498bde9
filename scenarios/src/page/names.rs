//! Names across a page: each keeps one kind of value, and a command only uses what an earlier step has shown.

use std::collections::BTreeMap;

use super::error::Complaint;
use super::pattern::{Kind, Pattern, Token};

/// The names seen so far, with the kind and the line of their first sight.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, (Kind, usize)>);

impl Names {
    /// A pattern of output or of a prompt: it may bring names up.
    pub(super) fn expect(&mut self, line: usize, pattern: &Pattern) -> Result<(), Complaint> {
        self.check(line, pattern)?;
        for (name, kind) in pattern.names() {
            if let Some(kind) = kind {
                self.0.entry(name.to_owned()).or_insert((kind, line));
            }
        }
        Ok(())
    }

    /// A command: it may only use names that are up, and nothing that is not one text.
    pub(super) fn demand(&self, line: usize, pattern: &Pattern) -> Result<(), Complaint> {
        for token in &pattern.tokens {
            match token {
                Token::Any => return Err(Complaint::new(line, "[[..]] cannot be typed: a command needs a name")),
                Token::Value { name: None, kind } => {
                    return Err(Complaint::new(line, format!("[[:{kind}]] cannot be typed: a command needs a name")));
                }
                Token::Value { name: Some(name), .. } | Token::Named(name) if !self.0.contains_key(name) => {
                    return Err(Complaint::new(line, format!("[[{name}]] is typed before any output has shown it")));
                }
                _ => {}
            }
        }
        self.check(line, pattern)
    }

    fn check(&self, line: usize, pattern: &Pattern) -> Result<(), Complaint> {
        let mut here: BTreeMap<&str, Kind> = BTreeMap::new();
        for (name, kind) in pattern.names() {
            let known = here.get(name).copied().or_else(|| self.0.get(name).map(|(kind, _)| *kind));
            match (known, kind) {
                (None, None) => {
                    let what = format!(
                        "[[{name}]] has no kind yet: write [[{name}:id]] (or another kind) where it is first seen"
                    );
                    return Err(Complaint::new(line, what));
                }
                (Some(known), Some(kind)) if known.space() != kind.space() => {
                    let first = self.0.get(name).map_or(line, |(_, line)| *line);
                    let what = format!(
                        "[[{name}:{kind}]]: on line {first} '{name}' is of kind {known}; one name, one kind of value"
                    );
                    return Err(Complaint::new(line, what));
                }
                (None, Some(kind)) => {
                    here.insert(name, kind);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
