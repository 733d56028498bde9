//! Images as a store knows them: names, parents, and what goes when a name is taken away.
//!
//! *Source*: Docker's `rmi` (`daemon/images/image_delete.go` of moby): the last name of an image takes the image with it, unless
//! another was made from it here; then the nameless images that it was made from go too, as long as nothing else was made from them.
//! *Holds*: every image of the store has a name or was the base of one that has.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{Id, Store};

/// The images of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    store: Store,
    known: BTreeMap<Id, Image>,
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

impl Images {
    /// Takes in an image under a name; one that is there gets one name more. A name that another has is taken from that.
    pub fn add(&mut self, id: &Id, diff_ids: &[Id], parent: Option<Id>, name: &str) {
        for image in self.known.values_mut() {
            image.names.remove(name);
        }
        self.store.add(id.clone(), diff_ids);
        let new = || Image { diff_ids: diff_ids.to_vec(), names: BTreeSet::new(), parent };
        self.known.entry(id.clone()).or_insert_with(new).names.insert(name.to_owned());
    }

    /// Takes a name away, and what nothing needs any more.
    pub fn remove(&mut self, name: &str) {
        let mut next = None;
        for (id, image) in &mut self.known {
            if image.names.remove(name) {
                next = Some(id.clone());
            }
        }
        while let Some(id) = next.take() {
            let has_children = self.known.values().any(|image| image.parent.as_ref() == Some(&id));
            if has_children || self.known.get(&id).is_none_or(|image| !image.names.is_empty()) {
                return;
            }
            next = self.known.remove(&id).and_then(|image| image.parent);
            // It is there: both lists are changed together.
            let _ = self.store.remove(&id);
        }
    }

    /// The layers, counted.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The images by their IDs.
    pub fn all(&self) -> &BTreeMap<Id, Image> {
        &self.known
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

    #[test]
    fn a_base_goes_with_the_last_image_that_was_made_from_it() {
        let [a, b] = ["a", "b"].map(|letter| digest(letter.as_bytes()));
        let (base, child) = ("base-id".to_owned(), "child-id".to_owned());
        let mut images = Images::default();
        images.add(&base, std::slice::from_ref(&a), None, "base");
        images.add(&child, &[a.clone(), b], Some(base.clone()), "child");
        images.add(&base, &[a], None, "again");
        images.remove("base");
        images.remove("again");
        assert_eq!(images.all().len(), 2, "the child needs it");
        images.remove("child");
        assert!(images.all().is_empty() && images.store().layers().is_empty());
    }
}
