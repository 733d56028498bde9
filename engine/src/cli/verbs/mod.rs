//! The verbs: one file each, listed once.
//!
//! A verb's first name is the short one; the others are its spellings below `container`, `image` and
//! `volume`. Errors and help
//! name the spelling that was typed.

mod attach;
mod build;
mod check;
mod commit;
mod completion;
mod container_prune;
mod cp;
mod create;
mod diff;
mod exec;
mod export;
mod history;
mod image_prune;
mod images;
mod import;
mod info;
mod init;
mod inspect;
mod kill;
mod load;
mod login;
mod logout;
mod logs;
mod man;
mod monitor;
mod port;
mod ps;
mod pull;
mod push;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod search;
mod start;
mod stop;
mod tag;
mod top;
mod version;
mod volume_create;
mod volume_inspect;
mod volume_ls;
mod volume_prune;
mod volume_rm;
mod wait;

use clap::{ArgMatches, Command};

use super::arguments::Count;
use super::messages::Failure;
use super::session::Session;

/// One verb of the command line.
pub struct Verb {
    /// How it is typed: `images`, `image ls`.
    pub names: &'static [&'static str],
    /// What may follow, for the usage line.
    pub synopsis: &'static str,
    pub about: &'static str,
    /// How many words it takes beside its flags.
    pub arguments: Count,
    /// Not for people.
    pub hidden: bool,
    /// Its flags.
    pub command: fn() -> Command,
    /// What it does; the number is its exit code.
    pub run: fn(&Session, &ArgMatches) -> Result<u8, Failure>,
}

/// All verbs, in alphabetical order.
static VERBS: &[&Verb] = &[
    &attach::VERB,
    &build::VERB,
    &check::VERB,
    &commit::VERB,
    &completion::VERB,
    &cp::VERB,
    &create::VERB,
    &volume_create::VERB,
    &diff::VERB,
    &exec::VERB,
    &export::VERB,
    &history::VERB,
    &images::VERB,
    &import::VERB,
    &info::VERB,
    &init::VERB,
    &inspect::VERB,
    &inspect::CONTAINER_VERB,
    &inspect::IMAGE_VERB,
    &volume_inspect::VERB,
    &kill::VERB,
    &load::VERB,
    &login::VERB,
    &logout::VERB,
    &logs::VERB,
    &volume_ls::VERB,
    &man::VERB,
    &monitor::VERB,
    &port::VERB,
    &container_prune::VERB,
    &image_prune::VERB,
    &volume_prune::VERB,
    &ps::VERB,
    &pull::VERB,
    &push::VERB,
    &rename::VERB,
    &restart::VERB,
    &rm::VERB,
    &volume_rm::VERB,
    &rmi::VERB,
    &run::VERB,
    &save::VERB,
    &search::VERB,
    &start::VERB,
    &stop::VERB,
    &tag::VERB,
    &top::VERB,
    &version::VERB,
    &wait::VERB,
];

/// What verbs may be gathered below.
pub const GROUPS: [&str; 3] = ["container", "image", "volume"];

/// Second spellings of spellings.
const ALIASES: [(&str, &str); 8] = [
    ("container list", "container ls"),
    ("container ps", "container ls"),
    ("container remove", "container rm"),
    ("image list", "image ls"),
    ("image remove", "image rm"),
    ("system info", "info"),
    ("volume list", "volume ls"),
    ("volume remove", "volume rm"),
];

/// The group that `word` names.
pub fn group(word: &str) -> Option<&'static str> {
    GROUPS.into_iter().find(|group| *group == word)
}

/// The verb typed as `name`, and how that spelling is written.
pub fn find(name: &str) -> Option<(&'static str, &'static Verb)> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, meant)| meant);
    VERBS.iter().find_map(|verb| Some((verb.names.iter().copied().find(|known| *known == name)?, *verb)))
}

/// The verbs of a group, or those that stand alone, that are meant for people, and how they are called there.
pub fn shown(group: Option<&str>) -> impl Iterator<Item = (&'static str, &'static Verb)> {
    let prefix = group.map(|group| format!("{group} ")).unwrap_or_default();
    VERBS.iter().filter(|verb| !verb.hidden).flat_map(move |verb| {
        let here = |name: &&'static str| name.strip_prefix(&prefix).filter(|name| !name.contains(' '));
        let names: Vec<&'static str> = verb.names.iter().filter_map(here).collect();
        names.into_iter().map(|name| (name, *verb))
    })
}

/// The verbs of a group, or those that stand alone, with a line about each.
pub fn overview(group: Option<&str>) -> String {
    let mut lines: Vec<String> = shown(group).map(|(name, verb)| format!("  {name:<11} {}\n", verb.about)).collect();
    lines.sort();
    format!("\nCommands:\n{}", lines.concat())
}

/// What is said when no verb is named, without the last newline: of a group, or of the whole, which is `about` something.
pub fn group_help(group: Option<&str>, about: &str) -> String {
    let (path, about) = match group {
        Some(group) => (format!("{group} COMMAND"), format!("Manage {group}s")),
        None => ("[OPTIONS] COMMAND".to_owned(), about.to_owned()),
    };
    let below = group.map(|group| format!("{group} ")).unwrap_or_default();
    let list = overview(group);
    format!(
        "\nUsage:  docker {path}\n\n{about}\n{list}\nRun 'docker {below}COMMAND --help' for more information on a command."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_every_spelling_is_found() {
        let names: Vec<&str> = VERBS.iter().map(|verb| verb.names[0].rsplit(' ').next().unwrap()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for (typed, spelling, first) in [
            ("images", "images", "images"),
            ("image list", "image ls", "images"),
            ("container ls", "container ls", "ps"),
        ] {
            let (name, verb) = find(typed).unwrap();
            assert_eq!((name, verb.names[0]), (spelling, first));
        }
        assert!(find("nosuchcommand").is_none());
    }

    #[test]
    fn every_file_beside_this_one_is_listed() {
        let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/verbs");
        let source = include_str!("mod.rs");
        for file in std::fs::read_dir(place).unwrap() {
            let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            assert!(name == "mod" || source.contains(&format!("&{name}::VERB,")), "{name} is not listed");
        }
    }

    #[test]
    fn every_verb_describes_flags_that_can_be_read() {
        for verb in VERBS {
            (verb.command)().disable_help_flag(true).debug_assert();
        }
    }

    #[test]
    fn the_overview_leaves_hidden_verbs_out() {
        let all = overview(None);
        assert!(all.contains("\n  images      List images\n") && !all.contains("monitor"), "{all}");
        let images = overview(Some("image"));
        assert!(images.contains("\n  ls          List images\n") && !images.contains("commit"), "{images}");
    }
}
