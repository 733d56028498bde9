//! The picture once more as a table, with every ID whole: for those who cannot see it, point at it, or want to copy from it.

use serde::Serialize;

use super::ids::Ids;
use super::size;
use crate::books::Books;

/// What is drawn in one picture.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    images: Vec<ImageRows>,
    containers: Vec<ContainerRow>,
    faults: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ImageRows {
    names: String,
    id_html: String,
    layers: Vec<LayerRow>,
}

#[derive(Debug, Serialize)]
struct LayerRow {
    number: usize,
    chain_html: String,
    diff_html: String,
    cache_html: String,
    size: String,
    made_by: String,
}

#[derive(Debug, Serialize)]
struct ContainerRow {
    name: String,
    state: String,
    image: String,
    id_html: String,
    mount_html: String,
}

impl Table {
    pub(super) fn of(books: &Books, ids: &Ids) -> Table {
        let images = books.images.iter().map(|image| ImageRows {
            names: if image.names.is_empty() { "<none>".to_owned() } else { image.names.join(", ") },
            id_html: ids.chip(&image.id),
            layers: image
                .chain
                .iter()
                .enumerate()
                .rev()
                .map(|(at, chain_id)| {
                    let layer = books.layers.get(chain_id);
                    LayerRow {
                        number: at + 1,
                        chain_html: ids.chip(chain_id),
                        diff_html: layer.map(|layer| ids.chip(&layer.diff_id)).unwrap_or_default(),
                        cache_html: layer.map(|layer| ids.chip(&layer.cache_id)).unwrap_or_default(),
                        size: layer.and_then(|layer| layer.size_bytes).map(size).unwrap_or_default(),
                        made_by: image.made_by.get(at).cloned().unwrap_or_default(),
                    }
                })
                .collect(),
        });
        let containers = books.containers.iter().map(|container| ContainerRow {
            name: container.name.clone(),
            state: container.state.to_string(),
            image: container.image.clone(),
            id_html: ids.chip(&container.id),
            mount_html: ids.chip(&container.mount_id),
        });
        Table { images: images.collect(), containers: containers.collect(), faults: books.faults.clone() }
    }
}
