//! Where each layer, image and container stands in the picture: shared layers lie broad below all that rests on them.

use std::collections::{BTreeMap, BTreeSet};

use crate::books::{Books, Container, Image, Layer};

/// Width of a column and the gap to the next, in picture units.
pub(super) const COLUMN: usize = 186;
pub(super) const GAP: usize = 8;
/// Height of one line of text.
pub(super) const LINE: usize = 14;
/// A taller stack has one line a layer, a very tall one none.
const TALL: usize = 12;
const VERY_TALL: usize = 40;

/// How much of a layer is written on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Every ID on a line of its own.
    Lines,
    /// Everything on one line.
    OneLine,
    /// Chain ID and size.
    Short,
    /// Nothing, since there are too many.
    None,
}

/// A rectangle with what it stands for; `y` counts downwards from the top of the picture.
#[derive(Debug, Clone)]
pub(super) struct Block<'b> {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) what: What<'b>,
}

/// What a rectangle stands for.
#[derive(Debug, Clone)]
pub(super) enum What<'b> {
    /// A read-only layer, and the nameless images that end in it although more lies on it.
    Layer { layer: &'b Layer, words: Words, within: Vec<&'b Image> },
    /// The images whose top layer is right below.
    Images(Vec<&'b Image>),
    /// A container's init layer.
    Init(&'b Container),
    /// A container's writable layer.
    Writable(&'b Container),
    /// The container itself, on top of all.
    Container(&'b Container),
}

/// The whole picture.
#[derive(Debug, Default)]
pub(super) struct Layout<'b> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) blocks: Vec<Block<'b>>,
}

impl<'b> Layout<'b> {
    pub(super) fn of(books: &'b Books) -> Layout<'b> {
        let stacks = Stacks::of(books);
        let mut layout = Layout::default();
        let mut column = 0;
        for root in &stacks.roots {
            layout.stack(&stacks, root, column, 0);
            column += stacks.columns(root);
        }
        for images in stacks.images.get("").into_iter() {
            layout.block(column, 1, 0, images_height(images), What::Images(images.clone()));
            column += 1;
        }
        for container in stacks.containers.get("").into_iter().flatten() {
            layout.container(container, column, 0);
            column += 1;
        }
        layout.width = (column * COLUMN).saturating_sub(GAP);
        layout.height = layout.blocks.iter().map(|block| block.y + block.height).max().unwrap_or_default();
        // Until here heights were counted from the ground.
        for block in &mut layout.blocks {
            block.y = layout.height - block.y - block.height;
        }
        layout
    }

    fn stack(&mut self, stacks: &Stacks<'b>, chain_id: &str, column: usize, ground: usize) {
        let Some(layer) = stacks.layers.get(chain_id) else { return };
        let columns = stacks.columns(chain_id);
        let words = match stacks.tallest {
            tallest if tallest > VERY_TALL => Words::None,
            tallest if tallest > TALL => Words::Short,
            _ if columns > 2 => Words::OneLine,
            _ => Words::Lines,
        };
        let height = match words {
            Words::Lines => 3 * LINE + 12,
            Words::OneLine => LINE + 14,
            Words::Short => LINE + 4,
            Words::None => 7,
        };
        self.block(column, columns, ground, height, What::Layer { layer, words, within: stacks.within(chain_id) });
        let top = ground + height + if words == Words::None { 1 } else { 4 };
        let mut column = column;
        if let Some(images) = stacks.images.get(chain_id) {
            self.block(column, 1, top, images_height(images), What::Images(images.clone()));
            column += 1;
        }
        for container in stacks.containers.get(chain_id).into_iter().flatten() {
            self.container(container, column, top);
            column += 1;
        }
        for child in stacks.children.get(chain_id).into_iter().flatten() {
            self.stack(stacks, child, column, top);
            column += stacks.columns(child);
        }
    }

    fn container(&mut self, container: &'b Container, column: usize, ground: usize) {
        let mut ground = ground;
        for (height, what) in [
            (2 * LINE + 10, container.init_id.as_ref().map(|_| What::Init(container))),
            (3 * LINE + 12, Some(What::Writable(container))),
            (2 * LINE + 10, Some(What::Container(container))),
        ] {
            if let Some(what) = what {
                self.block(column, 1, ground, height, what);
                ground += height + 4;
            }
        }
    }

    fn block(&mut self, column: usize, columns: usize, ground: usize, height: usize, what: What<'b>) {
        let (x, width) = (column * COLUMN, columns * COLUMN - GAP);
        self.blocks.push(Block { x, y: ground, width, height, what });
    }
}

fn images_height(images: &[&Image]) -> usize {
    let lines: usize = images.iter().map(|image| image.names.len().max(1) + 1).sum();
    lines * LINE + 10
}

/// What rests on what.
struct Stacks<'b> {
    layers: &'b BTreeMap<String, Layer>,
    /// Chain IDs of layers with nothing below them.
    roots: Vec<&'b str>,
    children: BTreeMap<&'b str, Vec<&'b str>>,
    images: BTreeMap<&'b str, Vec<&'b Image>>,
    /// Nameless images on whose top layer another lies.
    within: BTreeMap<&'b str, Vec<&'b Image>>,
    containers: BTreeMap<&'b str, Vec<&'b Container>>,
    /// Layers in the tallest stack.
    tallest: usize,
}

impl<'b> Stacks<'b> {
    fn of(books: &'b Books) -> Self {
        let has = |chain_id: &String| books.layers.contains_key(chain_id);
        let parents: BTreeSet<&str> = books.layers.values().filter_map(|layer| layer.parent.as_deref()).collect();
        let top = |chain_id: Option<&'b String>| chain_id.filter(|id| has(id)).map_or("", String::as_str);
        let mut images: BTreeMap<&str, Vec<&Image>> = BTreeMap::new();
        let mut within: BTreeMap<&str, Vec<&Image>> = BTreeMap::new();
        for image in &books.images {
            let top = top(image.chain.last());
            let is_within = image.names.is_empty() && parents.contains(top);
            let list = if is_within { &mut within } else { &mut images };
            list.entry(top).or_default().push(image);
        }
        let mut containers: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
        for container in &books.containers {
            containers.entry(top(container.parent.as_ref())).or_default().push(container);
        }
        let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut roots = Vec::new();
        for layer in ordered(books) {
            match layer.parent.as_ref().filter(|parent| has(parent)) {
                Some(parent) => children.entry(parent).or_default().push(&layer.chain_id),
                None => roots.push(layer.chain_id.as_str()),
            }
        }
        let tallest = books.images.iter().map(|image| image.chain.len()).max().unwrap_or_default();
        Stacks { layers: &books.layers, roots, children, images, within, containers, tallest }
    }

    fn within(&self, chain_id: &str) -> Vec<&'b Image> {
        self.within.get(chain_id).cloned().unwrap_or_default()
    }

    /// How many columns stand on a layer; at least its own.
    fn columns(&self, chain_id: &str) -> usize {
        let images = usize::from(self.images.contains_key(chain_id));
        let containers = self.containers.get(chain_id).map_or(0, Vec::len);
        let children = self.children.get(chain_id).into_iter().flatten();
        (images + containers + children.map(|child| self.columns(child)).sum::<usize>()).max(1)
    }
}

/// Layers in the order of the images they are of, so that pictures of one run resemble each other.
pub(in crate::html) fn ordered(books: &Books) -> Vec<&Layer> {
    let mut seen = BTreeSet::new();
    let of_images = books.images.iter().flat_map(|image| &image.chain);
    let all = of_images.chain(books.layers.keys());
    all.filter(|chain_id| seen.insert(chain_id.as_str())).filter_map(|chain_id| books.layers.get(chain_id)).collect()
}
