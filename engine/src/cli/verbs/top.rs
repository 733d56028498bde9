//! `docker top`: the processes of a container.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["top", "container top"],
    synopsis: "CONTAINER [ps OPTIONS]",
    about: "Display the running processes of a container",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

/// Docker's CLI makes these columns wider than those of its other tables.
const COLUMN_MIN: usize = 20;
const COLUMN_GAP: usize = 3;

#[derive(Parser)]
struct Options {
    name: Option<String>,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    ps: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let table = session.engine()?.top(&options.name.unwrap_or_default(), &options.ps)?;
    let lines: Vec<Vec<String>> = std::iter::once(table.titles).chain(table.rows).collect();
    print(&aligned(&lines))?;
    Ok(SUCCESS)
}

/// Cells padded to their column's width, the last of a line as it is.
fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let longest = lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
        (longest.unwrap_or(0) + COLUMN_GAP).max(COLUMN_MIN)
    };
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let is_last = column + 1 == line.len();
            text += &if is_last { cell.clone() } else { format!("{cell:<width$}", width = width(column)) };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_twenty_wide_and_the_last_ends_with_its_text() {
        let lines = [vec!["PID".to_owned(), "CMD".to_owned()], vec!["4582".to_owned(), "sleep 100".to_owned()]];
        assert_eq!(aligned(&lines), "PID                 CMD\n4582                sleep 100\n");
    }
}
