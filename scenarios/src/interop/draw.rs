//! Draws acts: what is possible follows from the model, what is chosen from the seed.

use fastrand::Rng;

use super::act::{Act, Plan};
use super::files::{Change, Files, Node, PULLED_FILE, TIMES_END};
use super::mark::Mark;
use super::model::{Model, State, VolumeFile};

/// The images of the lab's registry that a campaign pulls.
const IMAGES: [&str; 3] = ["centos:latest", "httpd:latest", "ubuntu:latest"];
/// From here on things are rather removed than made.
const MANY_NAMES: usize = 8;
const MANY_CONTAINERS: usize = 4;

/// Where the randomness goes, and the numbers of what was made so far.
pub struct Draw {
    rng: Rng,
    count: usize,
}

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw { rng: Rng::with_seed(seed), count: 0 }
    }

    /// Whether something comes about that happens once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.rng.usize(..times) == 0
    }

    pub fn number(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        self.rng.usize(range)
    }

    /// A name that was not there before: `c12` for the stem `c`.
    fn fresh(&mut self, stem: &str) -> String {
        self.count += 1;
        format!("{stem}{}", self.count)
    }

    /// Some of these, each with the same chance.
    pub fn choose<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.rng.usize(..from.len())].clone()) }
    }

    fn name_of(&mut self, model: &Model) -> Option<String> {
        self.choose(&model.names.keys().cloned().collect::<Vec<_>>())
    }

    /// A name to give: a new one, or now and then one that means something else today.
    fn name(&mut self, model: &Model) -> String {
        let taken: Vec<String> = model.names.keys().filter(|name| name.starts_with("made")).cloned().collect();
        let taken = if self.once_in(6) { self.choose(&taken) } else { None };
        taken.unwrap_or_else(|| self.fresh("made:"))
    }

    /// An act that can be done now.
    pub fn act(&mut self, model: &Model) -> Act {
        if model.names.len() < 2 {
            return self.pull(model);
        }
        loop {
            let is_full = model.names.len() >= MANY_NAMES || model.containers.len() >= MANY_CONTAINERS;
            let act = if is_full && self.once_in(2) { self.removing(model) } else { self.any(model) };
            if let Some(act) = act {
                return act;
            }
        }
    }

    /// An act that makes much, and that can be done again when it was cut off.
    pub fn long(&mut self, model: &Model) -> Act {
        let archives: Vec<String> = model.archives.keys().cloned().collect();
        let containers: Vec<String> = model.containers.keys().cloned().collect();
        let acts = [
            self.choose(&archives).map(Act::Load),
            self.choose(&containers).map(|container| Act::Commit { container, name: self.fresh("made:") }),
            self.plan(model).map(Act::Run),
            // What it is made of must mean the same when it is done again.
            self.build(model, |draw, _| draw.fresh("made:")),
            Some(self.pull(model)),
        ];
        let possible: Vec<Act> = acts.into_iter().flatten().collect();
        self.choose(&possible).unwrap_or_else(|| self.pull(model))
    }

    fn build(&mut self, model: &Model, name: fn(&mut Draw, &Model) -> String) -> Option<Act> {
        let base = self.name_of(model)?;
        let changes = self.changes(&model.files_of(&base));
        let (context, copied) = (self.fresh("context"), self.content());
        Some(Act::Build { base, name: name(self, model), context, copied, changes })
    }

    fn pull(&mut self, model: &Model) -> Act {
        let pushed = model.served.keys().map(String::as_str).filter(|name| !IMAGES.contains(name));
        let missing = IMAGES.into_iter().chain(pushed).filter(|name| !model.names.contains_key(*name));
        let missing: Vec<&str> = missing.collect();
        Act::Pull(self.choose(&missing).unwrap_or(IMAGES[0]).to_owned())
    }

    fn removing(&mut self, model: &Model) -> Option<Act> {
        let all: Vec<String> = model.containers.keys().cloned().collect();
        match self.rng.usize(..8) {
            0..=2 => Some(Act::Remove(self.choose(&all)?)),
            3..=4 => Some(Act::RemoveName(self.name_of(model)?)),
            5 => Some(Act::RemoveNameless(self.choose(&model.dangling())?.to_owned())),
            6 => Some(Act::RemoveVolume(self.choose(&model.volumes.keys().cloned().collect::<Vec<_>>())?)),
            _ => Some(Act::PruneImages),
        }
    }

    fn any(&mut self, model: &Model) -> Option<Act> {
        let all: Vec<&str> = model.containers_in(|_| true);
        let (still, running) = (model.containers_in(|state| state != State::Running), model.running());
        let owned = |name: &str| name.to_owned();
        Some(match self.rng.usize(..34) {
            0 | 33 => self.pull(model),
            32 => Act::Push { name: self.name_of(model)?, to: self.fresh("127.0.0.1:5000/pushed") + ":1" },
            1..=2 => Act::Create(self.plan(model)?),
            3..=6 => Act::Run(self.plan(model)?),
            7..=8 => Act::RunDetached(self.plan(model)?),
            9..=10 => Act::Start(owned(self.choose(&still)?)),
            11..=13 => {
                let container = owned(self.choose(&running)?);
                let changes = self.changes(&model.containers[&container].files);
                Act::Exec { container, changes }
            }
            14 => Act::Stop(owned(self.choose(&running)?)),
            15 => Act::Rename { container: owned(self.choose(&all)?), to: self.fresh("c0") },
            16..=18 => Act::Commit { container: owned(self.choose(&all)?), name: self.name(model) },
            19 => Act::Tag { name: self.name_of(model)?, to: self.name(model) },
            20..=22 => self.build(model, Draw::name)?,
            23 => {
                let same_base = |number: &usize| {
                    let build = &model.builds[*number];
                    model.names.get(&build.base) == Some(&build.base_id)
                };
                let again: Vec<usize> = (0..model.builds.len()).filter(same_base).collect();
                Act::Rebuild { build: self.choose(&again)?, name: self.name(model) }
            }
            24..=25 => {
                let mut names: Vec<String> = model.names.keys().cloned().collect();
                self.rng.shuffle(&mut names);
                names.truncate(1 + self.rng.usize(..2));
                Act::Save { names, file: self.fresh("saved") }
            }
            26..=27 => Act::Load(self.choose(&model.archives.keys().cloned().collect::<Vec<_>>())?),
            28 => {
                let (container, name) = (owned(self.choose(&all)?), self.fresh("flat:"));
                Act::Transplant {
                    container,
                    name,
                    path: format!("/w/{}", self.fresh("marked")),
                    content: self.content(),
                }
            }
            29 => {
                let container = owned(self.choose(&all)?);
                let files = &model.containers[&container].files;
                let directories = files.iter().filter(|(_, node)| **node == Node::Directory);
                let directories: Vec<&str> =
                    directories.map(|(path, _)| path).filter(|path| *path != "/data").collect();
                let path = format!("{}/{}", self.choose(&directories)?, self.fresh("copied"));
                let mark = if self.once_in(4) { None } else { self.choose(&Mark::ALL) };
                Act::CopyIn { container, path, content: self.content(), mark }
            }
            30 => {
                let container = owned(self.choose(&all)?);
                let path = owned(self.choose(&model.containers[&container].files.written())?);
                Act::CopyOut { container, path }
            }
            31 => self.removing(model)?,
            _ => return None,
        })
    }

    fn plan(&mut self, model: &Model) -> Option<Plan> {
        let image = self.name_of(model)?;
        let changes = self.changes(&model.files_of(&image));
        let volume = self.once_in(4).then(|| {
            let known: Vec<String> = model.volumes.keys().cloned().collect();
            let known = if self.once_in(2) { self.choose(&known) } else { None };
            let volume = known.unwrap_or_else(|| self.fresh("volume"));
            VolumeFile { volume, file: self.fresh("v"), content: self.content() }
        });
        let (name, says) = (self.fresh("c0"), self.fresh("said"));
        let code = if self.once_in(2) { 0 } else { self.rng.i32(1..100) };
        Some(Plan { name, image, changes, says, code, alone: !self.once_in(3), volume })
    }

    /// Of another length than any before.
    fn content(&mut self) -> String {
        self.count += 1;
        format!("{:x<width$}", self.count, width = self.count + 4)
    }

    fn changes(&mut self, files: &Files) -> Vec<Change> {
        (0..self.number(1..=5)).map(|_| self.change(files)).collect()
    }

    fn change(&mut self, files: &Files) -> Change {
        let directory = |draw: &mut Draw| format!("/w/d{}", draw.rng.usize(..3));
        let file = |draw: &mut Draw| {
            let place = match draw.rng.usize(..6) {
                0 => "/w".to_owned(),
                1 => "/opt".to_owned(),
                2 => "/srv".to_owned(),
                _ => directory(draw),
            };
            format!("{place}/f{}", draw.rng.usize(..3))
        };
        match self.rng.usize(..13) {
            0..=4 => {
                let path = if self.once_in(10) { PULLED_FILE.to_owned() } else { file(self) };
                let mode = self.choose(&[0o644, 0o600, 0o755, 0o4711, 0o1666]).unwrap_or(0o644);
                let owner = self.choose(&[0, 0, 0, 12]).unwrap_or(0);
                let time = self.once_in(3).then(|| {
                    self.count += 1;
                    TIMES_END / 2 + self.count as u64
                });
                // Of the same length each time: what tells it apart is its time.
                let content = time.map_or_else(|| self.content(), |time| time.to_string());
                Change::Write { path, content, mode, owner, time }
            }
            // A file where a directory was.
            5 => Change::Write { path: directory(self), content: self.content(), mode: 0o640, owner: 0, time: None },
            12 => {
                let what = self.choose(&["c 1 3", "c 4095 1048575", "p"]).unwrap_or("p");
                Change::Special { path: file(self), what }
            }
            6 => Change::MakeDirectory(directory(self)),
            7..=9 => {
                let there: Vec<&str> = files.iter().map(|(path, _)| path).filter(|path| *path != "/data").collect();
                Change::Remove(self.choose(&there).unwrap_or("/w/d0").to_owned())
            }
            10 => {
                let of = self.choose(&files.written()).map_or_else(|| file(self), str::to_owned);
                Change::Link { of, path: format!("/w/{}", self.fresh("l")) }
            }
            _ => Change::Symlink { to: "d0/f1".into(), path: format!("/w/{}", self.fresh("s")) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_acts() {
        let acts = |seed| {
            let mut draw = Draw::new(seed);
            let mut model = Model::default();
            for name in ["centos:latest", "made:1"] {
                model.add_image(name, Files::pulled(), None);
                model.names.insert(name.into(), name.into());
            }
            (0..40).map(|_| format!("{:?}", draw.act(&model))).collect::<Vec<_>>()
        };
        assert_eq!(acts(7), acts(7));
        assert_ne!(acts(7), acts(8));
    }
}
