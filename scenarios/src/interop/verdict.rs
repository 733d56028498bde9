//! A campaign, what it came to when it went well, and what is told when it did not.

use std::collections::BTreeMap;
use std::fmt;

use super::player::Who;
use super::table::Fault;

/// How many faults are told at most.
const TOLD: usize = 12;

/// One campaign.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    pub seed: u64,
    pub driver: &'static str,
    pub turns: usize,
    /// How much is done in each turn.
    pub acts: usize,
}

/// What a campaign came to when it went well.
#[derive(Debug, Clone)]
pub struct Played {
    pub acts: usize,
    /// What each was about that was killed.
    pub cuts: Vec<String>,
    /// How much that was half-made repairs found.
    pub mended: usize,
    pub images: usize,
    /// How often each word of Docker's was used.
    pub words: BTreeMap<String, usize>,
    /// A digest of all that was drawn, which is the same for the same seed, whatever the kills reached.
    pub drawn: String,
}

/// What went wrong, and how to see it again.
pub struct Verdict {
    pub campaign: Campaign,
    pub turn: usize,
    pub who: Who,
    pub faults: Vec<Fault>,
    pub told: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Campaign { seed, driver, turns, acts } = self.campaign;
        writeln!(f, "interop on {driver} went wrong in turn {} ({}), with seed {seed}", self.turn, self.who.name())?;
        for fault in self.faults.iter().take(TOLD) {
            write!(f, "{fault}")?;
        }
        if self.faults.len() > TOLD {
            writeln!(f, "  … and {} more", self.faults.len() - TOLD)?;
        }
        writeln!(f, "the commands so far:")?;
        for line in &self.told {
            writeln!(f, "  {line}")?;
        }
        write!(f, "again: cargo xtask interop --driver {driver} --seed {seed} --turns {turns} --acts {acts}")
    }
}
