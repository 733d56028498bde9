//! The laws of a store of images, one file each, listed once. They know Docker's layout on disk and the model, never the engine.

use super::Moment;
use crate::laws::Verdict;

mod commits_hold_the_change;
mod ids_survive_every_journey;
mod layers_are_shared_by_chain_id;
mod removal_frees_what_nothing_reaches;

/// Something that must hold.
pub trait Law: Sync {
    /// Its equation in words; the name of its file.
    fn name(&self) -> &'static str;

    /// Begins to watch a case.
    fn watch(&self) -> Box<dyn Watch>;
}

/// A law that watches one case.
pub trait Watch {
    /// Looks at an act that was done.
    fn after(&mut self, moment: &Moment<'_>) -> Verdict;
}

/// Every law.
pub static ALL: [&dyn Law; 4] = [
    &commits_hold_the_change::LAW,
    &ids_survive_every_journey::LAW,
    &layers_are_shared_by_chain_id::LAW,
    &removal_frees_what_nothing_reaches::LAW,
];

/// What an engine puts into every container when it is made (moby's `daemon/initlayer`).
const ENGINES: [&[u8]; 5] = [b".dockerenv", b"dev", b"etc", b"proc", b"sys"];

/// Whether a path of a container is the engine's, below or above which each has times of its own.
fn is_engines(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').next().is_some_and(|top| ENGINES.contains(&top))
}
