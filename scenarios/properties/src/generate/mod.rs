//! Makes up cases: each step is drawn with the model's present tree in view, so that most of them find something to do.
//!
//! *Why*: steps drawn blindly are mostly refused for the same dull reasons. *Holds*: the same seed gives the same steps; names come
//! from a small alphabet, so that collisions are common, and a few are as odd as names can be. *Never*: a step that must succeed.
//! *Proved by*: `--counts`, which shows how often each kind of step came out how.

use std::collections::{BTreeSet, VecDeque};

use layerlab_model::operation::{Access, Flags, Operation, Step, User};
use layerlab_model::process::Machine;
use layerlab_model::text::Text;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use paths::Known;

mod paths;
mod plans;
mod steps;

/// How often each kind of operation is drawn, relative to the others.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    /// Opening, and what is done with open files.
    pub contents: u32,
    /// Attributes.
    pub attributes: u32,
    /// Making and removing names.
    pub names: u32,
    /// Moving names.
    pub renames: u32,
    /// Several threads at once on one file.
    pub races: u32,
    /// Mounting again.
    pub remount: u32,
    /// A new layer.
    pub commit: u32,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights { contents: 40, attributes: 20, names: 40, renames: 15, races: 1, remount: 2, commit: 4 }
    }
}

/// One step in so many begins a plan.
const PLAN_EVERY: u32 = 40;
/// One path in so many has something behind its last name.
const TRAIL_EVERY: u32 = 24;
/// What that is: it means the same directory, or another one, or that only a directory is meant.
const TRAILS: [&str; 6] = ["/", "/", "//", "/.", "/./", "/.."];
/// One path in so many is as long as a path can be, or longer by one byte.
const LONG_EVERY: u32 = 600;
/// `PATH_MAX` without the zero at its end.
const PATH_BYTES_MAX: usize = 4095;

/// A source of steps; the same seed gives the same ones.
pub struct Generator {
    random: TestRng,
    weights: Weights,
    has_other_user: bool,
    /// What was there once: names that come back over what lies below are where layers go wrong.
    seen: BTreeSet<Text>,
    /// Steps that are already decided.
    planned: VecDeque<Operation>,
}

impl Generator {
    /// Draws by `weights`.
    pub fn new(seed: u64, weights: Weights, has_other_user: bool) -> Generator {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Generator {
            random: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
            weights,
            has_other_user,
            seen: BTreeSet::new(),
            planned: VecDeque::new(),
        }
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.random.next_u32() % bound.max(1)
    }

    fn one_in(&mut self, bound: u32) -> bool {
        self.below(bound) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize].clone()
    }

    /// The next step for `machine` as it is.
    pub fn step(&mut self, machine: &Machine) -> Step {
        let user = if self.has_other_user && self.one_in(4) { User::Other } else { User::Root };
        let tree = Known::of(machine);
        self.seen.extend(tree.all.iter().cloned());
        if self.planned.is_empty() && self.one_in(PLAN_EVERY) {
            self.plan(machine, &tree);
        }
        if let Some(operation) = self.planned.pop_front() {
            return Step { user: User::Root, operation };
        }
        let Weights { contents, attributes, names, renames, races, remount, commit } = self.weights;
        let mut drawn = self.below(contents + attributes + names + renames + races + remount + commit);
        let mut is = |weight: u32| {
            let hit = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            hit
        };
        let mut operation = match () {
            () if is(contents) => self.contents(&tree),
            () if is(attributes) => self.attributes(&tree),
            () if is(names) => self.names(&tree),
            () if is(renames) => self.rename(&tree),
            () if is(races) => self.race(&tree),
            () if is(remount) => Operation::Remount,
            () => Operation::Commit,
        };
        for path in operation.paths_mut() {
            if self.one_in(TRAIL_EVERY) {
                path.0.extend_from_slice(self.of(&TRAILS).as_bytes());
            }
            if self.one_in(LONG_EVERY) {
                let slashes = self.of(&[PATH_BYTES_MAX, PATH_BYTES_MAX + 1]).saturating_sub(path.0.len());
                path.0.splice(..0, vec![b'/'; slashes]);
            }
        }
        let user = if matches!(operation, Operation::LinkSlot { .. }) { User::Root } else { user };
        Step { user, operation }
    }
}

/// `O_CREAT | O_EXCL`.
const NEW: Flags = Flags { create: true, exclusive: true, ..Flags::of(Access::ReadWrite) };
