//! Campaigns over the model alone: the algebra of layers, without root or a kernel, a million steps a minute and more.
//!
//! After every new layer: the layers applied one after the other give the merged tree; what walking two trees finds turns
//! the one into the other; images share exactly the layers that lie on the same ones, which is what chain IDs are for; counting references removes exactly
//! what nothing reaches; collecting garbage leaves exactly what has a name, a container, or an image that was made from it.

use std::collections::{BTreeMap, BTreeSet};

use layerlab_model::changes::{self, Diff, Flat, Leaf, Letter, Names};
use layerlab_model::errno::Errno;
use layerlab_model::images::Images;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::process::Machine;
use layerlab_model::promises::Promises;
use layerlab_model::store::{Id, digest};
use layerlab_model::union::Union;

use crate::campaign::Counts;
use crate::generate::{Generator, Weights};
use crate::page::{Told, outcome};
use crate::shrink::shortest;

/// The parts of the model that the laws relate to each other; a test puts wrong ones in their place.
#[derive(Clone, Copy)]
struct Algebra {
    diff: fn(&Union) -> Diff,
    apply: fn(&Diff, &Flat) -> Flat,
    difference: fn(&Flat, &Flat) -> Diff,
    letters: fn(&Diff, &Flat) -> Vec<(Letter, Names)>,
    add: fn(&mut Images, &Id, &[Id], Option<Id>, &str),
    prune: fn(&mut Images, bool),
}

impl Algebra {
    const OF_THE_MODEL: Algebra = Algebra {
        diff: changes::diff,
        apply: changes::apply,
        difference: changes::difference,
        letters: changes::letters,
        add: Images::add,
        prune: Images::prune,
    };
}

/// A law of the algebra that does not hold, and the shortest steps to show it.
#[derive(Debug)]
pub struct Refuted {
    /// What does not hold.
    pub law: &'static str,
    /// How to show it.
    pub steps: Vec<Step>,
}

/// Draws the case of `seed`, of `length` steps.
pub fn run(seed: u64, length: usize, counts: &mut Counts) -> Result<(), Refuted> {
    run_with(Algebra::OF_THE_MODEL, seed, length, counts)
}

fn run_with(algebra: Algebra, seed: u64, length: usize, counts: &mut Counts) -> Result<(), Refuted> {
    let weights = Weights { commit: 12, remount: 0, ..Weights::default() };
    let mut generator = Generator::new(seed, weights, true);
    let mut world = World::new(algebra);
    let mut steps = Vec::new();
    for _ in 0..length {
        let step = generator.step(&world.machine);
        steps.push(step.clone());
        if let Err(law) = world.step(&step, counts) {
            let fails = |part: &[Step]| replay_with(algebra, part) == Err(law);
            return Err(Refuted { law, steps: shortest(&steps, fails) });
        }
    }
    Ok(())
}

/// Runs steps that are known; the law that does not hold, if so.
pub fn replay(steps: &[Step]) -> Result<(), &'static str> {
    replay_with(Algebra::OF_THE_MODEL, steps)
}

fn replay_with(algebra: Algebra, steps: &[Step]) -> Result<(), &'static str> {
    let mut world = World::new(algebra);
    steps.iter().try_for_each(|step| world.step(step, &mut Counts::default()).map(drop))
}

/// Runs the steps of a page; what does not hold, or comes out otherwise than the page says.
pub fn replay_page(steps: &[Told]) -> Result<(), String> {
    let mut world = World::new(Algebra::OF_THE_MODEL);
    for (number, Told { step, gives }) in (1..).zip(steps) {
        let result = world.step(step, &mut Counts::default());
        let result = result.map_err(|law| format!("step {number} ({step}): it does not hold that {law}"))?;
        let given = outcome(&result);
        if given != *gives {
            return Err(format!("step {number} ({step}): gives '{given}', the page says '{gives}'"));
        }
    }
    Ok(())
}

struct World {
    algebra: Algebra,
    machine: Machine,
    /// The merged tree when the last layer was begun.
    below: Flat,
    /// The tree that the frozen layers give when they are applied one after the other.
    applied: Flat,
    images: Images,
    diff_ids: Vec<Id>,
    /// The layers of every image that was added.
    stacks: BTreeMap<Id, Vec<Id>>,
}

impl World {
    fn new(algebra: Algebra) -> World {
        let machine = Machine::new(Promises::COMMON);
        let below = changes::flat(machine.union());
        let (images, diff_ids, stacks) = (Images::default(), Vec::new(), BTreeMap::new());
        World { algebra, machine, applied: below.clone(), below, images, diff_ids, stacks }
    }

    fn step(&mut self, step: &Step, counts: &mut Counts) -> Result<Result<Answer, Errno>, &'static str> {
        let is_commit = step.operation == Operation::Commit;
        if is_commit {
            self.before_commit()?;
        }
        let result = self.machine.step(step);
        counts.add(step, &result);
        if is_commit {
            self.after_commit(counts)?;
        }
        Ok(result)
    }

    fn before_commit(&mut self) -> Result<(), &'static str> {
        let Algebra { diff, apply, difference, letters, .. } = self.algebra;
        let merged = changes::flat(self.machine.union());
        let layer = diff(self.machine.union());
        self.applied = apply(&layer, &self.applied);
        if !changes::are_same(&self.applied, &merged) {
            return Err("the layers, applied one after the other, give the merged tree");
        }
        let walked = difference(&self.below, &merged);
        if !changes::are_same(&apply(&walked, &self.below), &merged) {
            return Err("what walking two trees finds turns the one into the other");
        }
        let said: Vec<_> = letters(&layer, &self.below).into_iter().map(|(_, names)| names).collect();
        let is_known = |names| said.contains(names) || said.iter().any(|above| names.starts_with(above));
        // A file whose names are torn apart by a copy-up looks changed by any of them, not only by the one that was.
        let face = |tree: &Flat, names| tree.get(names).map(|leaf: &Leaf| (leaf.meta.clone(), leaf.content.clone()));
        let is_torn = |names| face(&self.below, names) == face(&merged, names);
        let walked = changes::letters(&walked, &self.below);
        if !walked.iter().all(|(_, names)| is_torn(names) || is_known(names)) {
            return Err("every change that walking finds is in the layer");
        }
        self.diff_ids.push(digest(format!("{layer:?}").as_bytes()));
        self.below = merged;
        Ok(())
    }

    fn after_commit(&mut self, counts: &mut Counts) -> Result<(), &'static str> {
        // The new layer's root has no attributes but mode and owner.
        self.below = changes::flat(self.machine.union());
        let root = self.below.get(&Vec::new()).cloned();
        self.applied.extend(root.map(|root| (Vec::new(), root)));
        let id_of = |diff_ids: &[Id]| digest(format!("{diff_ids:?}").as_bytes());
        let count = self.diff_ids.len();
        // Some are made from the one before, some come by themselves; every second takes the name of another.
        let parent = (!count.is_multiple_of(3)).then(|| id_of(&self.diff_ids[..count - 1]));
        let name = if count.is_multiple_of(2) { "latest".to_owned() } else { format!("image-{count}") };
        let id = id_of(&self.diff_ids);
        (self.algebra.add)(&mut self.images, &id, &self.diff_ids, parent, &name);
        self.stacks.insert(id.clone(), self.diff_ids.clone());
        counts.count("image", "ok");
        if count % 4 == 1 {
            self.images.create(&id, &format!("container-{count}"));
        }
        if count.is_multiple_of(3) {
            // The first that no container needs.
            let names: Vec<String> = self.images.names().keys().map(ToString::to_string).collect();
            let gone = names.iter().position(|name| self.images.remove(name).is_ok());
            (0..gone.unwrap_or(names.len())).for_each(|_| counts.count("remove-image", "refused"));
            gone.into_iter().for_each(|_| counts.count("remove-image", "ok"));
        }
        if count.is_multiple_of(4) {
            self.collect(count.is_multiple_of(8), counts)?;
        }
        if count.is_multiple_of(6) {
            let oldest = self.images.containers().keys().next().cloned().unwrap_or_default();
            self.images.remove_container(&oldest);
        }
        let store = self.images.store();
        if store.layers() != store.reachable().iter().collect() {
            return Err("the layers that are kept are those that an image reaches");
        }
        // Counted without a chain ID: a layer and all below it.
        let whole = self.images.all().keys().filter_map(|id| self.stacks.get(id));
        let stacks = whole.flat_map(|diff_ids| (1..=diff_ids.len()).map(|top| &diff_ids[..top]));
        match store.layers().len() == stacks.collect::<BTreeSet<_>>().len() {
            true => Ok(()),
            false => Err("images share exactly the layers that lie on the same ones"),
        }
    }

    fn collect(&mut self, all: bool, counts: &mut Counts) -> Result<(), &'static str> {
        let before = self.images.clone();
        (self.algebra.prune)(&mut self.images, all);
        let went = before.all().len() - self.images.all().len();
        counts.count(if all { "prune-all" } else { "prune" }, if went > 0 { "ok" } else { "nothing" });
        let is_base = |images: &Images, id: &Id| images.all().values().any(|image| image.parent.as_ref() == Some(id));
        let is_used = |id: &Id| self.images.containers().values().any(|used| used == id);
        let mut left = self.images.all().iter();
        if left.any(|(id, image)| image.names.is_empty() && !is_base(&self.images, id) && !is_used(id)) {
            return Err("what is left when garbage was collected has a name or is needed");
        }
        let is_gone = |id: &&Id| !self.images.all().contains_key(*id);
        if before.all().keys().filter(is_gone).any(|id| is_used(id) || is_base(&self.images, id)) {
            return Err("what anything needs is not garbage");
        }
        if !all && before.names() != self.images.names() {
            return Err("what has a name is not garbage");
        }
        let once = self.images.clone();
        (self.algebra.prune)(&mut self.images, all);
        if once != self.images {
            return Err("what was collected needs no second collection");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is wrong in one place; the law that does not hold then.
    fn planted() -> Vec<(Algebra, &'static str)> {
        use layerlab_model::changes::Said;

        const RIGHT: Algebra = Algebra::OF_THE_MODEL;
        let forgets_whiteouts: fn(&Union) -> Diff = |union| {
            let mut diff = changes::diff(union);
            diff.retain(|_, said| *said != Said::Whiteout);
            diff
        };
        let forgets_opaqueness: fn(&Diff, &Flat) -> Flat = |diff, below| {
            let mut diff = diff.clone();
            for said in diff.values_mut() {
                if let Said::Is { is_opaque, .. } = said {
                    *is_opaque = false;
                }
            }
            changes::apply(&diff, below)
        };
        let forgets_deletions: fn(&Flat, &Flat) -> Diff = |before, after| {
            let mut diff = changes::difference(before, after);
            diff.retain(|_, said| *said != Said::Whiteout);
            diff
        };
        let forgets_chains: fn(&mut Images, &Id, &[Id], Option<Id>, &str) = |images, id, diff_ids, parent, name| {
            let own: Vec<Id> = diff_ids.iter().map(|diff_id| digest(format!("{id}{diff_id}").as_bytes())).collect();
            images.add(id, &own, parent, name);
        };
        let forgets_deletions_told: fn(&Diff, &Flat) -> Vec<(Letter, Names)> = |diff, below| {
            changes::letters(diff, below).into_iter().filter(|(letter, _)| *letter != Letter::D).collect()
        };
        let forgets_containers: fn(&mut Images, bool) = |images, all| {
            let containers = images.containers().clone();
            containers.keys().for_each(|name| images.remove_container(name));
            images.prune(all);
            containers.iter().for_each(|(name, id)| images.create(id, name));
        };
        let collects_in_part: fn(&mut Images, bool) = |images, all| {
            images.prune(false);
            let names: Vec<String> = images.names().keys().filter(|_| all).map(ToString::to_string).collect();
            let _ = names.iter().find(|name| images.remove(name).is_ok());
        };
        let takes_names: fn(&mut Images, bool) = |images, _| images.prune(true);
        vec![
            (
                Algebra { diff: forgets_whiteouts, ..RIGHT },
                "the layers, applied one after the other, give the merged tree",
            ),
            (
                Algebra { apply: forgets_opaqueness, ..RIGHT },
                "the layers, applied one after the other, give the merged tree",
            ),
            (
                Algebra { difference: forgets_deletions, ..RIGHT },
                "what walking two trees finds turns the one into the other",
            ),
            (Algebra { letters: forgets_deletions_told, ..RIGHT }, "every change that walking finds is in the layer"),
            (Algebra { prune: forgets_containers, ..RIGHT }, "what anything needs is not garbage"),
            (Algebra { prune: collects_in_part, ..RIGHT }, "what was collected needs no second collection"),
            (Algebra { add: forgets_chains, ..RIGHT }, "images share exactly the layers that lie on the same ones"),
            (Algebra { prune: |_, _| (), ..RIGHT }, "what is left when garbage was collected has a name or is needed"),
            (Algebra { prune: takes_names, ..RIGHT }, "what has a name is not garbage"),
        ]
    }

    #[test]
    fn an_algebra_that_is_wrong_in_one_place_is_refuted_by_the_law_about_it_in_few_steps() {
        // All garbage is collected after every eighth layer.
        const STEPS_MAX: usize = 8;
        for (algebra, law) in planted() {
            let mut refuted = (0..400).filter_map(|seed| run_with(algebra, seed, 60, &mut Counts::default()).err());
            let refuted = refuted.next().unwrap_or_else(|| panic!("nobody finds that not: {law}"));
            assert_eq!(refuted.law, law);
            assert!(refuted.steps.len() <= STEPS_MAX, "{law}: {} steps", refuted.steps.len());
        }
    }

    /// Checklist: GC-01, N-15~, N-26~, N-28~
    #[test]
    fn the_algebra_of_layers_holds() {
        let mut counts = Counts::default();
        for seed in 0..400 {
            if let Err(refuted) = run(seed, 60, &mut counts) {
                let steps: Vec<String> = refuted.steps.iter().map(ToString::to_string).collect();
                panic!("seed {seed}: it does not hold that {}:\n{}", refuted.law, steps.join("\n"));
            }
        }
        // That is nothing to the model.
        assert_eq!(counts.never().collect::<Vec<_>>(), ["never drawn: remount"]);
    }
}
