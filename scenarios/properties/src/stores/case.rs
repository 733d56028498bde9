//! One case: acts on a store and on the model of one, with a look at the disk after each; and many of them, as a campaign.

use std::io;
use std::path::{Path, PathBuf};

use layerlab_model::images::Images;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::laws::Law;
use super::shelf::Shelf;
use super::{Act, Carried, Done, Made, Moment, Shop, archive};
use crate::campaign::{Broken, Counts};
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
    /// How many acts a case has; after them every image is removed.
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

impl Campaign<'_> {
    /// Draws the case of `seed` and runs it.
    pub fn run(&self, seed: u64, counts: &mut Counts) -> Result<(), Failure> {
        let acts = drawn(seed, self.length);
        let Err(broken) = self.replay(&acts, counts) else { return Ok(()) };
        let law = broken.law;
        let fails = |part: &[Act]| self.replay(part, &mut Counts::default()).is_err_and(|broken| broken.law == law);
        let shrunk = shortest(&acts, fails);
        let broken = self.replay(&shrunk, &mut Counts::default()).err().unwrap_or(broken);
        Err(Failure { seed, length: acts.len(), acts: shrunk, broken })
    }

    /// Runs a case that is known.
    pub fn replay(&self, acts: &[Act], counts: &mut Counts) -> Result<(), Broken> {
        let place = tempfile::tempdir_in(&self.place).map_err(cannot)?;
        let mut case = Case {
            shop: (self.begin)(place.path()).map_err(cannot)?,
            model: Images::default(),
            names: Vec::new(),
            named: 0,
            collection: archive::collection().map_err(cannot)?,
        };
        let mut watches: Vec<_> = self.laws.iter().map(|law| (law.name(), law.watch())).collect();
        let mut look = |case: &mut Case, act: &Act| -> Result<(), Broken> {
            let Done { is_done, carried, made } = case.act(act)?;
            counts.count(act.word(), if is_done { "ok" } else { "no image" });
            let shelf = case.shelf().map_err(cannot)?;
            case.learn(act, &shelf);
            let moment = Moment { act, model: &case.model, shelf: &shelf, carried, made };
            for (law, watch) in &mut watches {
                let judged = watch.after(&moment).map_err(|findings| Broken { law: Some(law), findings })?;
                counts.judge(law, judged);
            }
            Ok(())
        };
        look(&mut case, &Act::Reopen)?;
        for act in acts {
            look(&mut case, act)?;
        }
        while !case.names.is_empty() {
            look(&mut case, &Act::Remove { image: 0 })?;
        }
        Ok(())
    }
}

fn cannot(error: impl std::fmt::Display) -> Broken {
    Broken { law: None, findings: vec![error.to_string()] }
}

fn drawn(seed: u64, length: usize) -> Vec<Act> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut below = |bound: u32| (random.next_u32() % bound) as usize;
    let mut act = || match below(14) {
        0..=3 => Act::Load { layers: (0..=below(LAYERS_MAX)).map(|_| below(5)).collect() },
        4..=6 => Act::Commit { image: below(8), letter: (below(4) > 0).then(|| LETTERS[below(3)]) },
        7 => Act::Flatten { image: below(8) },
        8 | 9 => Act::Carry { image: below(8) },
        10..=12 => Act::Remove { image: below(8) },
        _ => Act::Reopen,
    };
    (0..length).map(|_| act()).collect()
}

struct Case {
    shop: Box<dyn Shop>,
    model: Images,
    /// The names that there are, in the order in which they came.
    names: Vec<String>,
    /// How many names were given.
    named: usize,
    collection: Vec<Vec<u8>>,
}

impl Case {
    fn shelf(&self) -> io::Result<Shelf> {
        Shelf::read(self.shop.data_root(), self.shop.driver())
    }

    fn image(&self, number: usize) -> Option<String> {
        (!self.names.is_empty()).then(|| self.names[number % self.names.len()].clone())
    }

    /// All of one length, so that files that hold them are.
    fn new_name(&mut self) -> String {
        self.named += 1;
        let name = format!("image-{:04}:latest", self.named);
        self.names.push(name.clone());
        name
    }

    /// Does one act on the store; without an image to do it to, nothing.
    fn act(&mut self, act: &Act) -> Result<Done, Broken> {
        let mut done = Done { is_done: true, ..Done::default() };
        match act {
            Act::Load { layers } => {
                let name = self.new_name();
                let layers: Vec<&[u8]> = layers.iter().map(|number| &self.collection[*number][..]).collect();
                let (archive, id, diff_ids) = archive::image(&layers, &name).map_err(cannot)?;
                self.shop.load(&archive).map_err(cannot)?;
                self.model.add(&id, &diff_ids, None, &name);
            }
            Act::Commit { image, letter } => {
                let Some(name) = self.image(*image) else { return Ok(Done::default()) };
                let content = letter.map(|letter| archive::layer(&[("new", &letter.to_string())]));
                let content = content.transpose().map_err(cannot)?;
                let new = self.new_name();
                self.shop.commit(&name, content.as_deref(), &new).map_err(cannot)?;
                let new = self.trees(&name, &new)?;
                done.made = Some(Made { trees: new, new: letter.map(|letter| letter.to_string().into_bytes()) });
            }
            Act::Flatten { image } => {
                let Some(name) = self.image(*image) else { return Ok(Done::default()) };
                let tar = self.shop.export(&name).map_err(cannot)?;
                let new = self.new_name();
                self.shop.import(&tar, &new).map_err(cannot)?;
                done.made = Some(Made { trees: self.trees(&name, &new)?, new: None });
            }
            Act::Carry { image } => {
                let Some(name) = self.image(*image) else { return Ok(Done::default()) };
                done.carried = Some(self.carry(&name)?);
            }
            Act::Remove { image } => {
                let Some(name) = self.image(*image) else { return Ok(Done::default()) };
                self.shop.remove(&name).map_err(cannot)?;
                self.names.retain(|known| *known != name);
                self.model.remove(&name);
            }
            Act::Reopen => self.shop.reopen().map_err(cannot)?,
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

    /// Takes an image whose ID the engine chose into the model: as its configuration on the shelf tells.
    fn learn(&mut self, act: &Act, shelf: &Shelf) {
        let (Act::Commit { image, .. } | Act::Flatten { image }) = act else { return };
        let Some((new, before)) = self.names.split_last() else { return };
        if before.is_empty() || self.model.names().contains_key(new.as_str()) {
            return;
        }
        let base = &before[image % before.len()];
        let parent = match act {
            Act::Commit { .. } => self.model.names().get(base.as_str()).map(|id| (*id).clone()),
            _ => None,
        };
        let id = shelf.names.get(new).cloned().unwrap_or_default();
        let diff_ids = shelf.diff_ids(&id).unwrap_or_default();
        let new = new.clone();
        self.model.add(&id, &diff_ids, parent, &new);
    }

    fn carry(&mut self, name: &str) -> Result<Carried, Broken> {
        let archive = self.shop.save(name).map_err(cannot)?;
        let mut other = self.shop.another().map_err(cannot)?;
        other.load(&archive).map_err(cannot)?;
        let tree = |shop: &mut dyn Shop| {
            let tar = shop.export(name).map_err(cannot)?;
            archive::contents(&tar).map_err(cannot)
        };
        let trees = [tree(&mut *self.shop)?, tree(&mut *other)?];
        let id = self.model.names().get(name).map_or_else(String::new, |id| (*id).clone());
        let there = Shelf::read(other.data_root(), other.driver()).map_err(cannot)?;
        Ok(Carried { id, layers: archive::layers(&archive).map_err(cannot)?, trees, there })
    }
}
