//! Notes below a table: a reason that is given twice has one number.

/// Numbered reasons, in the order in which they were first given.
#[derive(Default)]
pub struct Notes(pub Vec<String>);

impl Notes {
    /// The number of a reason, from 1 on.
    pub fn number(&mut self, note: &str) -> usize {
        let found = self.0.iter().position(|known| known == note);
        1 + found.unwrap_or_else(|| {
            self.0.push(note.to_owned());
            self.0.len() - 1
        })
    }
}
