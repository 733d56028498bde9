//! What must exist on the shared data root: a small model of images, names, containers, volumes and saved archives.
//!
//! It knows Docker's rules of removal (what `rmi` refuses, and what goes along with an image), so that an image which
//! disappears too early, or stays too long, is noticed whoever removed it.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{Change, Files};

/// `sha256:` and 64 hex digits.
pub type ImageId = String;

/// What there is.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub images: BTreeMap<ImageId, Image>,
    /// `made:3` and the image that it means.
    pub names: BTreeMap<String, ImageId>,
    pub containers: BTreeMap<String, Container>,
    /// The files of each volume, by their names.
    pub volumes: BTreeMap<String, BTreeMap<String, String>>,
    /// What was saved, by the name of the file.
    pub archives: BTreeMap<String, Vec<Saved>>,
    /// What was built, so that it can be built again.
    pub builds: Vec<Build>,
    /// Images that a registry serves, as far as they were pulled once or pushed.
    pub served: BTreeMap<String, (ImageId, Files)>,
    /// How many images were made.
    made: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Image {
    pub files: Files,
    pub parent: Option<ImageId>,
    /// How many were made before it: IDs differ from run to run.
    pub number: usize,
}

#[derive(Debug, Clone)]
pub struct Container {
    pub image: ImageId,
    pub files: Files,
    /// What it does each time it starts.
    pub script: Vec<Change>,
    pub state: State,
    /// What its first process wrote to its standard output so far.
    pub log: String,
    /// What it writes each time it starts.
    pub says: String,
    /// What it exits with; nothing if it sleeps.
    pub code: Option<i32>,
    pub volume: Option<VolumeFile>,
}

/// What a container writes into its volume, which lies at `/data`.
#[derive(Debug, Clone)]
pub struct VolumeFile {
    pub volume: String,
    pub file: String,
    pub content: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Created,
    Running,
    Exited(i32),
}

/// One image in an archive.
#[derive(Debug, Clone)]
pub struct Saved {
    pub name: String,
    pub id: ImageId,
    pub image: Image,
}

#[derive(Debug, Clone)]
pub struct Build {
    pub context: String,
    pub base: String,
    pub base_id: ImageId,
    pub id: ImageId,
    pub files: Files,
}

/// What removing an image comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Removal {
    Done,
    /// What the refusal says.
    Refused(&'static str),
}

impl Model {
    /// The files of the image that a name means.
    pub fn files_of(&self, name: &str) -> Files {
        let image = self.names.get(name).and_then(|id| self.images.get(id));
        image.map(|image| image.files.settled()).unwrap_or_default()
    }

    pub fn running(&self) -> Vec<&str> {
        self.containers_in(|state| state == State::Running)
    }

    pub fn containers_in(&self, wanted: impl Fn(State) -> bool) -> Vec<&str> {
        self.containers.iter().filter(|(_, container)| wanted(container.state)).map(|(name, _)| name.as_str()).collect()
    }

    fn has_name(&self, id: &str) -> bool {
        self.names.values().any(|of| of == id)
    }

    fn has_child(&self, id: &str) -> bool {
        self.images.values().any(|image| image.parent.as_deref() == Some(id))
    }

    fn is_used(&self, id: &str) -> bool {
        self.containers.values().any(|container| container.image == id)
    }

    /// Images without a name and without a child: what `docker images` shows as `<none>`.
    pub fn dangling(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.images.keys().map(String::as_str).collect();
        ids.retain(|id| !self.has_name(id) && !self.has_child(id));
        ids.sort_by_key(|id| self.images[*id].number);
        ids
    }

    /// An image that is there from now on; one that was there before stays what it is.
    pub fn add_image(&mut self, id: &str, files: Files, parent: Option<ImageId>) {
        let parent = parent.filter(|parent| self.images.contains_key(parent));
        self.images.entry(id.to_owned()).or_insert(Image { files: files.settled(), parent, number: self.made });
        self.made += 1;
    }

    /// Whether an image is there that is made of another, step by step.
    pub fn descends(&self, id: &str, from: &str) -> bool {
        let parent = |id: &ImageId| self.images.get(id).and_then(|image| image.parent.clone());
        self.images.contains_key(id) && std::iter::successors(Some(id.to_owned()), parent).any(|of| of == from)
    }

    /// `docker rmi NAME`.
    pub fn remove_name(&mut self, name: &str) -> Removal {
        let Some(id) = self.names.get(name).cloned() else { return Removal::Refused("No such image") };
        let is_last = self.names.values().filter(|of| **of == id).count() == 1;
        if is_last && self.is_used(&id) {
            return Removal::Refused("unable to remove repository reference");
        }
        self.names.remove(name);
        self.collect(&id);
        Removal::Done
    }

    /// `docker rmi ID` of an image without a name.
    pub fn remove_nameless(&mut self, id: &str) -> Removal {
        let running = |container: &Container| container.image == id && container.state == State::Running;
        if self.has_child(id) {
            return Removal::Refused("image has dependent child images");
        }
        if self.containers.values().any(running) {
            return Removal::Refused("image is being used by running container");
        }
        if self.is_used(id) {
            return Removal::Refused("image is being used by stopped container");
        }
        self.collect(id);
        Removal::Done
    }

    /// `docker image prune`.
    pub fn prune_images(&mut self) {
        let dangling: Vec<ImageId> = self.dangling().into_iter().map(str::to_owned).collect();
        dangling.iter().for_each(|id| self.collect(id));
    }

    /// Removes an image that nothing holds, and then its parent.
    fn collect(&mut self, id: &str) {
        if self.has_name(id) || self.has_child(id) || self.is_used(id) {
            return;
        }
        if let Some(Image { parent: Some(parent), .. }) = self.images.remove(id) {
            self.collect(&parent);
        }
    }

    /// Volumes that no container has.
    pub fn free_volumes(&self) -> Vec<&str> {
        let used: BTreeSet<&str> =
            self.containers.values().filter_map(|container| Some(container.volume.as_ref()?.volume.as_str())).collect();
        self.volumes.keys().map(String::as_str).filter(|name| !used.contains(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `base:1`, `made:1` made of a nameless one that was made of it.
    fn model() -> Model {
        let mut model = Model::default();
        for (id, parent) in [("base", None), ("middle", Some("base")), ("top", Some("middle"))] {
            model.add_image(id, Files::default(), parent.map(str::to_owned));
        }
        model.names = [("base:1", "base"), ("made:1", "top")].map(|(name, id)| (name.into(), id.into())).into();
        model
    }

    fn container(image: &str) -> Container {
        let (files, script, log, says) = (Files::default(), Vec::new(), String::new(), String::new());
        Container { image: image.into(), files, script, state: State::Created, log, says, code: None, volume: None }
    }

    #[test]
    fn an_image_goes_with_its_last_name_and_takes_nameless_parents_along() {
        let mut model = model();
        model.names.insert("other:1".into(), "top".into());
        assert_eq!(model.remove_name("made:1"), Removal::Done);
        assert_eq!(model.images.len(), 3);
        assert_eq!(model.remove_name("other:1"), Removal::Done);
        assert_eq!(model.images.keys().collect::<Vec<_>>(), ["base"]);
    }

    #[test]
    fn an_image_that_something_is_made_of_loses_its_name_only() {
        let mut model = model();
        assert_eq!(model.remove_name("base:1"), Removal::Done);
        assert!(model.images.contains_key("base") && model.dangling().is_empty());
        assert_eq!(model.remove_nameless("base"), Removal::Refused("image has dependent child images"));
        model.remove_name("made:1");
        assert!(model.images.is_empty());
    }

    #[test]
    fn an_image_with_a_container_stays() {
        let mut model = model();
        model.containers.insert("c1".into(), container("top"));
        assert_eq!(model.remove_name("made:1"), Removal::Refused("unable to remove repository reference"));
        model.names.remove("made:1");
        model.prune_images();
        assert!(model.images.contains_key("top"));
        assert_eq!(model.remove_nameless("top"), Removal::Refused("image is being used by stopped container"));
    }
}
