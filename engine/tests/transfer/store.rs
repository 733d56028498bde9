//! A store in memory: it notes what is staged and what is registered.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;

use layerlab_engine::image::Digest;
use layerlab_engine::registry::{LayerToPull, PullSink, SinkError};

#[derive(Default)]
pub struct Store {
    inner: Mutex<Inner>,
    unpack_fails_at: Option<usize>,
    register_fails_at: Option<usize>,
    layers_max: Option<usize>,
    /// Every unpacking waits so long, so that those that may run side by side do.
    unpack_takes: Duration,
}

#[derive(Default)]
struct Inner {
    images: HashSet<Digest>,
    staged: HashMap<Digest, Vec<u8>>,
    registered: Vec<Digest>,
    contents: HashMap<Digest, Vec<u8>>,
    unpacking: usize,
    most_unpacking: usize,
}

impl Store {
    pub fn failing_to_unpack(index: usize) -> Store {
        Store { unpack_fails_at: Some(index), ..Store::default() }
    }

    pub fn failing_to_register(index: usize) -> Store {
        Store { register_fails_at: Some(index), ..Store::default() }
    }

    pub fn stacking(layers_max: usize) -> Store {
        Store { layers_max: Some(layers_max), ..Store::default() }
    }

    pub fn slow(unpack_takes: Duration) -> Store {
        Store { unpack_takes, ..Store::default() }
    }

    pub fn most_unpacking_at_once(&self) -> usize {
        self.inner.lock().unwrap().most_unpacking
    }

    pub fn add_image(&self, id: Digest) {
        self.inner.lock().unwrap().images.insert(id);
    }

    pub fn add_layers(&self, chain_ids: impl Iterator<Item = Digest>) {
        self.inner.lock().unwrap().registered.extend(chain_ids);
    }

    pub fn registered(&self) -> Vec<Digest> {
        self.inner.lock().unwrap().registered.clone()
    }

    pub fn staged(&self) -> Vec<Digest> {
        self.inner.lock().unwrap().staged.keys().cloned().collect()
    }

    pub fn content(&self, chain_id: &Digest) -> Vec<u8> {
        self.inner.lock().unwrap().contents[chain_id].clone()
    }
}

impl PullSink for Store {
    fn has_image(&self, image_id: &Digest) -> bool {
        self.inner.lock().unwrap().images.contains(image_id)
    }

    fn has_layer(&self, chain_id: &Digest) -> bool {
        self.inner.lock().unwrap().registered.contains(chain_id)
    }

    fn layers_max(&self) -> usize {
        self.layers_max.unwrap_or(usize::MAX)
    }

    fn unpack(&self, layer: &LayerToPull, tar: &mut dyn Read) -> Result<(), SinkError> {
        {
            let mut inner = self.inner.lock().unwrap();
            inner.staged.insert(layer.chain_id.clone(), Vec::new());
            inner.unpacking += 1;
            inner.most_unpacking = inner.most_unpacking.max(inner.unpacking);
        }
        std::thread::sleep(self.unpack_takes);
        self.inner.lock().unwrap().unpacking -= 1;
        if self.unpack_fails_at == Some(layer.index) {
            return Err("no space left in this test".into());
        }
        let mut content = Vec::new();
        tar.read_to_end(&mut content)?;
        self.inner.lock().unwrap().staged.insert(layer.chain_id.clone(), content);
        Ok(())
    }

    fn register(&self, layer: &LayerToPull) -> Result<(), SinkError> {
        if self.register_fails_at == Some(layer.index) {
            return Err("no space left in this test".into());
        }
        let mut inner = self.inner.lock().unwrap();
        let content = inner.staged.remove(&layer.chain_id).ok_or("registered before it was staged")?;
        if layer.parent.as_ref().is_some_and(|parent| !inner.registered.contains(parent)) {
            return Err("registered before the layer below".into());
        }
        inner.contents.insert(layer.chain_id.clone(), content);
        inner.registered.push(layer.chain_id.clone());
        Ok(())
    }

    fn discard(&self, layer: &LayerToPull) {
        let mut inner = self.inner.lock().unwrap();
        inner.staged.remove(&layer.chain_id);
        inner.registered.retain(|chain_id| *chain_id != layer.chain_id);
    }
}
