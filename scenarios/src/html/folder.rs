//! The folder that holds the HTML pages of a run, and how a page gets out of its lab into it.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Card, HtmlError, index};

/// What became of a page in its lab.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    /// What the list tells of it.
    pub card: Card,
    /// The page itself.
    pub html: String,
}

impl Told {
    /// Writes it to a file that was opened outside, since inside a lab there is another root.
    pub fn write(&self, mut file: &File) -> Result<(), HtmlError> {
        let json = serde_json::to_vec(self).map_err(std::io::Error::from)?;
        Ok(file.write_all(&json)?)
    }

    /// What was written to a file; `None` if nothing was.
    pub fn read(mut file: &File) -> Result<Option<Told>, HtmlError> {
        file.rewind()?;
        match file.metadata()?.len() {
            0 => Ok(None),
            _ => Ok(Some(serde_json::from_reader(std::io::BufReader::new(file)).map_err(std::io::Error::from)?)),
        }
    }
}

/// A folder of HTML pages.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    cards: Vec<Card>,
}

impl Folder {
    /// Makes the folder if it is not there; pages of earlier runs stay until they are written again.
    pub fn create(path: &Path) -> Result<Folder, HtmlError> {
        let wrong = |source| HtmlError::Write { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(wrong)?;
        let path = path.canonicalize().map_err(wrong)?;
        Ok(Folder { path, cards: Vec::new() })
    }

    /// Writes a page.
    pub fn add(&mut self, told: Told) -> Result<(), HtmlError> {
        self.write(&format!("{}.html", told.card.name), &told.html)?;
        self.cards.push(told.card);
        Ok(())
    }

    /// Notes a page that was not replayed.
    pub fn add_without_page(&mut self, card: Card) {
        self.cards.push(card);
    }

    /// Writes the list; gives the file to open first: the page itself if there is one only.
    pub fn finish(self) -> Result<PathBuf, HtmlError> {
        self.write("index.html", &index(&self.cards)?)?;
        Ok(match &self.cards[..] {
            [card] if card.has_page => self.path.join(format!("{}.html", card.name)),
            _ => self.path.join("index.html"),
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<(), HtmlError> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|source| HtmlError::Write { path, source })
    }
}

/// The address under which a browser opens a file.
pub fn address(path: &Path) -> String {
    let mut address = "file://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => address.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => address.push(char::from(*byte)),
            byte => address += &format!("%{byte:02X}"),
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> Told {
        Told { card: Card { name: name.into(), has_page: true, ..Card::default() }, html: format!("<p>{name}") }
    }

    #[test]
    fn what_is_told_through_a_file_comes_out_as_it_was() {
        let file = tempfile::tempfile().unwrap();
        assert!(Told::read(&file).unwrap().is_none());
        told("x").write(&file).unwrap();
        assert_eq!(Told::read(&file).unwrap().unwrap().html, "<p>x");
    }

    #[test]
    fn a_folder_holds_its_pages_and_a_list_of_all() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = Folder::create(&root.path().join("a/b")).unwrap();
        folder.add(told("one")).unwrap();
        folder.add_without_page(Card { name: "two".into(), reason: "no dockerd <here>".into(), ..Card::default() });
        let first = folder.finish().unwrap();
        assert!(first.ends_with("a/b/index.html"));
        let list = fs::read_to_string(first).unwrap();
        assert!(list.contains("href=\"one.html\"") && !list.contains("two.html"), "{list}");
        assert!(list.contains("no dockerd &lt;here&gt;"), "{list}");
        assert_eq!(fs::read_to_string(root.path().join("a/b/one.html")).unwrap(), "<p>one");
    }

    #[test]
    fn an_address_has_no_blanks() {
        assert_eq!(address(Path::new("/a b/ü.html")), "file:///a%20b/%C3%BC.html");
    }
}
