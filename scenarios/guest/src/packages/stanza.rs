//! Debian's control format: stanzas of `Field: value`, apart by blank lines, as in `Packages`, `Release` and `status`.

use std::fmt;
use std::path::Path;

/// One stanza, its fields in order; the lines of a longer value stand below each other.
#[derive(Clone, Default)]
pub struct Stanza {
    fields: Vec<(String, String)>,
}

impl Stanza {
    /// The value of a field, empty when it has none.
    pub fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }

    /// The names in `Depends`, without versions.
    pub fn depends(&self) -> impl Iterator<Item = &str> {
        self.get("Depends").split(',').filter_map(|one| one.split_whitespace().next())
    }
}

impl fmt::Display for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {}", value.replace('\n', "\n ")))
    }
}

/// All stanzas of a text.
pub fn parse(text: &str) -> Vec<Stanza> {
    let mut all = vec![Stanza::default()];
    for line in text.lines() {
        let Some(last) = all.last_mut() else { break };
        if line.trim().is_empty() {
            all.push(Stanza::default());
        } else if let Some(more) = line.strip_prefix(' ') {
            if let Some((_, value)) = last.fields.last_mut() {
                value.push('\n');
                value.push_str(more.trim_start());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            last.fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    all.retain(|stanza| !stanza.fields.is_empty());
    all
}

/// All stanzas of a file; none when it is not there.
pub fn read(path: impl AsRef<Path>) -> Vec<Stanza> {
    std::fs::read_to_string(path).map(|text| parse(&text)).unwrap_or_default()
}

/// The text of stanzas, a blank line after each.
pub fn text(stanzas: &[Stanza]) -> String {
    stanzas.iter().map(|stanza| format!("{stanza}\n")).collect()
}
