//! What can be wrong with a page, always with file and line.

use std::path::PathBuf;

/// A page that could not be read or understood.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The file is not there or not readable.
    #[error("cannot read the page {}: {source}", path.display())]
    Read {
        /// The page.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line the format does not know.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The page.
        path: PathBuf,
        /// Line of the page, from 1.
        line: usize,
        /// What is wrong and what to write instead.
        what: String,
    },
}

/// A complaint about one line, before the file's name is added.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) line: usize,
    pub(super) what: String,
}

impl Complaint {
    pub(super) fn new(line: usize, what: impl Into<String>) -> Self {
        Complaint { line, what: what.into() }
    }
}
