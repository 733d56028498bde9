//! What must not be skipped: words of `--require`, as `LAYERLAB_REQUIRE` has them for tests.

use crate::backing::LOOP_TYPES;
use crate::machine::Host;
use crate::{laws, situations, stores, subjects};

/// To be root of the first user namespace.
const ROOT: &str = "root";
/// To have a second user, who does some of the steps.
const USER: &str = "user";

/// To see what the kernel complains of meanwhile.
pub const KERNEL_LOG: &str = "kernel-log";

/// One thing that must be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement(String);

impl std::str::FromStr for Requirement {
    type Err = String;

    fn from_str(word: &str) -> Result<Requirement, String> {
        let stores = stores::all();
        let subjects = subjects::all().iter().map(|subject| subject.name()).collect::<Vec<_>>().into_iter();
        let subjects: Vec<String> = subjects.chain(stores.iter().map(|kind| kind.name())).collect();
        let laws = laws::ALL.iter().map(|law| law.name()).chain(stores::laws::ALL.iter().map(|law| law.name()));
        let laws = laws.chain(situations::ALL.iter().map(|situation| situation.name()));
        let others = [ROOT, USER, KERNEL_LOG, "tmpfs"].into_iter().chain(LOOP_TYPES).chain(laws);
        let known: Vec<&str> = others.chain(subjects.iter().map(String::as_str)).collect();
        match known.contains(&word) {
            true => Ok(Requirement(word.to_owned())),
            false => Err(format!("the laws cannot require '{word}'; they know {}", known.join(", "))),
        }
    }
}

/// What is wanting on this machine whatever is held against the laws, and how to get it.
pub fn wanting(required: &[Requirement], host: &Host) -> Option<String> {
    let is_required = |word: &str| required.iter().any(|requirement| requirement.0 == word);
    if is_required(ROOT) && !host.promises().first_namespace {
        return Some("root is required: start it as root, without --rootless".to_owned());
    }
    let remedy = "install uidmap and get a range in /etc/subuid and /etc/subgid";
    (is_required(USER) && !host.has_other_user)
        .then(|| format!("user is required: without a second ID no step is a second user's; {remedy}"))
}

/// The word of `required` that forbids to skip what has to do with `names`: a subject, a backing, laws.
pub fn forbidding<'a>(required: &'a [Requirement], names: &[&str]) -> Option<&'a str> {
    required.iter().map(|requirement| requirement.0.as_str()).find(|word| names.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_nothing_is_called_by_is_refused_and_all_others_are_told() {
        let why = "btfrs".parse::<Requirement>().unwrap_err();
        assert!(why.contains("'btfrs'") && why.contains("btrfs") && why.contains("layerlab-overlay2"), "{why}");
    }

    #[test]
    fn what_is_required_is_named() {
        let required: Vec<Requirement> = ["xfs", "overlay"].iter().map(|word| word.parse().unwrap()).collect();
        assert_eq!(forbidding(&required, &["plain", "xfs"]), Some("xfs"));
        assert_eq!(forbidding(&required, &["overlay", "tmpfs"]), Some("overlay"));
        assert_eq!(forbidding(&required, &["plain", "tmpfs"]), None);
    }

    #[test]
    fn a_second_user_that_is_required_is_missed() {
        let required: Vec<Requirement> = vec!["user".parse().unwrap()];
        assert!(wanting(&required, &Host::probe(false)).is_some_and(|why| why.starts_with("user is required")));
        assert_eq!(wanting(&required, &Host::probe(true)), None);
    }
}
