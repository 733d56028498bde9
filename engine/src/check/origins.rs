//! Where a configuration or a layer that is lost can come from again: from the registry of an image that was pulled by a digest.

use super::books::Books;
use super::finding::Remedy;
use crate::image::Digest;
use crate::layer::chain_ids;

impl Books {
    /// The references (`httpd@sha256:…`) by which image `id` can be pulled again.
    pub(super) fn origins(&self, id: &Digest) -> Vec<String> {
        let all = self.names.values().flatten();
        let meant =
            all.filter(|(name, image)| name.contains('@') && image.parse().is_ok_and(|image: Digest| image == *id));
        meant.map(|(name, _)| name.clone()).collect()
    }

    /// The references by which an image with the layer `chain_id` can be pulled again.
    pub(super) fn layer_origins(&self, chain_id: &Digest) -> Vec<String> {
        let with_layer =
            self.images.iter().filter(|(_, config)| chain_ids(&config.view().rootfs.diff_ids).contains(chain_id));
        with_layer.flat_map(|(id, _)| self.origins(id)).collect()
    }

    /// What to do about a configuration that has to come again.
    pub(super) fn fetch_config(&self, id: &Digest) -> Remedy {
        match self.origins(id)[..] {
            [] => Remedy::Advice(format!(
                "image {} was not pulled by a digest: remove the file, then load, build or pull the image again",
                id.short()
            )),
            _ => Remedy::FetchConfig(id.clone()),
        }
    }

    /// What to do about a layer that has to come again.
    pub(super) fn fetch_layer(&self, chain_id: &Digest) -> Remedy {
        if self.layer_origins(chain_id).is_empty() {
            let user =
                self.images.iter().find(|(_, config)| chain_ids(&config.view().rootfs.diff_ids).contains(chain_id));
            return Remedy::Advice(match user {
                Some((image, _)) => format!(
                    "no image with this layer was pulled by a digest: remove image {} and load, build or pull it again",
                    image.short()
                ),
                None => "no image says where it came from: remove what uses it".to_owned(),
            });
        }
        Remedy::FetchLayer(chain_id.clone())
    }
}
