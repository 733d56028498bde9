//! One case: acts on a store and on the model of one, with a look at the disk after each; and many of them, as a campaign.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use layerlab_model::images::Images;
use layerlab_model::store::digest;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::holdings::{self, Holdings};
use super::laws::{Law, Weights};
use super::said::{self, Names, Said};
use super::shelf::Shelf;
use super::{Act, Carried, Done, Made, Moment, Shop, archive};
use crate::campaign::{Broken, Counts};
use crate::place;
use crate::shrink::shortest;
use crate::subjects::SubjectError;

/// A kind of store that cases begin empty.
pub type Begin<'a> = dyn Fn(&Path) -> Result<Box<dyn Shop>, SubjectError> + Sync + 'a;

/// What is held against what.
pub struct Campaign<'a> {
    /// Begins a store below an empty directory.
    pub begin: &'a Begin<'a>,
    /// The laws; all of them watch each case.
    pub laws: &'a [&'static dyn Law],
    /// The directory below which stores lie.
    pub place: PathBuf,
    /// How many acts a case has; after them every container and image is removed.
    pub length: usize,
}

/// A case that broke a law.
#[derive(Debug)]
pub struct Failure {
    /// What it was drawn from.
    pub seed: u64,
    /// How many acts it had at first.
    pub length: usize,
    /// The shortest part of it that breaks the same law.
    pub acts: Vec<Act>,
    /// What came of that.
    pub broken: Broken,
}

const LETTERS: [char; 3] = ['x', 'y', 'z'];
const LAYERS_MAX: u32 = 4;
/// An act of a single command calls its driver so often, or less.
const CALLS_MAX: u32 = 8;

impl Campaign<'_> {
    /// Draws the case of `seed` and runs it; one that breaks a law is made short.
    pub fn run(&self, seed: u64, counts: &mut Counts) -> Result<(), Failure> {
        self.find(seed, counts).map_err(|failure| self.shrunk(failure))
    }

    /// Draws the case of `seed` and runs it; one that breaks a law stays as it was drawn.
    pub fn find(&self, seed: u64, counts: &mut Counts) -> Result<(), Failure> {
        let acts = drawn(seed, self.length, self.weights_of(seed));
        self.replay(&acts, counts).map_err(|broken| Failure { seed, length: acts.len(), acts, broken })
    }

    /// The shortest part of a failure that breaks the same law.
    pub fn shrunk(&self, failure: Failure) -> Failure {
        let Failure { acts, broken, .. } = failure;
        let law = broken.law;
        let fails = |part: &[Act]| self.replay(part, &mut Counts::default()).is_err_and(|broken| broken.law == law);
        let shrunk = shortest(&acts, fails);
        let broken = self.replay(&shrunk, &mut Counts::default()).err().unwrap_or(broken);
        Failure { acts: shrunk, broken, ..failure }
    }

    /// The weights of the law that the case of `seed` is drawn for.
    fn weights_of(&self, seed: u64) -> Weights {
        let number = seed.checked_rem(self.laws.len() as u64);
        number.map_or_else(Weights::default, |number| self.laws[number as usize].weights())
    }

    /// Runs a case that is known.
    pub fn replay(&self, acts: &[Act], counts: &mut Counts) -> Result<(), Broken> {
        let place = place::made(&self.place, true).map_err(cannot)?;
        let mut case = Case {
            shop: (self.begin)(place.path()).map_err(cannot)?,
            model: Images::default(),
            names: Names::default(),
            collection: archive::collection().map_err(cannot)?,
            holdings: Holdings::default(),
            brought: None,
            fails_in: None,
            read: 0,
        };
        for tar in case.collection.clone() {
            case.hold(&digest(&tar), &tar)?;
        }
        let promises = case.shop.promises();
        let mut watches: Vec<_> = self.laws.iter().map(|law| (law.name(), law.watch())).collect();
        let mut look = |case: &mut Case, act: &Act| -> Result<(), Broken> {
            let (Done { is_done, carried, made, freed, is_refused, stumbled }, shelf) = case.act(act)?;
            let is_empty = matches!(&freed, Some(freed) if freed.deleted.is_empty());
            let outcome = match (is_done, is_refused) {
                (false, _) => "nothing to do it to",
                (true, true) => "refused",
                (true, false) if stumbled.is_some() => "done again",
                (true, false) if is_empty => "nothing went",
                (true, false) => "ok",
            };
            counts.count(act.word(), outcome);
            let (model, holdings, shelf) = (&case.model, &case.holdings, &shelf);
            let moment = Moment { act, model, shelf, holdings, promises, carried, made, freed, is_refused, stumbled };
            for (law, watch) in &mut watches {
                let judged = watch.after(&moment).map_err(|findings| Broken::by(Some(law), findings))?;
                counts.judge(law, judged);
            }
            Ok(())
        };
        look(&mut case, &Act::Reopen)?;
        for act in acts {
            look(&mut case, act)?;
        }
        while case.names.has_containers() {
            look(&mut case, &Act::RemoveContainer { container: 0 })?;
        }
        while case.names.has_images() {
            look(&mut case, &Act::Remove { image: 0 })?;
        }
        look(&mut case, &Act::Prune { all: false })
    }
}

fn cannot(error: impl std::fmt::Display) -> Broken {
    Broken::by(None, vec![error.to_string()])
}

/// The acts of the case of `seed`.
pub fn drawn(seed: u64, length: usize, weights: Weights) -> Vec<Act> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut below = |bound: u32| (random.next_u32() % bound) as usize;
    let Weights { loads, commits, flattenings, journeys, removals, tags, containers, prunes, reopenings, stumbles } =
        weights;
    let all = [loads, commits, flattenings, journeys, removals, tags, containers, prunes, reopenings, stumbles];
    let act = |number| {
        let mut drawn = below(all.iter().sum()) as u32;
        let kind = all.iter().position(|weight| {
            let hit = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            hit
        });
        match kind.filter(|_| number > 0) {
            // Without an image there is little to do.
            None | Some(0) => Act::Load { layers: (0..=below(LAYERS_MAX)).map(|_| below(5)).collect() },
            Some(1) => Act::Commit { image: below(8), letter: (below(4) > 0).then(|| LETTERS[below(3)]) },
            Some(2) => Act::Flatten { image: below(8) },
            Some(3) => Act::Carry { image: below(8) },
            Some(4) => Act::Remove { image: below(8) },
            Some(5) => Act::Tag { image: below(8), over: below(8) },
            Some(6) if below(3) == 0 => Act::RemoveContainer { container: below(8) },
            Some(6) => Act::Create { image: below(8) },
            Some(7) => Act::Prune { all: below(4) == 0 },
            Some(8) => Act::Reopen,
            Some(_) => Act::Stumble { call: 1 + below(CALLS_MAX) },
        }
    };
    (0..length).map(act).collect()
}

/// The name of no image.
const NOBODY: &str = "nobody:latest";

/// Whether an engine is asked once for all of it.
fn is_one_command(said: &Said) -> bool {
    match said {
        Said::Load { .. }
        | Said::Remove { .. }
        | Said::Create { .. }
        | Said::RemoveContainer { .. }
        | Said::Prune { .. } => true,
        Said::Commit { .. }
        | Said::Flatten { .. }
        | Said::Carry { .. }
        | Said::Tag { .. }
        | Said::Reopen
        | Said::Stumble { .. } => false,
    }
}

/// What comes of archives that nobody may take: they should be refused, and leave nothing.
fn forged(shop: &mut dyn Shop) -> io::Result<Vec<String>> {
    // What else a store begins with its first image is none of the archive's.
    let books = shop.data_root().join("image");
    let mut found = Vec::new();
    for (why, forged) in archive::forged()? {
        let before = names_below(&books)?;
        let is_taken = shop.load(&forged).is_ok();
        let after = names_below(&books)?;
        found.extend(is_taken.then(|| format!("an archive is taken though {why}")));
        found.extend(after.difference(&before).map(|path| format!("{} is left of a forged archive", path.display())));
    }
    Ok(found)
}

/// Everything below a directory.
fn names_below(directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let (mut names, mut left) = (BTreeSet::new(), vec![directory.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            }
            names.insert(entry.path());
        }
    }
    Ok(names)
}

struct Case {
    shop: Box<dyn Shop>,
    model: Images,
    names: Names,
    collection: Vec<Vec<u8>>,
    holdings: Holdings,
    /// The tar that the last act laid on an image, or made one of.
    brought: Option<Vec<u8>>,
    /// In which of its calls the driver is to fail in the next act.
    fails_in: Option<usize>,
    /// How many layers' tars were read.
    read: usize,
}

impl Case {
    /// Does one act on the store and on the model; without an image to do it to, nothing.
    fn act(&mut self, act: &Act) -> Result<(Done, Shelf), Broken> {
        let said = self.names.say(act);
        let mut done = match &said {
            Some(said) => self.perform_or_stumble(said)?,
            None => Done::default(),
        };
        let shelf = Shelf::read(self.shop.data_root(), self.shop.driver()).map_err(cannot)?;
        if let Some(said) = said {
            let (id, diff_ids) = self.new_image(&said, &shelf)?;
            if let (Some(tar), Some(newest)) = (self.brought.take(), diff_ids.last()) {
                self.hold(newest, &tar)?;
            }
            done.is_refused = said::done(&mut self.model, &said, &id, &diff_ids);
            self.names.forget(&self.model);
            done.is_done = true;
        }
        Ok((done, shelf))
    }

    /// Notes what the layer `diff_id` should hold; one that is known stays what it is.
    fn hold(&mut self, diff_id: &str, tar: &[u8]) -> Result<(), Broken> {
        self.read += 1;
        self.holdings.add(diff_id, holdings::layer(tar, self.read).map_err(cannot)?);
        Ok(())
    }

    /// The ID and the diff IDs of an image that came; what the engine chose is as the configuration on the shelf tells.
    fn new_image(&self, said: &Said, shelf: &Shelf) -> Result<(String, Vec<String>), Broken> {
        match said {
            Said::Load { layers, new } => {
                let layers = archive::chosen(&self.collection, layers);
                archive::image(&layers, new).map(|(_, id, diff_ids)| (id, diff_ids)).map_err(cannot)
            }
            Said::Commit { new, .. } | Said::Flatten { new, .. } => {
                let id = shelf.names.get(new).cloned().unwrap_or_default();
                let diff_ids = shelf.diff_ids(&id).unwrap_or_default();
                Ok((id, diff_ids))
            }
            _ => Ok((String::new(), Vec::new())),
        }
    }

    /// Does it; where the driver is to fail in it, and does, once more after a restart.
    fn perform_or_stumble(&mut self, said: &Said) -> Result<Done, Broken> {
        if let Said::Stumble { call } = said {
            self.fails_in = Some(*call);
            return Ok(Done::default());
        }
        let Some(call) = self.fails_in.take().filter(|_| is_one_command(said)) else { return self.perform(said) };
        self.shop.stumble(Some(call));
        let tried = self.perform(said);
        let has_stumbled = self.shop.has_stumbled();
        self.shop.stumble(None);
        if tried.is_ok() || !has_stumbled {
            return tried;
        }
        self.shop.reopen().map_err(cannot)?;
        let left = Shelf::read(self.shop.data_root(), self.shop.driver()).map_err(cannot)?;
        let is_gone = match said {
            Said::Remove { image } => !left.names.contains_key(image),
            Said::RemoveContainer { container } => !left.containers.contains_key(container),
            _ => false,
        };
        let done = if is_gone { Done::default() } else { self.perform(said)? };
        // What could not be removed goes with the next command that removes something, whatever that is.
        let _refused = self.shop.remove(NOBODY);
        // What went the first time was not told.
        Ok(Done { freed: None, stumbled: Some(left), ..done })
    }

    fn perform(&mut self, said: &Said) -> Result<Done, Broken> {
        let mut done = Done::default();
        match said {
            Said::Load { layers, new } => {
                let (archive, ..) = archive::image(&archive::chosen(&self.collection, layers), new).map_err(cannot)?;
                self.shop.load(&archive).map_err(cannot)?;
            }
            Said::Commit { image, letter, new } => {
                let content = letter.map(|letter| archive::layer(&[("new", &letter.to_string())]));
                let content = content.transpose().map_err(cannot)?;
                self.shop.commit(image, content.as_deref(), new).map_err(cannot)?;
                let trees = self.trees(image, new)?;
                done.made = Some(Made { trees, new: letter.map(|letter| letter.to_string().into_bytes()) });
                self.brought = content;
            }
            Said::Flatten { image, new } => {
                let tar = self.shop.export(image).map_err(cannot)?;
                self.shop.import(&tar, new).map_err(cannot)?;
                let trees = self.trees(image, new)?;
                done.made = Some(Made { trees, new: None });
                self.brought = Some(tar);
            }
            Said::Carry { image } => done.carried = Some(self.carry(image)?),
            Said::Remove { image } => done.freed = self.shop.remove(image).map_err(cannot)?,
            Said::Tag { image, over } => self.shop.tag(image, over).map_err(cannot)?,
            Said::Create { image, container } => self.shop.create(image, container).map_err(cannot)?,
            Said::RemoveContainer { container } => self.shop.remove_container(container).map_err(cannot)?,
            Said::Prune { all } => done.freed = Some(self.shop.prune(*all).map_err(cannot)?),
            Said::Reopen => self.shop.reopen().map_err(cannot)?,
            Said::Stumble { .. } => {}
        }
        Ok(done)
    }

    /// Everything in a container of each image.
    fn trees(&mut self, one: &str, other: &str) -> Result<[Vec<archive::Content>; 2], Broken> {
        let mut tree = |name: &str| {
            let tar = self.shop.export(name).map_err(cannot)?;
            archive::contents(&tar).map_err(cannot)
        };
        Ok([tree(one)?, tree(other)?])
    }

    fn carry(&mut self, name: &str) -> Result<Carried, Broken> {
        let archive = self.shop.save(name).map_err(cannot)?;
        let mut other = self.shop.another().map_err(cannot)?;
        let of_forged = forged(&mut *other).map_err(cannot)?;
        other.load(&archive).map_err(cannot)?;
        let tree = |shop: &mut dyn Shop| {
            let tar = shop.export(name).map_err(cannot)?;
            archive::contents(&tar).map_err(cannot)
        };
        let trees = [tree(&mut *self.shop)?, tree(&mut *other)?];
        let id = self.model.names().get(name).map_or_else(String::new, |id| (*id).clone());
        let there = Shelf::read(other.data_root(), other.driver()).map_err(cannot)?;
        Ok(Carried { id, layers: archive::layers(&archive).map_err(cannot)?, trees, there, of_forged })
    }
}
