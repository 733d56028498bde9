//! `layerlab-lab interop`: campaigns of turns between our engine and a dockerd, all drivers at once.

use std::io;
use std::process::{Child, Command};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::spoil::{self, Spoil};
use super::{Campaign, place, play};
use crate::lab::enter::EnterError;
use crate::lab::prepare::{PrepareError, Prepared, prepare};
use crate::lab::sandbox::Outcome;
use crate::page;
use crate::target::FindError;

const FAILED: u8 = 1;
/// As automake and others have it: not run, because this host cannot.
const SKIPPED: u8 = 77;
/// The drivers that our engine and dockerd both have, but btrfs (`--driver btrfs`), which wants a file system of its own.
const DRIVERS: &str = "overlay2,overlay,vfs";

/// Our engine and a dockerd take turns on one data root.
#[derive(clap::Args)]
pub struct Interop {
    /// What is drawn follows from it; a new one each time, unless it is given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How many campaigns, each with the next seed
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    seeds: u64,
    /// How often one of the two has the turn
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    turns: usize,
    /// How many acts there are in each turn
    #[arg(long, value_name = "COUNT", default_value_t = 6)]
    acts: usize,
    /// The storage drivers, each in a campaign of its own
    #[arg(long = "driver", value_name = "NAME,…", value_delimiter = ',', default_value = DRIVERS, value_parser = page::driver)]
    drivers: Vec<&'static str>,
    /// Spoil the data root after the last turn, to see that it is noticed
    #[arg(long, value_name = "FAULT", value_parser = spoil::named)]
    plant: Option<&'static Spoil>,
    /// `docker`: that it is not here is an error
    #[arg(long, value_name = "WORD", value_parser = ["docker"])]
    require: Option<String>,
}

/// Why no campaign could be begun.
#[derive(Debug, thiserror::Error)]
pub enum InteropError {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("cannot run another campaign beside this one: {0}")]
    Process(#[source] io::Error),
    #[error("no lab for the driver {driver}: {source}")]
    Enter { driver: &'static str, source: EnterError },
}

impl Interop {
    /// The exit status: success, failure, or that this host cannot.
    pub fn run(&self) -> Result<u8, InteropError> {
        let prepared = prepare()?;
        let first = self.seed.unwrap_or_else(some_seed);
        let statuses: Vec<u8> = match self.drivers[..] {
            [driver] => {
                let campaign = |seed| Campaign { seed, driver, turns: self.turns, acts: self.acts };
                let seeds = first..first + self.seeds;
                seeds.map(|seed| self.campaign(campaign(seed), &prepared)).collect::<Result<_, _>>()?
            }
            _ => self.at_once(first)?,
        };
        let ran = statuses.iter().copied().filter(|status| *status != SKIPPED);
        Ok(ran.max().unwrap_or(SKIPPED))
    }

    /// Each driver in a process of its own, as a lab is entered by one that has a single thread.
    fn at_once(&self, first: u64) -> Result<Vec<u8>, InteropError> {
        let program = std::env::current_exe().map_err(InteropError::Process)?;
        let begin = |driver: &&str| {
            let mut alone = Command::new(&program);
            alone.args([
                "interop",
                "--driver",
                driver,
                "--seed",
                &first.to_string(),
                "--seeds",
                &self.seeds.to_string(),
            ]);
            alone.args(["--turns", &self.turns.to_string(), "--acts", &self.acts.to_string()]);
            alone.args(self.plant.iter().flat_map(|spoil| ["--plant", spoil.name]));
            alone.args(self.require.iter().flat_map(|word| ["--require", word]));
            alone.spawn().map_err(InteropError::Process)
        };
        let begun: Vec<Child> = self.drivers.iter().map(begin).collect::<Result<_, _>>()?;
        let end = |mut process: Child| {
            let status = process.wait().map_err(InteropError::Process)?;
            Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED))
        };
        begun.into_iter().map(end).collect()
    }

    fn campaign(&self, campaign: Campaign, prepared: &Prepared) -> Result<u8, InteropError> {
        let driver = campaign.driver;
        let entered = place::enter(driver, prepared, |players| {
            let begun = Instant::now();
            match play(campaign, self.plant, players) {
                Ok(played) => {
                    let Campaign { seed, turns, .. } = campaign;
                    let (seconds, images) = (begun.elapsed().as_secs(), played.images);
                    let words = played.words.iter().map(|(word, count)| format!("{word} {count}"));
                    println!(
                        "{driver}: seed {seed}: {turns} turns, {} acts, {} kills ({}) that left {} things to mend, at last {images} images: nothing is lost, left over \
                         or changed ({seconds} s)\n  drawn {}: {}",
                        played.acts,
                        played.cuts.len(),
                        played.cuts.join(", "),
                        played.mended,
                        played.drawn,
                        words.collect::<Vec<_>>().join(", "),
                    );
                    0
                }
                Err(verdict) => {
                    println!("{verdict}");
                    FAILED
                }
            }
        });
        match entered {
            Err(EnterError::Find(FindError::Unavailable(why))) if self.require.is_none() => {
                println!("skipped on {driver}: {why}");
                Ok(SKIPPED)
            }
            Err(source) => Err(InteropError::Enter { driver, source }),
            Ok(Outcome::Ended { status } | Outcome::Kept { status, .. }) => Ok(status),
        }
    }
}

/// Another one each time.
fn some_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) % 1_000_000
}
