//! One line of text with placeholders: what a page writes where ids, times and sizes differ from run to run.
//!
//! `[[..]]` is any text within the line; `[[name:kind]]` binds on first sight and must be the same ever after; `[[:kind]]`
//! only has to be of that kind; `[[name]]` repeats a name bound before. All else is literal, `[[ -f x ]]` of a shell included.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// A line with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As the page writes it, blanks at the end removed.
    pub source: String,
    /// The same in pieces.
    pub tokens: Vec<Token>,
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// This very text.
    Literal(String),
    /// `[[..]]`.
    Any,
    /// `[[name:kind]]` or `[[:kind]]`.
    Value {
        /// The name to bind or to be equal to.
        name: Option<String>,
        /// What may stand there.
        kind: Kind,
    },
    /// `[[name]]`.
    Named(String),
}

/// What kind of text a placeholder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 64 lower-case hex digits: a container, image, layer or cache id.
    Id,
    /// The first 12 digits of an id.
    Short,
    /// `sha256:` and an id.
    Digest,
    /// 26 of `A-Z2-7`: a short link of overlay2's `l/`.
    Link,
    /// `2 minutes ago`, `Less than a second ago`.
    Ago,
    /// `2 minutes`, `About an hour`.
    Duration,
    /// `4.33MB`, `0B`.
    Size,
    /// RFC 3339.
    Time,
    /// 1 to 65535.
    Port,
    /// An IPv4 or IPv6 address.
    Ip,
    /// Digits, with a fraction perhaps.
    Number,
    /// `20.10.24+dfsg1`.
    Version,
    /// Text without blanks.
    Word,
}

/// Kinds of one space hold comparable values: an id and its short form are one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Id, short and digest.
    Hex,
    /// Any other kind is a space of its own.
    Own(Kind),
}

impl Kind {
    /// Every kind, in the order the format documents them.
    pub const ALL: [Kind; 13] = [
        Kind::Id,
        Kind::Short,
        Kind::Digest,
        Kind::Link,
        Kind::Ago,
        Kind::Duration,
        Kind::Size,
        Kind::Time,
        Kind::Port,
        Kind::Ip,
        Kind::Number,
        Kind::Version,
        Kind::Word,
    ];

    /// The word a page writes.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Id => "id",
            Kind::Short => "short",
            Kind::Digest => "digest",
            Kind::Link => "link",
            Kind::Ago => "ago",
            Kind::Duration => "duration",
            Kind::Size => "size",
            Kind::Time => "time",
            Kind::Port => "port",
            Kind::Ip => "ip",
            Kind::Number => "number",
            Kind::Version => "version",
            Kind::Word => "word",
        }
    }

    fn from_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Which values this kind can be compared with.
    pub fn space(self) -> Space {
        match self {
            Kind::Id | Kind::Short | Kind::Digest => Space::Hex,
            other => Space::Own(other),
        }
    }
}

impl Space {
    /// Whether two names of this space may never stand for the same value.
    pub fn is_distinct(self) -> bool {
        matches!(self, Space::Hex | Space::Own(Kind::Link))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// `[[`, an optional name, an optional `:kind`, `]]`: whatever has this shape is a placeholder or a mistake.
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\[\[(?:(\.\.)|([A-Za-z0-9_-]*)(?::([A-Za-z0-9_-]*))?)\]\]").expect("a valid expression")
});

impl Pattern {
    /// Takes a line apart; the error says which placeholder is wrong and why.
    pub fn parse(line: &str) -> Result<Pattern, String> {
        let source = line.trim_end();
        let mut tokens = Vec::new();
        let mut done = 0;
        for found in PLACEHOLDER.captures_iter(source) {
            let whole = found.get(0).expect("group 0 is the match");
            push_literal(&mut tokens, &source[done..whole.start()]);
            done = whole.end();
            let name = found.get(2).map(|m| m.as_str()).unwrap_or_default();
            tokens.push(match (found.get(1), found.get(3)) {
                (Some(_), _) => Token::Any,
                (None, kind) => value(whole.as_str(), name, kind.map(|m| m.as_str()))?,
            });
        }
        push_literal(&mut tokens, &source[done..]);
        Ok(Pattern { source: source.to_owned(), tokens })
    }

    /// The names this pattern binds or demands, with the kind where it gives one.
    pub fn names(&self) -> impl Iterator<Item = (&str, Option<Kind>)> {
        self.tokens.iter().filter_map(|token| match token {
            Token::Value { name: Some(name), kind } => Some((name.as_str(), Some(*kind))),
            Token::Named(name) => Some((name.as_str(), None)),
            _ => None,
        })
    }
}

fn push_literal(tokens: &mut Vec<Token>, text: &str) {
    if !text.is_empty() {
        tokens.push(Token::Literal(text.to_owned()));
    }
}

fn value(whole: &str, name: &str, kind: Option<&str>) -> Result<Token, String> {
    let named = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !name.is_empty() && !named {
        return Err(format!("{whole}: a name begins with a lower-case letter and goes on with a-z, 0-9 and '-'"));
    }
    match kind {
        None if name.is_empty() => Err(format!("{whole}: write [[..]] for any text, or give a name or a kind")),
        None => Ok(Token::Named(name.to_owned())),
        Some(word) => {
            let words = || Kind::ALL.map(Kind::word).join(", ");
            let kind =
                Kind::from_word(word).ok_or_else(|| format!("{whole}: no kind '{word}'; there are {}", words()))?;
            Ok(Token::Value { name: (!name.is_empty()).then(|| name.to_owned()), kind })
        }
    }
}
