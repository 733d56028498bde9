//! An image in memory that can be pushed.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use super::incompressible::tar_of;
use layerlab_engine::image::Digest;
use layerlab_engine::layer::chain_ids;
use layerlab_engine::registry::{ImageToPush, KnownBlob, LayerToPush, PushSource, SinkError};

pub struct Shelf {
    pub image: ImageToPush,
    tars: HashMap<Digest, Vec<u8>>,
    state: Mutex<State>,
    scratch: tempfile::TempDir,
}

#[derive(Default)]
struct State {
    known: HashMap<Digest, Vec<KnownBlob>>,
    are_lost: bool,
    are_spoilt: bool,
}

impl Shelf {
    pub fn new(layers: usize) -> Shelf {
        Shelf::with_layers_of(layers, 20_000)
    }

    /// Layers that do not compress.
    pub fn with_layers_of(layers: usize, size_bytes: usize) -> Shelf {
        let tars: Vec<Vec<u8>> = (0..layers).map(|index| tar_of(index, size_bytes)).collect();
        let diff_ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(tar)).collect();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "created": "2020-01-01T00:00:00Z",
            "config": {"Cmd": ["/bin/sh"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let layers = diff_ids.iter().zip(chain_ids(&diff_ids));
        let layers = layers.map(|(diff_id, chain_id)| LayerToPush {
            chain_id,
            diff_id: diff_id.clone(),
            size_bytes: size_bytes as u64,
        });
        Shelf {
            image: ImageToPush { config: config.to_string().into_bytes(), layers: layers.collect() },
            tars: diff_ids.iter().cloned().zip(tars).collect(),
            state: Mutex::default(),
            scratch: tempfile::tempdir().unwrap(),
        }
    }

    pub fn tar(&self, diff_id: &Digest) -> Vec<u8> {
        self.tars[diff_id].clone()
    }

    pub fn lose_tars(&self) {
        self.state.lock().unwrap().are_lost = true;
    }

    pub fn find_tars(&self) {
        self.state.lock().unwrap().are_lost = false;
    }

    /// What was known of one registry is now known of another.
    pub fn move_books(&self, from: &str, to: &str) {
        for blob in self.state.lock().unwrap().known.values_mut().flatten() {
            blob.repository = blob.repository.replace(from, to);
        }
    }

    pub fn spoil_tars(&self) {
        self.state.lock().unwrap().are_spoilt = true;
    }
}

impl PushSource for Shelf {
    fn known_blobs(&self, diff_id: &Digest) -> Vec<KnownBlob> {
        self.state.lock().unwrap().known.get(diff_id).cloned().unwrap_or_default()
    }

    fn write_tar(&self, layer: &LayerToPush, out: &mut dyn Write) -> Result<(), SinkError> {
        let state = self.state.lock().unwrap();
        if state.are_lost {
            return Err("the layer is not at hand in this test".into());
        }
        out.write_all(&self.tars[&layer.diff_id])?;
        if state.are_spoilt {
            out.write_all(b"more")?;
        }
        Ok(())
    }

    fn remember(&self, diff_id: &Digest, blob: &KnownBlob) -> Result<(), SinkError> {
        self.state.lock().unwrap().known.entry(diff_id.clone()).or_default().push(blob.clone());
        Ok(())
    }

    fn forget(&self, diff_id: &Digest, blob: &KnownBlob) -> Result<(), SinkError> {
        self.state.lock().unwrap().known.entry(diff_id.clone()).or_default().retain(|known| known != blob);
        Ok(())
    }

    fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}
