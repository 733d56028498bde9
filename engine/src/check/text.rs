//! A file of the books: what it says, or why it says nothing.

use std::fs;
use std::io;
use std::path::Path;

use crate::sys::reason::reason;

/// A file of the books.
pub(super) enum Text {
    Is(String),
    Missing,
    Unreadable(String),
}

impl Text {
    pub(super) fn read(path: &Path) -> Text {
        match fs::read_to_string(path) {
            Ok(text) => Text::Is(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Text::Missing,
            Err(error) => Text::Unreadable(reason(&error)),
        }
    }

    /// What it says, if that can be read.
    pub(super) fn said(path: &Path) -> Option<String> {
        match Text::read(path) {
            Text::Is(text) => Some(text),
            Text::Missing | Text::Unreadable(_) => None,
        }
    }

    /// What is wrong with a file whose text must be `sound`, in words that go on after its name.
    pub(super) fn fault(path: &Path, sound: impl Fn(&str) -> bool) -> Option<String> {
        match Text::read(path) {
            Text::Is(text) if sound(&text) => None,
            Text::Is(text) => Some(format!("says {text:?}")),
            Text::Missing => Some("is missing".to_owned()),
            Text::Unreadable(why) => Some(format!("cannot be read: {why}")),
        }
    }
}
