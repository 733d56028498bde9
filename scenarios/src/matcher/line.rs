//! Holds one line against one pattern, backtracking over everything that may be shorter or longer.

use std::collections::HashSet;

use super::binding::{Bindings, Clash, Origin};
use super::kind::candidate_lengths;
use crate::page::{Kind, Pattern, Token};

/// How lines are compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineRules {
    /// Any run of two or more blanks equals any other.
    pub columns: bool,
    /// Names bind nothing and demand nothing: only kinds count. For finding out what a line was meant to be.
    pub ignore_names: bool,
}

/// Matches the whole of `text` (blanks at its end apart); names seen for the first time are bound in what is returned.
pub fn match_line(
    pattern: &Pattern,
    text: &str,
    rules: LineRules,
    bindings: &Bindings,
    origin: Origin,
) -> Option<Bindings> {
    let text = text.trim_end();
    let mut search =
        Search { pieces: pieces(pattern, rules), text, rules, origin, failed: HashSet::new(), clash: None };
    search.from(0, 0, bindings)
}

/// Why `text` does not match although it has the right shape, if that is so.
pub(super) fn clash(
    pattern: &Pattern,
    text: &str,
    rules: LineRules,
    bindings: &Bindings,
    origin: Origin,
) -> Option<Clash> {
    let text = text.trim_end();
    match_line(pattern, text, LineRules { ignore_names: true, ..rules }, bindings, origin)?;
    let mut search =
        Search { pieces: pieces(pattern, rules), text, rules, origin, failed: HashSet::new(), clash: None };
    match search.from(0, 0, bindings) {
        Some(_) => None,
        None => search.clash,
    }
}

/// A token, with literals taken apart at wide blanks where columns do not count.
enum Piece<'p> {
    Literal(&'p str),
    WideBlank,
    Any,
    Value(Option<&'p str>, Kind),
    Named(&'p str),
}

fn pieces(pattern: &Pattern, rules: LineRules) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for token in &pattern.tokens {
        match token {
            Token::Literal(text) if rules.columns => split_at_wide_blanks(text, &mut pieces),
            Token::Literal(text) => pieces.push(Piece::Literal(text)),
            Token::Any => pieces.push(Piece::Any),
            Token::Value { name, kind } => pieces.push(Piece::Value(name.as_deref(), *kind)),
            Token::Named(name) => pieces.push(Piece::Named(name)),
        }
    }
    pieces
}

fn split_at_wide_blanks<'p>(text: &'p str, pieces: &mut Vec<Piece<'p>>) {
    let mut rest = text;
    while let Some(at) = rest.find("  ") {
        if at > 0 {
            pieces.push(Piece::Literal(&rest[..at]));
        }
        pieces.push(Piece::WideBlank);
        rest = rest[at..].trim_start_matches(' ');
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
}

struct Search<'p> {
    pieces: Vec<Piece<'p>>,
    text: &'p str,
    rules: LineRules,
    origin: Origin,
    /// Places from which no match was found, with the names known there: keeps the search from doing work twice.
    failed: HashSet<(usize, usize, Bindings)>,
    clash: Option<Clash>,
}

impl Search<'_> {
    fn from(&mut self, piece: usize, at: usize, bindings: &Bindings) -> Option<Bindings> {
        if piece == self.pieces.len() {
            return (at == self.text.len()).then(|| bindings.clone());
        }
        let branches = matches!(self.pieces[piece], Piece::Any | Piece::Value(..));
        if branches && self.failed.contains(&(piece, at, bindings.clone())) {
            return None;
        }
        let found = self.step(piece, at, bindings);
        if branches && found.is_none() {
            self.failed.insert((piece, at, bindings.clone()));
        }
        found
    }

    fn step(&mut self, piece: usize, at: usize, bindings: &Bindings) -> Option<Bindings> {
        let rest = &self.text[at..];
        match self.pieces[piece] {
            Piece::Literal(literal) => {
                rest.starts_with(literal).then_some(())?;
                self.from(piece + 1, at + literal.len(), bindings)
            }
            Piece::WideBlank => {
                let width = rest.len() - rest.trim_start_matches(' ').len();
                (width >= 2).then_some(())?;
                self.from(piece + 1, at + width, bindings)
            }
            Piece::Any => {
                let ends = rest.char_indices().map(|(end, _)| end).chain([rest.len()]);
                ends.into_iter().find_map(|end| self.from(piece + 1, at + end, bindings))
            }
            Piece::Value(name, kind) => {
                let mut lengths = candidate_lengths(kind, rest).into_iter();
                lengths.find_map(|length| self.value(piece, at, name, kind, length, bindings))
            }
            Piece::Named(name) => self.named(piece, at, name, bindings),
        }
    }

    fn value(
        &mut self,
        piece: usize,
        at: usize,
        name: Option<&str>,
        kind: Kind,
        length: usize,
        bindings: &Bindings,
    ) -> Option<Bindings> {
        let next = at + length;
        let Some(name) = name.filter(|_| !self.rules.ignore_names) else { return self.from(piece + 1, next, bindings) };
        let mut bound = bindings.clone();
        match bound.bind(name, kind, &self.text[at..next], self.origin) {
            Ok(()) => self.from(piece + 1, next, &bound),
            Err(clash) => {
                self.clash.get_or_insert(clash);
                None
            }
        }
    }

    /// `[[name]]`: an id in any of its forms, any other value as it is.
    fn named(&mut self, piece: usize, at: usize, name: &str, bindings: &Bindings) -> Option<Bindings> {
        let Some(bound) = bindings.get(name) else {
            self.clash.get_or_insert(Clash::Unbound(name.to_owned()));
            return None;
        };
        if bound.is_id() {
            let kinds = [Kind::Digest, Kind::Id, Kind::Short];
            return kinds.into_iter().find_map(|kind| {
                let mut lengths = candidate_lengths(kind, &self.text[at..]).into_iter();
                lengths.find_map(|length| self.value(piece, at, Some(name), kind, length, bindings))
            });
        }
        let length = bound.value.len();
        self.text[at..].starts_with(&bound.value).then_some(())?;
        self.from(piece + 1, at + length, bindings)
    }
}
