//! Images as a store knows them: names, parents, containers, and what goes when a name is taken away or garbage is collected.
//!
//! *Source*: Docker's `rmi` (`ImageDelete` of moby's `daemon/images/image_delete.go`, 20.10): the last name of an image takes the image
//! with it, unless another was made from it here, and is refused while a container is of it; then the nameless images that it was made
//! from go too, as long as nothing else was made from them and no container is of them. `image prune` (`ImagesPrune` of
//! `daemon/images/image_prune.go`): images without a name that none was made from; with `--all` those with names too.
//! *Holds*: an image without a name is here until somebody collects garbage, or while an image or a container needs it.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{Id, Store};

/// The images of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    store: Store,
    known: BTreeMap<Id, Image>,
    containers: BTreeMap<String, Id>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The diff IDs of its layers, the lowest first.
    pub diff_ids: Vec<Id>,
    /// Its names.
    pub names: BTreeSet<String>,
    /// The image that it was made from here.
    pub parent: Option<Id>,
}

/// A container of this image keeps its last name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse(pub Id);

impl Images {
    /// Takes in an image under a name; one that is there gets one name more. A name that another has is taken from that.
    pub fn add(&mut self, id: &Id, diff_ids: &[Id], parent: Option<Id>, name: &str) {
        self.store.add(id.clone(), diff_ids);
        let new = || Image { diff_ids: diff_ids.to_vec(), names: BTreeSet::new(), parent };
        self.known.entry(id.clone()).or_insert_with(new);
        self.tag(id, name);
    }

    /// Gives an image that is here a name, which is taken from the image that has it.
    pub fn tag(&mut self, id: &Id, name: &str) {
        for image in self.known.values_mut() {
            image.names.remove(name);
        }
        if let Some(image) = self.known.get_mut(id) {
            image.names.insert(name.to_owned());
        }
    }

    /// Makes a container of an image that is here.
    pub fn create(&mut self, id: &Id, container: &str) {
        self.containers.insert(container.to_owned(), id.clone());
    }

    /// Removes a container.
    pub fn remove_container(&mut self, container: &str) {
        self.containers.remove(container);
    }

    /// Takes a name away, and what nothing needs any more.
    pub fn remove(&mut self, name: &str) -> Result<(), InUse> {
        let Some((id, image)) = self.known.iter_mut().find(|(_, image)| image.names.contains(name)) else {
            return Ok(());
        };
        if image.names.len() == 1 && self.containers.values().any(|used| used == id) {
            return Err(InUse(id.clone()));
        }
        image.names.remove(name);
        let id = id.clone();
        self.delete(id);
        Ok(())
    }

    /// Collects garbage: images without a name, and with `all` those with names, unless something needs them.
    pub fn prune(&mut self, all: bool) {
        let is_meant = |(id, image): &(&Id, &Image)| match image.names.is_empty() {
            true => !self.has_children(id),
            false => all,
        };
        let meant: Vec<Id> = self.known.iter().filter(is_meant).map(|(id, _)| id.clone()).collect();
        for id in meant {
            let names = self.known.get(&id).map(|image| image.names.clone()).unwrap_or_default();
            for name in &names {
                // What is in use stays.
                let _ = self.remove(name);
            }
            self.delete(id);
        }
    }

    /// Deletes an image that nothing needs, and then those that it was made from.
    fn delete(&mut self, id: Id) {
        let mut next = Some(id);
        while let Some(id) = next.take().filter(|id| !self.is_needed(id)) {
            next = self.known.remove(&id).and_then(|image| image.parent);
            // It is there: both lists are changed together.
            let _ = self.store.remove(&id);
        }
    }

    /// Whether an image has a name, or a container, or another that was made from it; one that is not there needs nothing.
    fn is_needed(&self, id: &Id) -> bool {
        let is_used = || self.containers.values().any(|used| used == id);
        self.known.get(id).is_none_or(|image| !image.names.is_empty() || self.has_children(id) || is_used())
    }

    fn has_children(&self, id: &Id) -> bool {
        self.known.values().any(|image| image.parent.as_ref() == Some(id))
    }

    /// The layers, counted.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The images by their IDs.
    pub fn all(&self) -> &BTreeMap<Id, Image> {
        &self.known
    }

    /// The containers by their names, and of which image each is.
    pub fn containers(&self) -> &BTreeMap<String, Id> {
        &self.containers
    }

    /// All names, sorted, and whose they are.
    pub fn names(&self) -> BTreeMap<&str, &Id> {
        self.known.iter().flat_map(|(id, image)| image.names.iter().map(move |name| (name.as_str(), id))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::digest;

    /// A base, and a child of it on one layer more.
    fn family() -> (Images, Id, Id) {
        let [a, b] = ["a", "b"].map(|letter| digest(letter.as_bytes()));
        let (base, child) = ("base-id".to_owned(), "child-id".to_owned());
        let mut images = Images::default();
        images.add(&base, std::slice::from_ref(&a), None, "base");
        images.add(&child, &[a, b], Some(base.clone()), "child");
        (images, base, child)
    }

    #[test]
    fn a_base_goes_with_the_last_image_that_was_made_from_it() {
        let (mut images, base, _) = family();
        images.tag(&base, "again");
        assert_eq!([images.remove("base"), images.remove("again")], [Ok(()), Ok(())]);
        assert_eq!(images.all().len(), 2, "the child needs it");
        assert_eq!(images.remove("child"), Ok(()));
        assert!(images.all().is_empty() && images.store().layers().is_empty());
    }

    #[test]
    fn garbage_is_what_has_no_name_and_is_not_needed() {
        let (mut images, base, child) = family();
        images.tag(&child, "base");
        images.prune(false);
        assert_eq!(images.all().len(), 2, "the child needs it");
        images.tag(&base, "base");
        images.tag(&base, "child");
        images.create(&child, "user");
        images.prune(false);
        assert_eq!(images.all().len(), 2, "a container needs the child");
        images.remove_container("user");
        images.prune(false);
        assert_eq!((images.all().len(), images.store().layers().len()), (1, 1));
    }

    #[test]
    fn all_is_garbage_that_no_container_needs() {
        let (mut images, base, child) = family();
        images.create(&base, "user");
        images.tag(&base, "again");
        assert_eq!(images.remove("again"), Ok(()));
        assert_eq!(images.remove("base"), Err(InUse(base.clone())));
        images.prune(true);
        assert_eq!(images.all().keys().collect::<Vec<_>>(), [&base]);
        assert_eq!(images.names().into_keys().collect::<Vec<_>>(), ["base"]);
        images.remove_container("user");
        images.prune(true);
        assert!(images.all().is_empty() && images.store().layers().is_empty(), "{child}");
    }
}
