//! The page that lists the pages of a run, and what it tells of each.

use serde::{Deserialize, Serialize};

use super::{HtmlError, templates};

/// On what a page was replayed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Circumstances {
    /// Name of the target.
    pub target: String,
    /// What the target says of its version; empty if it says nothing.
    pub version: String,
    /// Whether the lab is an ordinary user's.
    pub is_rootless: bool,
    /// Release of the kernel.
    pub kernel: String,
    /// When: date and time.
    pub date: String,
}

/// What the list tells of one page.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Card {
    /// The page's name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Why it was not replayed, or not to its end by an error; empty if it was.
    pub reason: String,
    /// Steps that came out as the page says.
    pub passed: usize,
    /// Number of the step that did not.
    pub failed: Option<usize>,
    /// Steps that were not typed.
    pub not_run: usize,
    /// Steps in which it is unlike the target named beside.
    pub differences: usize,
    /// With which target it is compared.
    pub unlike: String,
    /// Steps after which something else lay on disk.
    pub changes: usize,
    /// Storage drivers found in the data root.
    pub drivers: Vec<String>,
    /// On what it was replayed.
    pub on: Circumstances,
    /// Whether there is a page to open.
    pub has_page: bool,
}

/// The list of a run's pages.
pub fn index(cards: &[Card]) -> Result<String, HtmlError> {
    templates::fill("index.html", &serde_json::json!({ "cards": cards }))
}
