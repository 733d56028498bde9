//! The whole command line as one tree of commands, out of which completions and manual pages are made.

use clap::{Arg, ArgAction, Args, Command};

use super::arguments::{Count, Usage};
use super::session::GlobalOptions;
use super::{ABOUT, verbs};

/// All verbs that are meant for people, under every spelling, below a program called `program`.
pub fn tree(program: &'static str) -> Command {
    let usage = Usage { name: "", synopsis: "[OPTIONS] COMMAND", about: ABOUT, count: Count::Any };
    let version = Arg::new("version").short('v').long("version").help("Print version information and quit");
    let root = GlobalOptions::augment_args(Command::new(program)).arg(version.action(ArgAction::SetTrue));
    let root = usage.described(root).about(ABOUT).version(env!("CARGO_PKG_VERSION"));
    verbs::GROUPS.iter().fold(with_verbs(root, None), |root, group| {
        let about = format!("Manage {group}s");
        let command = Command::new(*group).about(about).subcommand_required(true).disable_help_subcommand(true);
        root.subcommand(with_verbs(command, Some(group)))
    })
}

/// `command` with the verbs that stand alone, or with those of a group.
fn with_verbs(command: Command, group: Option<&str>) -> Command {
    let verbs = verbs::shown(group).map(|(name, verb)| {
        let whole = group.map_or_else(|| name.to_owned(), |group| format!("{group} {name}"));
        let usage = Usage { name: &whole, synopsis: verb.synopsis, about: verb.about, count: verb.arguments };
        usage.described((verb.command)().name(name)).about(verb.about)
    });
    command.disable_help_subcommand(true).subcommands(verbs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_the_tree_under_every_spelling() {
        let tree = tree("layerlab");
        tree.clone().debug_assert();
        let find =
            |words: &[&str]| words.iter().try_fold(&tree, |command, word| command.find_subcommand(word)).is_some();
        assert!(find(&["images"]) && find(&["image", "ls"]) && find(&["container", "prune"]) && find(&["completion"]));
        assert!(!find(&["monitor"]) && !find(&["prune"]));
    }
}
