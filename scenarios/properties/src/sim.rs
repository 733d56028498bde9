//! Campaigns over the model alone: the algebra of layers, without root or a kernel, a million steps a minute and more.
//!
//! After every new layer: the layers applied one after the other give the merged tree; what walking two trees finds turns
//! the one into the other; images share exactly the layers whose chain IDs are equal; counting references removes exactly
//! what nothing reaches.

use layerlab_model::changes::{self, Flat, Leaf};
use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::process::Machine;
use layerlab_model::promises::Promises;
use layerlab_model::store::{Id, Store, digest};

use crate::campaign::Counts;
use crate::generate::{Generator, Weights};
use crate::page::{Told, outcome};
use crate::shrink::shortest;

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
    let weights = Weights { commit: 12, remount: 0, ..Weights::default() };
    let mut generator = Generator::new(seed, weights, true);
    let mut world = World::new();
    let mut steps = Vec::new();
    for _ in 0..length {
        let step = generator.step(&world.machine);
        steps.push(step.clone());
        if let Err(law) = world.step(&step, counts) {
            let fails = |part: &[Step]| replay(part) == Err(law);
            return Err(Refuted { law, steps: shortest(&steps, fails) });
        }
    }
    Ok(())
}

/// Runs steps that are known; the law that does not hold, if so.
pub fn replay(steps: &[Step]) -> Result<(), &'static str> {
    let mut world = World::new();
    steps.iter().try_for_each(|step| world.step(step, &mut Counts::default()).map(drop))
}

/// Runs the steps of a page; what does not hold, or comes out otherwise than the page says.
pub fn replay_page(steps: &[Told]) -> Result<(), String> {
    let mut world = World::new();
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
    machine: Machine,
    /// The merged tree when the last layer was begun.
    below: Flat,
    /// The tree that the frozen layers give when they are applied one after the other.
    applied: Flat,
    store: Store,
    diff_ids: Vec<Id>,
}

impl World {
    fn new() -> World {
        let machine = Machine::new(Promises::COMMON);
        let below = changes::flat(machine.union());
        World { machine, applied: below.clone(), below, store: Store::default(), diff_ids: Vec::new() }
    }

    fn step(&mut self, step: &Step, counts: &mut Counts) -> Result<Result<Answer, Errno>, &'static str> {
        let is_commit = step.operation == Operation::Commit;
        if is_commit {
            self.before_commit()?;
        }
        let result = self.machine.step(step);
        counts.add(step, &result);
        if is_commit {
            self.after_commit()?;
        }
        Ok(result)
    }

    fn before_commit(&mut self) -> Result<(), &'static str> {
        let merged = changes::flat(self.machine.union());
        let layer = changes::diff(self.machine.union());
        self.applied = changes::apply(&layer, &self.applied);
        if !changes::are_same(&self.applied, &merged) {
            return Err("the layers, applied one after the other, give the merged tree");
        }
        let walked = changes::difference(&self.below, &merged);
        if !changes::are_same(&changes::apply(&walked, &self.below), &merged) {
            return Err("what walking two trees finds turns the one into the other");
        }
        let said: Vec<_> = changes::letters(&layer, &self.below).into_iter().map(|(_, names)| names).collect();
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

    fn after_commit(&mut self) -> Result<(), &'static str> {
        // The new layer's root has no attributes but mode and owner.
        self.below = changes::flat(self.machine.union());
        let root = self.below.get(&Vec::new()).cloned();
        self.applied.extend(root.map(|root| (Vec::new(), root)));
        let name = digest(format!("{:?}", self.diff_ids).as_bytes());
        self.store.add(name, &self.diff_ids);
        if self.diff_ids.len().is_multiple_of(3) {
            let oldest = self.store.images().next().cloned();
            oldest.map(|image| self.store.remove(&image));
        }
        match self.store.layers() == self.store.reachable().iter().collect() {
            true => Ok(()),
            false => Err("the layers that are kept are those that an image reaches"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: GC-01, N-15~, N-26
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
