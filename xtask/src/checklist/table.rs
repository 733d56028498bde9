//! The list as Markdown: how much of each group is checked, then every id with who checks it or why nobody does.

use std::fmt::Write;

use super::LIST;
use super::list::{Entry, List};
use super::names::Name;

/// How an id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Checked,
    Partly,
    Open,
    Out,
}

const STATES: [State; 4] = [State::Checked, State::Partly, State::Open, State::Out];

fn state(entry: &Entry, names: &[&Name]) -> State {
    match entry {
        Entry { out: Some(_), .. } => State::Out,
        Entry { open: Some(_), .. } => State::Open,
        _ if names.iter().all(|name| name.is_partial) => State::Partly,
        _ => State::Checked,
    }
}

/// The table of a list that has no faults.
pub fn of(list: &List, names: &[Name]) -> String {
    let of_id = |id: &str| names.iter().filter(|name| name.id == id).collect::<Vec<&Name>>();
    let mut sums = String::new();
    let mut rows = String::new();
    let mut total = [0; STATES.len()];
    for group in &list.groups {
        let states: Vec<State> = group.ids.iter().map(|(id, entry)| state(entry, &of_id(id))).collect();
        let counts = STATES.map(|wanted| states.iter().filter(|state| **state == wanted).count());
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum += count;
        }
        let _ = writeln!(sums, "| {} | {} | {} |", group.letters, group.title, cells(states.len(), counts));
        let _ = write!(
            rows,
            "\n## {}: {}\n\n| id | what should hold | who checks it |\n|---|---|---|\n",
            group.letters, group.title
        );
        for ((id, entry), state) in group.ids.iter().zip(states) {
            let _ = writeln!(rows, "| {id} | {} | {} |", entry.title, who(entry, state, &of_id(id)));
        }
    }
    let ids: usize = total.iter().sum();
    format!(
        "# What is checked, and what is not\n\n\
         Written by `cargo xtask checklist` from `{LIST}` and from the laws, tests and pages that name its ids; not by hand. \
         *Partly*: what is still wanting is said. *Open*: ours to check, and nobody does yet. *Out*: not ours, and why.\n\n\
         | group | about | ids | checked | partly | open | out |\n|---|---|---|---|---|---|---|\n\
         {sums}| | all | {} |\n{rows}",
        cells(ids, total)
    )
}

fn cells(ids: usize, counts: [usize; STATES.len()]) -> String {
    let counts = counts.map(|count| count.to_string());
    format!("{ids} | {}", counts.join(" | "))
}

fn who(entry: &Entry, state: State, names: &[&Name]) -> String {
    let reason = |reason: &Option<String>| reason.clone().unwrap_or_default();
    let links: Vec<String> = names.iter().map(|name| link(name, state)).collect();
    match state {
        State::Checked => links.join(", "),
        State::Partly => format!("*partly*: {}; lacks: {}", links.join(", "), reason(&entry.lacks)),
        State::Open => format!("*open*: {}", reason(&entry.open)),
        State::Out => format!("*out*: {}", reason(&entry.out)),
    }
}

/// A link from the table to the file, in the words by which it is known.
fn link(name: &Name, state: State) -> String {
    let path = name.path.display().to_string();
    let stem = name.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let known = match &name.function {
        _ if path.ends_with(".md") => format!("page {stem}"),
        Some(function) => function.clone(),
        None if path.starts_with("scenarios/properties/src/") && path.contains("/laws/") => {
            format!("law {}", stem.replace('_', "-"))
        }
        None => path.clone(),
    };
    let part = if name.is_partial && state == State::Checked { " (partly)" } else { "" };
    format!("[{known}](../{path}){part}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn name(id: &str, path: &str, function: Option<&str>, is_partial: bool) -> Name {
        Name { id: id.to_owned(), is_partial, path: PathBuf::from(path), function: function.map(str::to_owned) }
    }

    #[test]
    fn a_table_counts_and_links() {
        let list = "[[group]]\nletters = 'A'\ntitle = 'letters'\n[group.ids]\nA-01 = { title = 'one' }\nA-02 = { title = 'two', \
                    lacks = 'more' }\nA-03 = { title = 'three', open = 'soon' }\nA-04 = { title = 'four', out = 'never' }\n";
        let names = [
            name("A-01", "scenarios/cases/x/a-page.md", None, true),
            name("A-01", "scenarios/properties/src/laws/a_law.rs", None, false),
            name("A-02", "engine/tests/a.rs", Some("it_holds"), true),
        ];
        let table = of(&List::parse(list).unwrap(), &names);
        for line in [
            "| A | letters | 4 | 1 | 1 | 1 | 1 |",
            "| | all | 4 | 1 | 1 | 1 | 1 |",
            "| A-01 | one | [page a-page](../scenarios/cases/x/a-page.md) (partly), [law \
             a-law](../scenarios/properties/src/laws/a_law.rs) |",
            "| A-02 | two | *partly*: [it_holds](../engine/tests/a.rs); lacks: more |",
            "| A-03 | three | *open*: soon |",
            "| A-04 | four | *out*: never |",
        ] {
            assert!(table.lines().any(|found| found == line), "{line}\n{table}");
        }
    }
}
