//! This engine's store, in process.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use layerlab_engine::container::config::HostConfig;
use layerlab_engine::container::{
    CommitSpec, CreateSpec, Engine, EngineError, ImportSpec, LoadProgress, Loaded, RemovedImage, Settings,
};
use layerlab_engine::image::{Reference, RunConfig};
use layerlab_engine::layer::Owners;
use layerlab_engine::registry::RegistrySettings;

use super::stumble::{Stone, Stumbling};
use super::{Freed, Promises, Shop};
use crate::subjects::SubjectError;
use crate::subjects::drivers::Decorate;

/// An engine with a storage driver, on a data root below a directory.
pub struct EngineShop {
    place: PathBuf,
    driver: &'static str,
    decorate: Arc<Decorate>,
    stone: Arc<Stone>,
    engine: Engine,
    /// How many others were asked for.
    others: std::cell::Cell<usize>,
}

struct Silent;

impl LoadProgress for Silent {
    fn loading(&self, _: &str, _: u64, _: u64) {}

    fn loaded(&self, _: Loaded) {}
}

impl EngineShop {
    /// An empty store below the directory `place`.
    pub fn open(place: &Path, driver: &'static str) -> Result<EngineShop, SubjectError> {
        EngineShop::decorated(place, driver, Arc::new(|driver| driver))
    }

    /// [`EngineShop::open`], with something round the driver.
    pub fn decorated(place: &Path, driver: &'static str, decorate: Arc<Decorate>) -> Result<EngineShop, SubjectError> {
        let stone = Arc::default();
        let engine = engine(place, driver, &*decorate, &stone)?;
        Ok(EngineShop { place: place.to_owned(), driver, decorate, stone, engine, others: std::cell::Cell::new(0) })
    }

    fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        operation: &'static str,
    ) -> impl FnOnce(E) -> SubjectError {
        SubjectError::of(operation, &self.place)
    }

    fn made(&self, name: &str, container: Option<&str>) -> Result<String, SubjectError> {
        let run = RunConfig { cmd: Some(vec!["true".to_owned()]), ..RunConfig::default() };
        let container = container.map(str::to_owned);
        let spec = CreateSpec { image: name.to_owned(), name: container, run, host: HostConfig::default() };
        Ok(self.engine.create(spec).map_err(self.failed("create a container in"))?.0.id)
    }
}

fn engine(place: &Path, driver: &'static str, decorate: &Decorate, stone: &Arc<Stone>) -> Result<Engine, SubjectError> {
    let settings = Settings {
        data_root: place.join("data"),
        exec_root: place.join("exec"),
        storage_driver: Some(driver.to_owned()),
        registry: RegistrySettings::default(),
        squash_owners: false,
        // Nothing is started.
        program: PathBuf::new(),
    };
    let decorated = |driver| decorate(Box::new(Stumbling { inner: driver, stone: stone.clone() }));
    Engine::open_with(settings, decorated).map_err(SubjectError::of("open an engine in", place))
}

fn deleted(removed: Vec<RemovedImage>) -> Vec<String> {
    let deleted = removed.into_iter().filter_map(|removed| match removed {
        RemovedImage::Deleted(digest) => Some(digest.to_string()),
        RemovedImage::Untagged(_) => None,
    });
    deleted.collect()
}

fn named(name: &str) -> Option<Reference> {
    Reference::parse(name).ok().map(Reference::with_default_tag)
}

impl Shop for EngineShop {
    fn data_root(&self) -> &Path {
        &self.engine.settings().data_root
    }

    fn driver(&self) -> &str {
        self.driver
    }

    fn promises(&self) -> Promises {
        Promises {
            layers_are_whole_trees: matches!(self.driver, "vfs" | "btrfs"),
            sizes_are_measured: matches!(self.driver, "overlay2" | "fuse-overlayfs"),
        }
    }

    fn load(&mut self, archive: &[u8]) -> Result<(), SubjectError> {
        let path = self.place.join("archive.tar");
        let written = File::create(&path).and_then(|mut file| file.write_all(archive)).and_then(|()| File::open(&path));
        let file = written.map_err(SubjectError::of("write", &path))?;
        self.engine.load_images(file, &Silent).map_err(self.failed("load an image in"))
    }

    fn save(&mut self, name: &str) -> Result<Vec<u8>, SubjectError> {
        let mut archive = Vec::new();
        self.engine.save_images(&[name.to_owned()], &mut archive).map_err(self.failed("save an image in"))?;
        Ok(archive)
    }

    fn commit(&mut self, name: &str, content: Option<&[u8]>, new: &str) -> Result<(), SubjectError> {
        let id = self.made(name, None)?;
        if let Some(content) = content {
            let files = self.engine.files(&id, true).map_err(self.failed("write into a container in"))?;
            files
                .write(Path::new("/"), content, Owners::AsRecorded)
                .map_err(self.failed("write into a container in"))?;
        }
        let spec = CommitSpec { reference: named(new), ..CommitSpec::default() };
        self.engine.commit(&id, &spec).map_err(self.failed("commit a container in"))?;
        self.remove_container(&id)
    }

    fn export(&mut self, name: &str) -> Result<Vec<u8>, SubjectError> {
        let id = self.made(name, None)?;
        let mut tar = Vec::new();
        self.engine.export(&id, &mut tar).map_err(self.failed("export a container in"))?;
        self.remove_container(&id)?;
        Ok(tar)
    }

    fn import(&mut self, tar: &[u8], new: &str) -> Result<(), SubjectError> {
        let spec = ImportSpec { reference: named(new), ..ImportSpec::default() };
        self.engine.import(tar, &spec).map(drop).map_err(self.failed("import an image in"))
    }

    fn remove(&mut self, name: &str) -> Result<Option<Freed>, SubjectError> {
        match self.engine.remove_image(name, false) {
            Err(EngineError::Conflict(_)) => Ok(None),
            removed => removed
                .map(|removed| Some(Freed { deleted: deleted(removed), reclaimed_bytes: None }))
                .map_err(self.failed("remove an image in")),
        }
    }

    fn tag(&mut self, name: &str, new: &str) -> Result<(), SubjectError> {
        let new = Reference::parse(new).map_err(self.failed("name an image in"))?;
        self.engine.tag(name, &new).map_err(self.failed("name an image in"))
    }

    fn create(&mut self, name: &str, container: &str) -> Result<(), SubjectError> {
        self.made(name, Some(container)).map(drop)
    }

    fn remove_container(&mut self, container: &str) -> Result<(), SubjectError> {
        self.engine.remove_container(container, false, true).map_err(self.failed("remove a container in"))
    }

    fn prune(&mut self, all: bool) -> Result<Freed, SubjectError> {
        let pruned = self.engine.prune_images(all, &|_, _| true).map_err(self.failed("prune the images in"))?;
        match pruned.failure {
            Some(failure) => Err(self.failed("prune the images in")(failure)),
            None => Ok(Freed { deleted: deleted(pruned.removed), reclaimed_bytes: Some(pruned.reclaimed_bytes) }),
        }
    }

    fn stumble(&mut self, call: Option<usize>) {
        self.stone.put(call);
    }

    fn has_stumbled(&self) -> bool {
        self.stone.was_hit()
    }

    fn reopen(&mut self) -> Result<(), SubjectError> {
        self.engine = engine(&self.place, self.driver, &*self.decorate, &self.stone)?;
        Ok(())
    }

    fn another(&self) -> Result<Box<dyn Shop>, SubjectError> {
        let place = self.place.join(format!("other-{}", self.others.replace(self.others.get() + 1)));
        std::fs::create_dir(&place).map_err(SubjectError::of("mkdir", &place))?;
        Ok(Box::new(EngineShop::decorated(&place, self.driver, self.decorate.clone())?))
    }
}
