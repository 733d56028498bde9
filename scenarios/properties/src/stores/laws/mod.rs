//! The laws of a store of images, one file each, listed once. They know Docker's layout on disk and the model, never the engine.

use super::Moment;
use crate::laws::Verdict;

mod bytes_on_disk_are_the_layers;
mod commits_hold_the_change;
mod ids_survive_every_journey;
mod layers_are_shared_by_chain_id;
mod removal_frees_what_nothing_reaches;

/// How often each kind of act is drawn, relative to the others.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    /// Loading archives.
    pub loads: u32,
    /// Committing containers.
    pub commits: u32,
    /// Exporting and importing.
    pub flattenings: u32,
    /// Saving and loading elsewhere.
    pub journeys: u32,
    /// Taking names away.
    pub removals: u32,
    /// Giving an image the name of another.
    pub tags: u32,
    /// Making containers that stay, and removing them.
    pub containers: u32,
    /// Collecting garbage.
    pub prunes: u32,
    /// Opening the store anew.
    pub reopenings: u32,
    /// Having the driver fail once.
    pub stumbles: u32,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights {
            loads: 8,
            commits: 6,
            flattenings: 2,
            journeys: 2,
            removals: 6,
            tags: 3,
            containers: 4,
            prunes: 2,
            reopenings: 2,
            stumbles: 3,
        }
    }
}

/// Something that must hold.
pub trait Law: Sync {
    /// Its equation in words; the name of its file.
    fn name(&self) -> &'static str;

    /// Which acts bring it into danger.
    fn weights(&self) -> Weights {
        Weights::default()
    }

    /// Begins to watch a case.
    fn watch(&self) -> Box<dyn Watch>;
}

/// A law that watches one case.
pub trait Watch {
    /// Looks at an act that was done.
    fn after(&mut self, moment: &Moment<'_>) -> Verdict;
}

/// Every law.
pub static ALL: [&dyn Law; 5] = [
    &bytes_on_disk_are_the_layers::LAW,
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
