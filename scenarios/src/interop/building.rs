//! Builds: what they read, and what must come of them.

use std::fs;

use super::act::Act;
use super::files::{Change, Files, script};
use super::model::Build;
use super::table::{Fault, Table};

/// `build`, as it is typed in the place of the campaign.
pub fn words<'a>(name: &'a str, context: &'a str) -> [&'a str; 7] {
    ["build", "--quiet", "--network", "none", "--tag", name, context]
}

impl Act {
    /// Writes what the act reads from the place of the campaign; a second time it is the same.
    pub fn prepare(&self, table: &Table) -> Result<(), Fault> {
        let Act::Build { base, context, copied, changes, .. } = self else { return Ok(()) };
        let directory = table.place.join(context);
        if directory.is_dir() {
            // Another time of the file would be another file for the cache.
            return Ok(());
        }
        let dockerfile =
            format!("FROM {base}\nCOPY copied /w/{context}\nRUN {}\nLABEL context={context}\n", script(changes));
        let write = |file: &str, text: &str| fs::write(directory.join(file), text).map_err(Fault::io(file));
        fs::create_dir(&directory).map_err(Fault::io(context.as_str()))?;
        write("copied", copied)?;
        write("Dockerfile", &dockerfile)
    }

    /// Notes what a build gave.
    pub fn learn_build(&self, table: &mut Table, base: &str, name: &str, id: &str) -> Result<(), Fault> {
        let Act::Build { context, copied, changes, .. } = self else { return Ok(()) };
        let base_id = table.model.names[base].clone();
        let mut files = table.model.files_of(base);
        let path = format!("/w/{context}");
        files.apply(&[Change::Write { path, content: copied.clone(), mode: 0o644, owner: 0, time: None }]);
        files.apply(changes);
        learn_built(table, name, id, &files)?;
        let (context, base, id) = (context.clone(), base.to_owned(), id.to_owned());
        table.model.builds.push(Build { context, base, base_id, id, files });
        Ok(())
    }
}

/// Builds the same context once more.
pub fn rebuild(table: &mut Table, number: usize, name: &str) -> Result<(), Fault> {
    let build = table.model.builds[number].clone();
    let is_cached = table.model.descends(&build.id, &build.base_id);
    let id = table.succeeds(&words(name, &build.context))?;
    if is_cached {
        table.equal("the ID of what the cache holds", &build.id, &id)?;
    }
    learn_built(table, name, &id, &build.files)?;
    table.model.builds[number].id = id;
    Ok(())
}

/// A build leaves an image of each step.
fn learn_built(table: &mut Table, name: &str, id: &str, files: &Files) -> Result<(), Fault> {
    let mut chain = vec![id.to_owned()];
    loop {
        let parent = table.sees(&["image", "inspect", "--format", "{{.Parent}}", &chain[chain.len() - 1]])?;
        let is_known = table.model.images.contains_key(&parent);
        if !parent.is_empty() {
            chain.push(parent.clone());
        }
        if is_known || parent.is_empty() {
            break;
        }
    }
    for pair in chain.windows(2).rev() {
        table.model.add_image(&pair[0], files.clone(), Some(pair[1].clone()));
    }
    table.names_image(name, id, files.clone(), None);
    Ok(())
}
