//! Tells one page from before its lab is entered until after: what is written inside has to get out.

use std::fs::File;

use super::{Card, Circumstances, Folder, HtmlError, Told, page};
use crate::lab::machine::command;
use crate::page::Page;
use crate::replay::{PageOutcome, PageReport};

/// A page on its way to a [`Folder`].
#[derive(Debug)]
pub struct Telling {
    /// The page's Markdown, read while its file can be reached.
    text: String,
    /// Written in the lab, read outside.
    file: File,
    card: Card,
}

impl Telling {
    /// Outside, before the lab is entered.
    pub fn begin(page: &Page, target: &str, is_rootless: bool) -> Result<Telling, HtmlError> {
        let text = std::fs::read_to_string(&page.path)
            .map_err(|source| HtmlError::Read { path: page.path.clone(), source })?;
        let on = Circumstances {
            target: target.to_owned(),
            version: String::new(),
            is_rootless: is_rootless || !nix::unistd::geteuid().is_root(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            date: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M").to_string(),
        };
        let card = Card { name: page.name(), title: page.title.clone(), on, ..Card::default() };
        Ok(Telling { text, file: tempfile::tempfile()?, card })
    }

    /// Inside the lab, when the page has been replayed.
    pub fn tell(&self, of: &Page, report: &PageReport) -> Result<(), HtmlError> {
        let on = Circumstances { version: version_in_lab(), ..self.card.on.clone() };
        let (html, card) = page(of, &self.text, report, &on)?;
        Told { card, html }.write(&self.file)
    }

    /// Outside again; a page of which nothing was told is only listed, with the reason.
    pub fn end(self, folder: &mut Folder, outcome: &PageOutcome) -> Result<(), HtmlError> {
        let reason = match outcome {
            PageOutcome::Skipped { reason } => reason.clone(),
            _ => "the replay broke off; the console says why".to_owned(),
        };
        match Told::read(&self.file)? {
            Some(told) => folder.add(told),
            None => {
                folder.add_without_page(Card { reason, ..self.card });
                Ok(())
            }
        }
    }
}

/// What `docker` says of its version in the lab; nothing if it cannot be asked.
fn version_in_lab() -> String {
    let said = command("docker").arg("--version").output();
    said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
