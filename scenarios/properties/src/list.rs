//! `--list`: the laws, what can be held against them, and what that can lie on here.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use layerlab_scenarios::lab::prepare::workspace_root;

use crate::backing::{Backing, BackingError, LOOP_TYPES};
use crate::laws;
use crate::machine::Host;
use crate::situations;
use crate::stores;
use crate::subjects::{self, program};

/// Everything that can be named on the command line, with what it is, or why it cannot be had. Call this in a mount namespace of one's
/// own: file systems are tried.
pub fn list(host: &Host) -> anyhow::Result<String> {
    let mut text = String::from("laws:\n");
    for law in laws::ALL {
        let _ = writeln!(text, "  {}\n      {}", law.name(), equation("laws", law.name()));
    }
    text += "situations, which are laws too:\n";
    for situation in situations::ALL.iter() {
        let _ = writeln!(text, "  {}", situation.name());
    }
    text += "laws of a store of images:\n";
    for law in stores::laws::ALL {
        let _ = writeln!(text, "  {}\n      {}", law.name(), equation("stores/laws", law.name()));
    }
    text += "subjects (--subject):\n";
    let place = Backing::Tmpfs.make()?;
    for subject in subjects::all() {
        let refusal = subject.refusal(host).or_else(|| subject.refusal_on(place.path()));
        let _ = writeln!(text, "  {:<34} {}", subject.name(), refusal.unwrap_or_else(|| "can run".to_owned()));
    }
    for name in program::foreigners() {
        let tried = program::foreign(name, program::LIMIT).and_then(|program| match program {
            Some(program) => program.trial(place.path()),
            None => Ok(None),
        });
        let said = match tried {
            Ok(refusal) => refusal.unwrap_or_else(|| "can run".to_owned()),
            Err(error) => format!("fails: {}", error.to_string().replace('\n', " ")),
        };
        let _ = writeln!(text, "  {name:<34} {said}");
    }
    for kind in stores::all() {
        let refusal = kind.refusal_on(place.path());
        let _ = writeln!(text, "  {:<34} {}", kind.name(), refusal.unwrap_or_else(|| "can run".to_owned()));
    }
    text += "backings (--backing):\n";
    for backing in [Backing::Tmpfs].into_iter().chain(LOOP_TYPES.map(Backing::Loop)) {
        let why = match backing.make() {
            Ok(_) => "can be had".to_owned(),
            Err(BackingError::Unavailable { reason, .. }) => reason,
            Err(error) => return Err(error.into()),
        };
        let _ = writeln!(text, "  {:<34} {why}", backing.to_string());
    }
    text += "  DIRECTORY                          what an existing directory is on\n";
    Ok(text)
}

/// A law's first sentence and its ids of the checklist; of a situation neither, whose name says it.
pub fn equation_and_ids(law: &str) -> (String, String) {
    let folder = if stores::laws::ALL.iter().any(|other| other.name() == law) { "stores/laws" } else { "laws" };
    let Ok(text) = fs::read_to_string(file_of(folder, law)) else { return <_>::default() };
    let ids = text.lines().filter_map(|line| line.strip_prefix("//! Checklist: "));
    (equation(folder, law), ids.map(|line| line.trim_end_matches(',')).collect::<Vec<_>>().join(", "))
}

fn file_of(folder: &str, law: &str) -> PathBuf {
    workspace_root().join("scenarios/properties/src").join(folder).join(law.replace('-', "_") + ".rs")
}

/// A law's first sentence, from the header of its file in the checkout that this was built from.
fn equation(folder: &str, law: &str) -> String {
    let path = file_of(folder, law);
    let Ok(text) = fs::read_to_string(&path) else {
        return format!("(its equation is in {}, which is not here)", path.display());
    };
    let lines = text.lines().map_while(|line| line.strip_prefix("//! "));
    let header = lines.collect::<Vec<_>>().join(" ");
    header.find(". ").map_or(header.as_str(), |end| &header[..=end]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_law_has_an_equation() {
        let of_stores = stores::laws::ALL.iter().map(|law| ("stores/laws", law.name()));
        for (folder, law) in laws::ALL.iter().map(|law| ("laws", law.name())).chain(of_stores) {
            let equation = equation(folder, law);
            assert!(equation.starts_with('`') && equation.ends_with('.'), "{law}: {equation}");
        }
    }
}
