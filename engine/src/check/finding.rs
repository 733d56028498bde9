//! One thing that is wrong: what, where, what it means, and what would mend it.

use std::path::{Path, PathBuf};

use super::Scope;
use super::attributes::Attributes;
use crate::image::Digest;

/// The kinds of things that can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The configuration of an image is lost or altered.
    ImageConfig,
    /// A layer that an image needs has no record.
    ImageLayer,
    /// What this host knows of an image beside its configuration.
    ImageFacts,
    /// `repositories.json` itself.
    Names,
    /// A name of an image that is not here.
    DanglingName,
    /// The record of a layer lacks a file, or has one that says nothing.
    LayerRecord,
    /// A layer is not called by its chain ID, or does not lie on the layer its name says.
    ChainId,
    /// A layer has another size than its record says.
    LayerSize,
    /// A layer that neither image nor container needs.
    UnusedLayer,
    /// A layer's tar cannot be put together: its `tar-split.json.gz` is lost or damaged.
    TarSplit,
    /// The files of a layer are not those that it came with.
    Content,
    /// A file of a layer has another mode, owner or time, or other xattrs, than it came with.
    Attributes,
    /// A file in a layer with which it did not come.
    AddedFile,
    /// The driver's directory of a layer is lost, or a part of it.
    Directory,
    /// A driver's directory that belongs to nothing.
    OrphanDirectory,
    /// The short name of a layer of overlay2, or a link to it.
    Link,
    /// A directory where btrfs must have a subvolume.
    Subvolume,
    /// What a layer says it lies on.
    Lower,
    /// A container's record.
    ContainerRecord,
    /// The record of what a container is mounted on.
    MountRecord,
    /// The image of a container.
    ContainerImage,
    /// A container counts as running that nobody watches.
    Unwatched,
    /// What a command that was killed left half done.
    HalfMade,
    /// Something is mounted that should not be.
    LeftoverMount,
    /// What is known of blobs in registries.
    Distribution,
}

impl Fault {
    /// Its name, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Fault::ImageConfig => "image-config",
            Fault::ImageLayer => "image-layer",
            Fault::ImageFacts => "image-facts",
            Fault::Names => "names",
            Fault::DanglingName => "dangling-name",
            Fault::LayerRecord => "layer-record",
            Fault::ChainId => "chain-id",
            Fault::LayerSize => "layer-size",
            Fault::UnusedLayer => "unused-layer",
            Fault::TarSplit => "tar-split",
            Fault::Content => "content",
            Fault::Attributes => "attributes",
            Fault::AddedFile => "added-file",
            Fault::Directory => "directory",
            Fault::OrphanDirectory => "orphan-directory",
            Fault::Link => "link",
            Fault::Subvolume => "subvolume",
            Fault::Lower => "lower",
            Fault::ContainerRecord => "container-record",
            Fault::MountRecord => "mount-record",
            Fault::ContainerImage => "container-image",
            Fault::Unwatched => "unwatched",
            Fault::HalfMade => "half-made",
            Fault::LeftoverMount => "leftover-mount",
            Fault::Distribution => "distribution",
        }
    }

    /// What follows from it for whoever uses the data root.
    pub fn meaning(self) -> &'static str {
        match self {
            Fault::ImageConfig => "the image is not listed and cannot be run, and what it is called leads nowhere",
            Fault::ImageLayer => "no container of the image can be made, and the image can neither be saved nor pushed",
            Fault::ImageFacts => "the image's history on this host is not told, and its parent may be removed",
            Fault::Names => "no image has a name, and dockerd does not start when the file is there and no JSON",
            Fault::DanglingName => "the name is taken, and leads to no image",
            Fault::LayerRecord => "dockerd passes the layer over, and every image and container that needs it",
            Fault::ChainId => "another layer than the images mean is taken for it",
            Fault::LayerSize => "the sizes of images are told wrongly",
            Fault::UnusedLayer => "it takes space, and no command removes it",
            Fault::TarSplit => "containers run, but the images with this layer can neither be saved nor pushed",
            Fault::Content => "containers see other files than the image has, and it can neither be saved nor pushed",
            Fault::Attributes => {
                "containers see the file otherwise than the image has it, which is saved and pushed as it was"
            }
            Fault::AddedFile => "containers see a file that the image has not",
            Fault::Directory => "no container with this layer can be started, nor the image saved",
            Fault::OrphanDirectory => "it takes space, and no command removes it",
            Fault::Link => "containers with this layer, or some above it, cannot be started",
            Fault::Subvolume => "nothing can be made on the layer, no container and no other layer",
            Fault::Lower => "containers with this layer see too few files or others, or cannot be started",
            Fault::ContainerRecord => "the container is not listed, or has forgotten its settings",
            Fault::MountRecord => "the container is not listed by dockerd and cannot be started",
            Fault::ContainerImage => "the container works, but its image is shown as an ID, and a commit has no parent",
            Fault::Unwatched => "its output and exit code are lost; the next command counts it as exited",
            Fault::HalfMade => "it takes space until a command that makes or removes something clears it, or a repair",
            Fault::LeftoverMount => "what is below cannot be removed as long as it is mounted",
            Fault::Distribution => "layers are pulled and pushed in full, although they are known",
        }
    }
}

/// How a remedy works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Something is made, written or given back.
    Adding,
    /// Something goes for good.
    Removing,
    /// Something comes from a registry.
    Fetching,
    /// An engine does it.
    Recovering,
}

/// What would mend a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing that is here; what people can do.
    Advice(String),
    /// The file gets this content and mode.
    Write { content: Vec<u8>, mode: u32 },
    /// `repositories.json` is written anew, with the names that are still told; of some images none is.
    WriteNames { content: Vec<u8>, names: Vec<String>, nameless: Vec<String> },
    /// The file or directory goes.
    Remove,
    /// The directory is made.
    MakeDirectory { mode: u32 },
    /// The symbolic link is made, or made anew.
    Link { target: PathBuf },
    /// The file is given the attributes of its header.
    GiveAttributes(Box<Attributes>),
    /// The directory becomes a subvolume with the same content.
    MakeSubvolume,
    /// It is unmounted.
    Unmount,
    /// The name is forgotten.
    ForgetName { repository: String, name: String },
    /// The layer with this chain ID comes again from the registry its image came from.
    FetchLayer(Digest),
    /// The configuration of this image comes again from there.
    FetchConfig(Digest),
    /// The layer with this chain ID and its record go.
    DropLayer(Digest),
    /// What was noted is finished or undone, as the next command would that makes or removes something.
    Finish,
    /// An engine that is opened sets it right, or removes what was to go with its end (`--rm`).
    Recover { removes: bool },
}

impl Remedy {
    /// Whether a repair does it.
    pub fn is_mending(&self) -> bool {
        self.way().is_some()
    }

    /// How it works; nothing for advice.
    pub(super) fn way(&self) -> Option<Way> {
        match self {
            Remedy::Advice(_) => None,
            Remedy::Write { .. }
            | Remedy::WriteNames { .. }
            | Remedy::MakeDirectory { .. }
            | Remedy::Link { .. }
            | Remedy::GiveAttributes(_)
            | Remedy::MakeSubvolume
            | Remedy::Unmount => Some(Way::Adding),
            Remedy::Remove | Remedy::ForgetName { .. } | Remedy::DropLayer(_) => Some(Way::Removing),
            Remedy::FetchLayer(_) | Remedy::FetchConfig(_) => Some(Way::Fetching),
            Remedy::Finish | Remedy::Recover { .. } => Some(Way::Recovering),
        }
    }

    /// What a repair does, or what people can do.
    pub fn words(&self) -> String {
        match self {
            Remedy::Advice(text) => text.clone(),
            Remedy::Write { content, .. } if content.is_empty() => "it is made anew".to_owned(),
            Remedy::Write { content, .. } => match std::str::from_utf8(content) {
                Ok(text) if text.len() < 100 => format!("it is written anew: {text}"),
                _ => "it is written anew".to_owned(),
            },
            Remedy::WriteNames { names, nameless, .. } => super::names::words(names, nameless),
            Remedy::Remove => "it is removed".to_owned(),
            Remedy::MakeDirectory { .. } => "it is made anew".to_owned(),
            Remedy::Link { target } => format!("it is linked to {}", target.display()),
            Remedy::GiveAttributes(_) => "it is given what it came with".to_owned(),
            Remedy::MakeSubvolume => "it is copied into a subvolume, which takes its place".to_owned(),
            Remedy::Unmount => "it is unmounted".to_owned(),
            Remedy::ForgetName { name, .. } => format!("the name {name} is forgotten"),
            Remedy::FetchLayer(_) => "the layer is pulled again by its digest".to_owned(),
            Remedy::FetchConfig(_) => "the image's configuration is pulled again by its digest".to_owned(),
            Remedy::DropLayer(_) => "the layer is removed".to_owned(),
            Remedy::Finish => "what it was about is finished, or undone".to_owned(),
            Remedy::Recover { removes: false } => "the record is set right".to_owned(),
            Remedy::Recover { removes: true } => {
                "the container is removed with all that it wrote, as it was made to go with its end (--rm)".to_owned()
            }
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub fault: Fault,
    /// What is wrong, in a sentence.
    pub what: String,
    /// The file or directory.
    pub path: PathBuf,
    /// What would mend it.
    pub remedy: Remedy,
    /// The layer or image that it is about, if one of them is.
    pub about: Option<About>,
}

impl Finding {
    /// Whether this is the other one, found another time: what would mend it may be another thing by then.
    pub(super) fn is_same(&self, other: &Finding) -> bool {
        (self.fault, &self.path, &self.what, &self.about) == (other.fault, &other.path, &other.what, &other.about)
    }
}

/// What a finding belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A layer, by chain ID.
    Layer(Digest),
    /// An image.
    Image(Digest),
}

/// What could not be judged of a layer: it is not known to be sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The layer, by chain ID.
    pub layer: Digest,
    /// What was not compared, and why.
    pub why: String,
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    passed_over: Vec<PassedOver>,
}

impl Findings {
    pub(super) fn add(&mut self, fault: Fault, path: &Path, what: impl Into<String>, remedy: Remedy) {
        self.found.push(Finding { fault, what: what.into(), path: path.to_owned(), remedy, about: None });
    }

    pub(super) fn layer(&mut self, layer: &Digest, fault: Fault, path: &Path, what: impl Into<String>, remedy: Remedy) {
        let about = Some(About::Layer(layer.clone()));
        self.found.push(Finding { fault, what: what.into(), path: path.to_owned(), remedy, about });
    }

    pub(super) fn image(&mut self, image: &Digest, fault: Fault, path: &Path, what: impl Into<String>, remedy: Remedy) {
        let about = Some(About::Image(image.clone()));
        self.found.push(Finding { fault, what: what.into(), path: path.to_owned(), remedy, about });
    }

    /// Tells what could not be judged, once each.
    pub(super) fn pass_over(&mut self, layer: &Digest, why: &str) {
        let passed_over = PassedOver { layer: layer.clone(), why: why.to_owned() };
        if !self.passed_over.contains(&passed_over) {
            self.passed_over.push(passed_over);
        }
    }

    /// Takes what was told to [`Findings::pass_over`].
    pub(super) fn take_passed_over(&mut self) -> Vec<PassedOver> {
        std::mem::take(&mut self.passed_over)
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether something of a kind was found of anything.
    pub(super) fn has_any(&self, faults: &[Fault]) -> bool {
        self.found.iter().any(|finding| faults.contains(&finding.fault))
    }

    /// Forgets what was found of some kinds.
    pub(super) fn drop_all(&mut self, faults: &[Fault]) {
        self.found.retain(|finding| !faults.contains(&finding.fault));
    }

    pub(super) fn all(self) -> Vec<Finding> {
        self.found
    }

    /// Those that belong to what was asked for.
    pub(super) fn in_scope(self, scope: &Scope) -> Vec<Finding> {
        let is_meant = |finding: &Finding| match &finding.about {
            Some(About::Layer(layer)) => scope.has_layer(layer),
            Some(About::Image(image)) => scope.has_image(image),
            None => scope.is_all(),
        };
        self.found.into_iter().filter(is_meant).collect()
    }
}
