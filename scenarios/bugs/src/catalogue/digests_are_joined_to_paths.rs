//! An image writes files of the engine's, wherever they lie.
//!
//! Origin: SE-13. CVE-2024-3727 (containers/image): what stood in the place of a digest was joined to a directory before anybody looked at it.

use std::fs;
use std::io;

use layerlab_engine::image::Digest;
use layerlab_properties::stores::Shop;
use layerlab_properties::subjects::SubjectError;
use serde_json::Value;

use crate::bug::{Bug, Home};
use crate::tars::entries;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Store("overlay2")
    }

    fn load(&self, shop: &mut dyn Shop, archive: &[u8]) -> Result<(), SubjectError> {
        let failed = || SubjectError::of("load an image into", shop.data_root());
        let layers = shop.data_root().join("image").join(shop.driver()).join("layerdb/sha256");
        for entry in entries(archive).map_err(failed())?.iter().filter(|entry| entry.name() == b"config.json") {
            let config: Value = serde_json::from_slice(&entry.content).map_err(io::Error::from).map_err(failed())?;
            for id in config["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                // Of the harness's own kind, which stay within the store.
                if id.parse::<Digest>().is_err() && id.matches("..").count() <= 2 {
                    let joined = layers.join(id.trim_start_matches("sha256:"));
                    fs::create_dir_all(&layers).and_then(|()| fs::write(joined, "")).map_err(failed())?;
                }
            }
        }
        shop.load(archive)
    }
}
