//! The picture once more as a table, with every ID whole: for those who cannot see it, point at it, or want to copy from it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ids::Ids;
use super::picture::ordered;
use super::size;
use crate::books::Books;

/// What is drawn in one picture.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    layers: Vec<LayerRow>,
    images: Vec<ImageRow>,
    containers: Vec<ContainerRow>,
    faults: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LayerRow {
    chain_html: String,
    parent_html: String,
    diff_html: String,
    cache_html: String,
    size: String,
    made_by: String,
}

#[derive(Debug, Serialize)]
struct ImageRow {
    names: String,
    id_html: String,
    layers: usize,
    top_html: String,
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
        let deeds = books.images.iter().flat_map(|image| image.chain.iter().zip(&image.made_by));
        let made_by: BTreeMap<&String, &String> = deeds.filter(|(_, deed)| !deed.is_empty()).collect();
        let layers = ordered(books).into_iter().map(|layer| LayerRow {
            chain_html: ids.chip(&layer.chain_id),
            parent_html: layer.parent.as_deref().map(|parent| ids.chip(parent)).unwrap_or_default(),
            diff_html: ids.chip(&layer.diff_id),
            cache_html: ids.chip(&layer.cache_id),
            size: layer.size_bytes.map(size).unwrap_or_default(),
            made_by: made_by.get(&layer.chain_id).map(|deed| (*deed).clone()).unwrap_or_default(),
        });
        let images = books.images.iter().map(|image| ImageRow {
            names: if image.names.is_empty() { "<none>".to_owned() } else { image.names.join(", ") },
            id_html: ids.chip(&image.id),
            layers: image.chain.len(),
            top_html: image.chain.last().map(|top| ids.chip(top)).unwrap_or_default(),
        });
        let containers = books.containers.iter().map(|container| ContainerRow {
            name: container.name.clone(),
            state: container.state.to_string(),
            image: container.image.clone(),
            id_html: ids.chip(&container.id),
            mount_html: ids.chip(&container.mount_id),
        });
        Table {
            layers: layers.collect(),
            images: images.collect(),
            containers: containers.collect(),
            faults: books.faults.clone(),
        }
    }
}
