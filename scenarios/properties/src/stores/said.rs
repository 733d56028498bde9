//! Acts with the names of images and containers in them, as somebody at a terminal says them.

use std::io;

use layerlab_model::images::Images;

use super::{Act, archive};

/// An act that has found what it is about. What is new has a name that was never there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// [`Act::Load`]
    Load { layers: Vec<usize>, new: String },
    /// [`Act::Commit`]
    Commit { image: String, letter: Option<char>, new: String },
    /// [`Act::Flatten`]
    Flatten { image: String, new: String },
    /// [`Act::Carry`]
    Carry { image: String },
    /// [`Act::Remove`]
    Remove { image: String },
    /// [`Act::Tag`]
    Tag { image: String, over: String },
    /// [`Act::Create`]
    Create { image: String, container: String },
    /// [`Act::RemoveContainer`]
    RemoveContainer { container: String },
    /// [`Act::Prune`]
    Prune { all: bool },
    /// [`Act::Reopen`]
    Reopen,
    /// [`Act::Stumble`]
    Stumble { call: usize },
}

/// The names that there are, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Names {
    images: Vec<String>,
    containers: Vec<String>,
    named: usize,
    created: usize,
}

impl Names {
    /// What `act` is about; none when there is no such thing.
    pub fn say(&mut self, act: &Act) -> Option<Said> {
        let image = |number: &usize| Some(self.images[number.checked_rem(self.images.len())?].clone());
        Some(match act {
            Act::Load { layers } => Said::Load { layers: layers.clone(), new: self.new_image() },
            Act::Commit { image: number, letter } => {
                Said::Commit { image: image(number)?, letter: *letter, new: self.new_image() }
            }
            Act::Flatten { image: number } => Said::Flatten { image: image(number)?, new: self.new_image() },
            Act::Carry { image: number } => Said::Carry { image: image(number)? },
            Act::Remove { image: number } => Said::Remove { image: image(number)? },
            Act::Tag { image: number, over } => Said::Tag { image: image(number)?, over: image(over)? },
            Act::Create { image: number } => {
                let image = image(number)?;
                self.created += 1;
                let container = format!("container-{:04}", self.created);
                self.containers.push(container.clone());
                Said::Create { image, container }
            }
            Act::RemoveContainer { container } => {
                let number = container.checked_rem(self.containers.len())?;
                Said::RemoveContainer { container: self.containers.remove(number) }
            }
            Act::Prune { all } => Said::Prune { all: *all },
            Act::Reopen => Said::Reopen,
            Act::Stumble { call } => Said::Stumble { call: *call },
        })
    }

    /// All of one length, so that files that hold them are.
    fn new_image(&mut self) -> String {
        self.named += 1;
        let name = format!("image-{:04}:latest", self.named);
        self.images.push(name.clone());
        name
    }

    /// Forgets the names that `model` does not have any more.
    pub fn forget(&mut self, model: &Images) {
        let names = model.names();
        self.images.retain(|name| names.contains_key(name.as_str()));
    }

    /// Whether there is an image that has a name.
    pub fn has_images(&self) -> bool {
        !self.images.is_empty()
    }

    /// Whether there is a container.
    pub fn has_containers(&self) -> bool {
        !self.containers.is_empty()
    }
}

/// What `said` does to a model of images, whose `id` and layers an engine chooses where the image is new and not loaded; whether
/// it is refused.
pub fn done(model: &mut Images, said: &Said, id: &str, diff_ids: &[String]) -> bool {
    let named = |model: &Images, name: &str| model.names().get(name).map(|id| (*id).clone());
    match said {
        Said::Load { new, .. } | Said::Flatten { new, .. } => model.add(&id.to_owned(), diff_ids, None, new),
        Said::Commit { image, new, .. } => model.add(&id.to_owned(), diff_ids, named(model, image), new),
        Said::Remove { image } => return model.remove(image).is_err(),
        Said::Tag { image, over } => {
            if let Some(id) = named(model, image) {
                model.tag(&id, over);
            }
        }
        Said::Create { image, container } => {
            if let Some(id) = named(model, image) {
                model.create(&id, container);
            }
        }
        Said::RemoveContainer { container } => model.remove_container(container),
        Said::Prune { all } => model.prune(*all),
        Said::Carry { .. } | Said::Reopen | Said::Stumble { .. } => {}
    }
    false
}

/// What the acts of a case say, each with whether it is refused, and the images in the end. Images that an engine makes have IDs
/// and layers that no engine gives.
pub fn told(acts: &[Act]) -> io::Result<(Vec<(Said, bool)>, Images)> {
    let collection = archive::collection()?;
    let (mut names, mut model, mut told) = (Names::default(), Images::default(), Vec::new());
    for act in acts {
        let Some(said) = names.say(act) else { continue };
        let (id, diff_ids) = match &said {
            Said::Load { layers, new } => {
                let (_, id, diff_ids) = archive::image(&archive::chosen(&collection, layers), new)?;
                (id, diff_ids)
            }
            Said::Commit { image, letter, new } => {
                let below = model.names().get(image.as_str()).map(|id| model.all()[*id].diff_ids.clone());
                let new_layer = letter.map(|letter| format!("{letter} of {new}"));
                (format!("committed as {new}"), below.into_iter().flatten().chain(new_layer).collect())
            }
            Said::Flatten { new, .. } => (format!("imported as {new}"), vec![format!("all of {new}")]),
            _ => (String::new(), Vec::new()),
        };
        let is_refused = done(&mut model, &said, &id, &diff_ids);
        names.forget(&model);
        told.push((said, is_refused));
    }
    Ok((told, model))
}
