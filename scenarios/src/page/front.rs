//! The front matter: what a page says about itself before its title.

use super::error::Complaint;

/// What stood between the `---` lines.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) source: Option<String>,
    pub(super) needs: Vec<String>,
    pub(super) targets: Vec<String>,
}

impl Default for Front {
    fn default() -> Self {
        Front { source: None, needs: Vec::new(), targets: vec!["layerlab".into(), "docker".into()] }
    }
}

impl Front {
    /// Takes in `key: value` lines; `first_line` is the page line of the first of them.
    pub(super) fn take(&mut self, text: &str, first_line: usize) -> Result<(), Complaint> {
        for (line, content) in (first_line..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty()) {
            let (key, value) = content.split_once(':').ok_or_else(|| {
                Complaint::new(line, format!("'{content}': a line of the front matter is `key: value`"))
            })?;
            match key.trim() {
                "source" => self.source = Some(value.trim().to_owned()),
                "needs" => self.needs = list(value),
                "targets" => self.targets = list(value),
                other => {
                    return Err(Complaint::new(line, format!("no key '{other}'; there are source, needs and targets")));
                }
            }
        }
        Ok(())
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
