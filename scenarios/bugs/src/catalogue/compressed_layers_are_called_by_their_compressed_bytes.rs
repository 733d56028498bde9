//! A layer that came compressed is another one than the same layer as it is, and no image has it.
//!
//! Origin: CI-02. containerd 4492a2cee: the digest that names a layer was computed before it was unpacked, of what was sent.

use std::collections::BTreeMap;
use std::fs;

use layerlab_engine::image::Digest;
use layerlab_engine::layer::decompressed;
use layerlab_properties::stores::Shop;
use layerlab_properties::subjects::SubjectError;

use crate::bug::{Bug, Home};
use crate::tars::entries;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Store("overlay2")
    }

    fn load(&self, shop: &mut dyn Shop, archive: &[u8]) -> Result<(), SubjectError> {
        shop.load(archive)?;
        let failed = || SubjectError::of("call the layers otherwise in", shop.data_root());
        let mut called = BTreeMap::new();
        for entry in entries(archive).map_err(failed())?.iter().filter(|entry| entry.name() == b"layer.tar") {
            let mut plain = Vec::new();
            decompressed(&entry.content[..]).and_then(|mut it| it.read_to_end(&mut plain)).map_err(failed())?;
            called.insert(Digest::of(&plain).to_string(), Digest::of(&entry.content).to_string());
        }
        let layers = shop.data_root().join("image").join(shop.driver()).join("layerdb/sha256");
        for layer in layers.read_dir().map_err(failed())? {
            let diff = layer.map_err(failed())?.path().join("diff");
            let right = fs::read_to_string(&diff).map_err(failed())?;
            called.get(&right).map_or(Ok(()), |wrong| fs::write(&diff, wrong)).map_err(failed())?;
        }
        Ok(())
    }
}
