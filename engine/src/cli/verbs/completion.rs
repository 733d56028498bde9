//! `layerlab completion`: what a shell has to know to complete this program's words.

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print};
use crate::cli::session::Session;
use crate::cli::tree;

pub static VERB: Verb = Verb {
    names: &["completion"],
    synopsis: "bash|zsh|fish",
    about: "Generate the autocompletion script for the specified shell",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    shell: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let shell = options.shell.unwrap_or_default();
    let shell = match shell.as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => return Err(Failure::new(format!("no completion for the shell {other:?}: name bash, zsh or fish"))),
    };
    let program = session.program_name();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree::tree(program), program, &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(SUCCESS)
}
