//! The table at which both play: who has the turn, what must exist, and every command so far.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::files::Files;
use super::model::{Container, ImageId, Model};
use super::player::{Said, Who, ask};

/// How many lines of a text are shown.
const LINES: usize = 8;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub what: String,
    pub expected: String,
    pub observed: String,
}

impl Fault {
    pub fn new(what: impl Into<String>, expected: impl Into<String>, observed: impl Into<String>) -> Fault {
        Fault { what: what.into(), expected: expected.into(), observed: observed.into() }
    }

    /// What the campaign itself could not do.
    pub fn io<E: fmt::Display>(what: impl Into<String>) -> impl Fn(E) -> Fault {
        let what = what.into();
        move |error| Fault::new(what.clone(), "can be used", error.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.what)?;
        for (word, text) in [("expected", &self.expected), ("observed", &self.observed)] {
            let lines = text.lines().chain(text.is_empty().then_some("nothing"));
            for (number, line) in lines.take(LINES).enumerate() {
                writeln!(f, "    {:<9} {line}", if number == 0 { word } else { "" })?;
            }
            if let more @ 1.. = text.lines().count().saturating_sub(LINES) {
                writeln!(f, "    {:<9} … and {more} lines more", "")?;
            }
        }
        Ok(())
    }
}

pub struct Table {
    pub who: Who,
    pub model: Model,
    /// Where archives and build contexts lie.
    pub place: PathBuf,
    /// All commands so far that changed something, as they were typed.
    pub told: Vec<String>,
}

impl Table {
    pub fn new(place: PathBuf) -> Table {
        Table { who: Who::Layerlab, model: Model::default(), place, told: Vec::new() }
    }

    /// Runs a command that only looks.
    pub fn looks<W: AsRef<str>>(&self, words: &[W]) -> Result<Said, Fault> {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        ask(self.who, &words, &self.place, &[]).map_err(|error: io::Error| Fault::io(line(&words))(error))
    }

    /// Remembers a command.
    pub fn tell(&mut self, words: &[&str]) {
        self.told.push(line(words));
    }

    /// Runs a command, and remembers it.
    pub fn asks<W: AsRef<str>>(&mut self, words: &[W]) -> Result<Said, Fault> {
        let typed = line(&words.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        if self.told.last() != Some(&typed) {
            self.told.push(typed);
        }
        self.looks(words)
    }

    /// A command that must end with this code; its standard output.
    pub fn exits<W: AsRef<str>>(&mut self, words: &[W], code: i32) -> Result<String, Fault> {
        let said = self.asks(words)?;
        if said.code != code {
            let typed = line(&words.iter().map(AsRef::as_ref).collect::<Vec<_>>());
            let observed = format!("exit code {}\n{}\n{}", said.code, said.text(), said.errors);
            return Err(Fault::new(typed, format!("exit code {code}"), observed.trim()));
        }
        Ok(String::from_utf8_lossy(&said.output).into_owned())
    }

    /// A command that must succeed with this standard input.
    pub fn takes(&mut self, words: &[&str], input: &[u8]) -> Result<(), Fault> {
        self.told.push(format!("{} < ({} bytes)", line(words), input.len()));
        let said =
            ask(self.who, words, &self.place, input).map_err(|error: io::Error| Fault::io(line(words))(error))?;
        match said.code {
            0 => Ok(()),
            code => Err(Fault::new(line(words), "exit code 0", format!("exit code {code}\n{}", said.errors))),
        }
    }

    /// A command that must succeed; its standard output without blanks at its ends.
    pub fn succeeds<W: AsRef<str>>(&mut self, words: &[W]) -> Result<String, Fault> {
        Ok(self.exits(words, 0)?.trim().to_owned())
    }

    /// What a command that only looks says, which must succeed, without blanks at its ends.
    pub fn sees(&self, words: &[&str]) -> Result<String, Fault> {
        let said = self.looks(words)?;
        match said.code {
            0 => Ok(said.text()),
            code => Err(Fault::new(line(words), "exit code 0", format!("exit code {code}\n{}", said.errors))),
        }
    }

    /// A command that must be refused with these words.
    pub fn refuses(&mut self, words: &[&str], why: &str) -> Result<(), Fault> {
        let said = self.asks(words)?;
        if said.code == 0 || !said.errors.contains(why) {
            let observed = format!("exit code {}\n{}\n{}", said.code, said.text(), said.errors);
            return Err(Fault::new(line(words), format!("a refusal: {why}"), observed.trim()));
        }
        Ok(())
    }

    pub fn equal(&self, what: &str, expected: &str, observed: &str) -> Result<(), Fault> {
        match expected == observed {
            true => Ok(()),
            false => {
                let after = self.told.last().map(|typed| format!("{what} of: {typed}")).unwrap_or_default();
                Err(Fault::new(after, expected, observed))
            }
        }
    }

    /// A container of the model; acts name only those that are there.
    pub fn container(&mut self, name: &str) -> &mut Container {
        self.model.containers.get_mut(name).unwrap_or_else(|| panic!("an act names the container {name}, which is not"))
    }

    /// Notes an image and that a name means it.
    pub fn names_image(&mut self, name: &str, id: &str, files: Files, parent: Option<ImageId>) {
        self.model.add_image(id, files, parent);
        self.model.names.insert(name.to_owned(), id.to_owned());
    }
}

/// A command as it would be typed into a shell.
fn line(words: &[&str]) -> String {
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@".contains(c));
    let quoted = |word: &str| if plain(word) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) };
    std::iter::once("docker".to_owned()).chain(words.iter().map(|word| quoted(word))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_so_that_a_shell_takes_it() {
        assert_eq!(
            line(&["run", "a:1", "sh", "-c", "echo 'x'; exit 3"]),
            r"docker run a:1 sh -c 'echo '\''x'\''; exit 3'"
        );
    }

    #[test]
    fn a_fault_shows_both_sides() {
        let fault = Fault::new("docker ps", "one\ntwo", "");
        assert_eq!(fault.to_string(), "  docker ps\n    expected  one\n              two\n    observed  nothing\n");
    }
}
