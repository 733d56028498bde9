//! Tells a replay as one HTML page that needs nothing else: prose, each step with what came, and pictures of the disk.
//!
//! *Why*: whoever would rather look than read sees where a layer lies and what a command does to it.
//! *Holds*: output, layers and changes are those of the run; what comes from elsewhere than our templates is escaped; the
//! same ID, and all IDs of one layer, have the same colour everywhere on a page.
//! *Never*: anything is loaded from elsewhere; a page needs a script to be read.
//! *Proved by*: `scenarios/tests/html.rs`.

mod card;
mod changes;
mod folder;
mod ids;
mod markdown;
mod page;
mod picture;
mod places;
mod step;
mod table;
mod telling;
mod templates;

pub use card::{Card, Circumstances, index};
pub use folder::{Folder, Told, address};
pub use page::page;
pub use telling::Telling;

/// A page that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    /// One of our templates is wrong.
    #[error("cannot fill the template of an HTML page: {0}")]
    Template(#[from] minijinja::Error),
    /// The folder or a file in it.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The page's Markdown.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The page.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was told inside the lab did not come out.
    #[error("cannot take what is told of a page out of its lab: {0}")]
    Told(#[from] std::io::Error),
}

/// Text made safe between tags and in quoted attributes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // HTML has no control characters; their pictures show that something was there.
            '\n' | '\t' => safe.push(sign),
            sign if sign < ' ' => safe.push(char::from_u32(0x2400 + sign as u32).unwrap_or('\u{fffd}')),
            sign => safe.push(sign),
        }
    }
    safe
}

/// A size as Docker shows it: powers of 1000, three digits.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return match value {
                value if value.fract() == 0.0 || value >= 100.0 => format!("{value:.0}{unit}"),
                value if value >= 10.0 => format!("{value:.1}{unit}"),
                value => format!("{value:.2}{unit}"),
            };
        }
        value /= 1000.0;
    }
    format!("{value:.2}TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_control_characters_are_shown() {
        assert_eq!(escape("<a b='\"'>&\x1b\n"), "&lt;a b=&#39;&quot;&#39;&gt;&amp;\u{241b}\n");
    }

    #[test]
    fn sizes_have_three_digits() {
        let sizes = [0, 12, 1234, 12_345, 3_100_000].map(size);
        assert_eq!(sizes, ["0B", "12B", "1.23kB", "12.3kB", "3.10MB"]);
    }
}
