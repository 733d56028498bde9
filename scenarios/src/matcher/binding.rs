//! What each name of a page stands for, since which step.

use std::collections::BTreeMap;
use std::fmt;

use crate::page::pattern::Space;
use crate::page::{Kind, Pattern, Token};

/// Where on the page a name got its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Origin {
    /// Number of the step.
    pub step: usize,
    /// Line of the page.
    pub line: usize,
}

/// One name's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binding {
    /// As long as it is known: of an id perhaps only the first 12 digits, never with `sha256:`.
    pub value: String,
    /// Whether the value is compared as an id (by prefix) or as it is.
    is_hex: bool,
    is_distinct: bool,
    /// Where it was first seen.
    pub origin: Origin,
}

/// All names bound so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bindings(BTreeMap<String, Binding>);

/// Why a text cannot be what a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clash {
    /// The name stands for something else.
    Other {
        /// The name and what it stands for.
        name: String,
        /// Its binding.
        bound: Binding,
        /// What came instead.
        found: String,
    },
    /// Another name stands for this value.
    Taken {
        /// The name that would be bound.
        name: String,
        /// The name that has the value.
        by: String,
        /// That name's binding.
        bound: Binding,
    },
    /// The pattern repeats a name that no output has bound on this target.
    Unbound(String),
}

impl Bindings {
    /// Binds `name` to `text`, or holds it against what is bound.
    pub fn bind(&mut self, name: &str, kind: Kind, text: &str, origin: Origin) -> Result<(), Clash> {
        let is_hex = kind.space() == Space::Hex;
        let value = if is_hex { text.strip_prefix("sha256:").unwrap_or(text) } else { text };
        if let Some(bound) = self.0.get_mut(name) {
            if !bound.is_same(value) {
                return Err(Clash::Other { name: name.to_owned(), bound: bound.clone(), found: text.to_owned() });
            }
            if value.len() > bound.value.len() {
                bound.value = value.to_owned();
            }
        } else {
            let binding = Binding { value: value.to_owned(), is_hex, is_distinct: kind.space().is_distinct(), origin };
            self.0.insert(name.to_owned(), binding);
        }
        let binding = &self.0[name];
        let taken = self.0.iter().find(|(other, bound)| {
            binding.is_distinct
                && *other != name
                && bound.is_hex == is_hex
                && bound.is_distinct
                && bound.is_same(&binding.value)
        });
        match taken {
            Some((by, bound)) => Err(Clash::Taken { name: name.to_owned(), by: by.clone(), bound: bound.clone() }),
            None => Ok(()),
        }
    }

    /// What `name` stands for.
    pub fn get(&self, name: &str) -> Option<&Binding> {
        self.0.get(name)
    }

    /// Names and values in order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Binding)> {
        self.0.iter().map(|(name, binding)| (name.as_str(), binding))
    }

    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text to type for a command; the error says which name has no such value.
    pub fn fill(&self, command: &Pattern) -> Result<String, String> {
        command.tokens.iter().map(|token| self.fill_token(token)).collect()
    }

    fn fill_token(&self, token: &Token) -> Result<String, String> {
        let (name, kind) = match token {
            Token::Literal(text) => return Ok(text.clone()),
            Token::Named(name) => (name, None),
            Token::Value { name: Some(name), kind } => (name, Some(*kind)),
            Token::Any | Token::Value { name: None, .. } => {
                return Err("a command holds a placeholder without a name".into());
            }
        };
        let bound =
            self.get(name).ok_or_else(|| format!("[[{name}]] is not bound: no step on this target has shown it"))?;
        let full = bound.value.len() == 64;
        match kind {
            Some(Kind::Short) => Ok(bound.value.chars().take(12).collect()),
            Some(Kind::Digest) if full => Ok(format!("sha256:{}", bound.value)),
            Some(Kind::Id | Kind::Digest) if !full => {
                Err(format!("of [[{name}]] only '{}' is known, so it cannot be typed in full", bound.value))
            }
            _ => Ok(bound.value.clone()),
        }
    }
}

impl Binding {
    fn is_same(&self, value: &str) -> bool {
        if self.is_hex { self.value.starts_with(value) || value.starts_with(&self.value) } else { self.value == value }
    }

    /// Whether the value is an id.
    pub fn is_id(&self) -> bool {
        self.is_hex
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clash::Other { name, bound, found } => {
                let Origin { step, line } = bound.origin;
                write!(f, "[[{name}]] is {} since step {step} (line {line}), but here stands {found}", bound.value)
            }
            Clash::Taken { name, by, bound } => {
                let Origin { step, line } = bound.origin;
                write!(f, "[[{name}]] would be {}, which is [[{by}]] since step {step} (line {line})", bound.value)
            }
            Clash::Unbound(name) => write!(f, "[[{name}]] is not bound: no step on this target has shown it"),
        }
    }
}
