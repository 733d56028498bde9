//! The pages of the house, and which of them a name means.

use std::path::{Component, Path, PathBuf};

use crate::lab::prepare::workspace_root;
use crate::page::{Page, PageError};

/// Why pages cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// One cannot be read or understood.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Nothing is called so.
    #[error(
        "there is no page and no folder {name}: the pages are {known} (a directory for HTML pages is given as --html=DIRECTORY)"
    )]
    None {
        /// What was asked for.
        name: String,
        /// The names of all.
        known: String,
    },
    /// A name would mean both.
    #[error("{} and {} have one name: rename one of them", .0.display(), .1.display())]
    Namesakes(PathBuf, PathBuf),
}

/// Where pages that the laws wrote are kept.
pub fn regressions() -> PathBuf {
    workspace_root().join("scenarios/cases/regressions")
}

/// Where pages are that are no replays: each is about what a tool of others gets wrong.
pub fn findings() -> PathBuf {
    workspace_root().join("scenarios/cases/findings")
}

/// Every page of the house that is replayed, by path; a name means one of them.
pub fn all() -> Result<Vec<Page>, PagesError> {
    let scenarios = workspace_root().join("scenarios");
    let files = ["walkthroughs", "cases"].map(|directory| walkdir::WalkDir::new(scenarios.join(directory)));
    let mut paths: Vec<PathBuf> = files.into_iter().flatten().flatten().map(walkdir::DirEntry::into_path).collect();
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    paths.retain(|path| is_page(path) && !path.starts_with(findings()));
    paths.sort();
    one_name_each(&paths)?;
    paths.into_iter().map(|path| Page::read(path).map_err(Into::into)).collect()
}

/// The pages called `wanted`: their names or paths, or folders that they are in (`storage`, `cases/storage`), in that order; the
/// walkthroughs when nothing is.
pub fn chosen(wanted: &[String]) -> Result<Vec<Page>, PagesError> {
    let all = all()?;
    let walkthroughs = ["walkthroughs".to_owned()];
    let wanted = if wanted.is_empty() { &walkthroughs } else { wanted };
    let mut pages = Vec::new();
    for name in wanted {
        let is_meant = |page: &&Page| page.name() == *name || is_in(&page.path, name);
        let meant: Vec<Page> = all.iter().filter(is_meant).cloned().collect();
        match meant.is_empty() {
            false => pages.extend(meant),
            true if name.ends_with(".md") => pages.push(Page::read(name)?),
            true => {
                let known = all.iter().map(Page::name).collect::<Vec<_>>().join(", ");
                return Err(PagesError::None { name: name.clone(), known });
            }
        }
    }
    one_name_each(&pages.iter().map(|page| page.path.clone()).collect::<Vec<_>>())?;
    Ok(pages)
}

/// Whether the names of `folder` follow one another somewhere in `path`.
fn is_in(path: &Path, folder: &str) -> bool {
    let names: Vec<Component<'_>> = path.components().collect();
    let wanted: Vec<Component<'_>> = Path::new(folder).components().collect();
    !wanted.is_empty() && names.windows(wanted.len()).any(|part| part == wanted)
}

fn one_name_each(paths: &[PathBuf]) -> Result<(), PagesError> {
    for (at, path) in paths.iter().enumerate() {
        let is_namesake = |other: &&PathBuf| *other != path && other.file_stem() == path.file_stem();
        if let Some(other) = paths[..at].iter().find(is_namesake) {
            return Err(PagesError::Namesakes(other.clone(), path.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pages_of_one_name_are_an_error() {
        let paths = ["cases/a.md", "cases/b.md", "walkthroughs/a.md"].map(PathBuf::from);
        assert!(one_name_each(&paths[..2]).is_ok());
        let error = one_name_each(&paths).unwrap_err().to_string();
        assert!(error.contains("cases/a.md and walkthroughs/a.md have one name"), "{error}");
    }

    #[test]
    fn a_folder_is_named_by_itself_or_with_those_above() {
        let path = Path::new("/house/scenarios/cases/storage/prune.md");
        assert!(is_in(path, "storage") && is_in(path, "cases/storage/") && is_in(path, "cases"));
        assert!(!is_in(path, "storage/cases") && !is_in(path, "stor") && !is_in(path, ""));
    }
}
