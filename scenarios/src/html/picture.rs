//! The picture of a data root's layer stack, as SVG: layers bottom to top, images and containers standing on them.

mod layout;

use std::collections::BTreeSet;
use std::fmt::Write;

pub(super) use self::layout::ordered;
use self::layout::{Block, LINE, Layout, What, Words};
use super::ids::{Ids, short};
use super::{escape, size};
use crate::books::{Books, Container, Image, Layer, State};

/// Characters of monospaced text that fit on a column.
const COLUMN_CHARS: usize = 25;

/// What is to be set off in the picture.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// IDs that were not there before: of layers, images, containers.
    pub(super) new: BTreeSet<String>,
    /// Directories of layers whose content changed.
    pub(super) changed: BTreeSet<String>,
}

/// Draws the books of one driver.
pub(super) fn picture(books: &Books, touched: &Touched, ids: &Ids) -> String {
    let layout = Layout::of(books);
    let (width, height) = (layout.width + 4, layout.height + 4);
    let mut svg = format!(
        "<svg class=\"stack\" viewBox=\"-2 -2 {width} {height}\" style=\"max-width:{width}px;min-width:{}px\" role=\"img\" \
         aria-label=\"{}\">",
        width * 3 / 4,
        escape(&summary(books))
    );
    for block in &layout.blocks {
        draw(&mut svg, block, touched, ids);
    }
    svg + "</svg>"
}

/// The picture in one sentence.
pub(super) fn summary(books: &Books) -> String {
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!(
        "{}, {} and {} in {}",
        count(books.layers.len(), "layer"),
        count(books.images.len(), "image"),
        count(books.containers.len(), "container"),
        books.driver
    )
}

fn draw(svg: &mut String, block: &Block<'_>, touched: &Touched, ids: &Ids) {
    match &block.what {
        What::Layer { layer, words, within } => {
            let is_new = touched.new.contains(&layer.chain_id);
            let class = Class { name: "layer", is_new, is_changed: touched.changed.contains(&layer.cache_id) };
            let mut title = layer_title(layer, ids);
            for image in within {
                title += &format!("\nits top: the nameless image {}", image.id);
            }
            group(svg, block, &class, &ids.colour(&layer.chain_id), &title, &layer_lines(layer, *words));
            if !within.is_empty() {
                let (x, y) = (block.x + block.width - 12, block.y + block.height - block.height.min(20) / 2);
                let _ = write!(svg, "<circle class=\"nameless\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>");
            }
        }
        What::Images(images) => {
            let is_new = images.iter().any(|image| touched.new.contains(&image.id));
            let class = Class { name: "image", is_new, is_changed: false };
            let colour = images.first().map(|image| ids.colour(&image.id)).unwrap_or_default();
            group(svg, block, &class, &colour, &images_title(images), &images_lines(images));
        }
        What::Init(container) => {
            let id = container.init_id.as_deref().unwrap_or_default();
            let class = Class {
                name: "init",
                is_new: touched.new.contains(&container.id),
                is_changed: touched.changed.contains(id),
            };
            let lines = [Line::plain("init layer"), Line::plain(&format!("{}-init", short(id)))];
            let title = format!("The init layer of {}: mount points that Docker puts there\n{id}", container.name);
            group(svg, block, &class, &ids.colour(&container.id), &title, &lines);
        }
        What::Writable(container) => {
            let is_changed = touched.changed.contains(&container.mount_id);
            let class = Class { name: "writable", is_new: touched.new.contains(&container.id), is_changed };
            let title = format!("The writable layer of {}\nmount ID {}", container.name, container.mount_id);
            group(svg, block, &class, &ids.colour(&container.id), &title, &writable_lines(container));
        }
        What::Container(container) => {
            let is_new = touched.new.contains(&container.id);
            let class = Class { name: container_class(container.state), is_new, is_changed: false };
            let lines = [
                Line { text: clip(&container.name), class: "name" },
                Line::plain(&format!("{} {}", short(&container.id), container.state)),
            ];
            let title = format!("Container {}, {}\n{}", container.name, container.state, container.id);
            group(svg, block, &class, &ids.colour(&container.id), &title, &lines);
        }
    }
}

fn container_class(state: State) -> &'static str {
    match state {
        State::Running => "container running",
        State::Paused => "container paused",
        State::Created | State::Exited(_) => "container stopped",
    }
}

struct Class {
    name: &'static str,
    is_new: bool,
    is_changed: bool,
}

struct Line {
    text: String,
    class: &'static str,
}

impl Line {
    fn plain(text: &str) -> Line {
        Line { text: text.to_owned(), class: "" }
    }
}

fn group(svg: &mut String, block: &Block<'_>, class: &Class, colour: &str, title: &str, lines: &[Line]) {
    let Block { x, y, width, height, .. } = block;
    let new = if class.is_new { " new" } else { "" };
    let changed = if class.is_changed && !class.is_new { " changed" } else { "" };
    let is_image = class.name == "image";
    let radius = if is_image || class.name.starts_with("container") { 9 } else { 3 };
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        "<g class=\"{}{new}{changed}\"{colour}><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
         rx=\"{radius}\"/>",
        class.name,
        escape(title),
    );
    if class.name.starts_with("container") {
        let _ = write!(svg, "<circle cx=\"{}\" cy=\"{}\" r=\"4\"/>", x + width - 13, y + 13);
    }
    for (at, line) in lines.iter().enumerate() {
        let (x, y) = (x + 9, y + height.saturating_sub(lines.len() * LINE) / 2 + at * LINE + LINE - 4);
        let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" class=\"{}\">{}</text>", line.class, escape(&line.text));
    }
    let badge = match () {
        () if class.name.starts_with("container") || lines.is_empty() => "",
        () if class.is_new => "new",
        () if class.is_changed => "changed",
        () => "",
    };
    if !badge.is_empty() {
        let first = y + height.saturating_sub(lines.len() * LINE) / 2 + LINE - 4;
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{first}\" class=\"badge\" text-anchor=\"end\">{badge}</text>",
            x + width - 7
        );
    }
    *svg += "</g>";
}

fn layer_lines(layer: &Layer, words: Words) -> Vec<Line> {
    let (chain, diff, cache) = (short(&layer.chain_id), short(&layer.diff_id), short(&layer.cache_id));
    let size = layer.size_bytes.map(size).unwrap_or_default();
    // Below everything the chain ID is the diff ID.
    let diff = if layer.chain_id == layer.diff_id { "= chain ID" } else { diff };
    match words {
        Words::Lines => vec![
            Line { text: format!("chain {chain}"), class: "name" },
            Line::plain(&format!("diff  {diff}")),
            Line::plain(&format!("cache {cache} {size:>6}")),
        ],
        Words::OneLine => vec![Line::plain(&format!("chain {chain}   diff {diff:<12}   cache {cache}   {size}"))],
        Words::Short => vec![Line::plain(&format!("{chain} {size:>8}"))],
        Words::None => Vec::new(),
    }
}

fn layer_title(layer: &Layer, ids: &Ids) -> String {
    let of = ids.find(&layer.chain_id).map(|(_, known)| known.of.as_str()).unwrap_or("layer");
    let parent = layer.parent.as_deref().unwrap_or("none: it lies at the bottom");
    let size = layer.size_bytes.map(size).unwrap_or_else(|| "unknown".to_owned());
    format!(
        "{of}\nchain ID {}\ndiff ID {}\ncache ID {}\nparent {parent}\nsize {size}",
        layer.chain_id, layer.diff_id, layer.cache_id
    )
}

fn images_lines(images: &[&Image]) -> Vec<Line> {
    let mut lines = Vec::new();
    for image in images {
        match image.names.is_empty() {
            true => lines.push(Line { text: "<none>".to_owned(), class: "name" }),
            false => lines.extend(image.names.iter().map(|name| Line { text: clip(name), class: "name" })),
        }
        lines.push(Line::plain(&format!("image {}", short(&image.id))));
    }
    lines
}

fn images_title(images: &[&Image]) -> String {
    let told = images.iter().map(|image| {
        let names = if image.names.is_empty() { "an image without a name".to_owned() } else { image.names.join(", ") };
        format!("{names}: {} layers\n{}", image.chain.len(), image.id)
    });
    told.collect::<Vec<_>>().join("\n")
}

fn writable_lines(container: &Container) -> [Line; 3] {
    let holds = match container.writable_entries {
        0 => "nothing written".to_owned(),
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    [
        Line { text: "writable layer".to_owned(), class: "name" },
        Line::plain(short(&container.mount_id)),
        Line::plain(&holds),
    ]
}

/// Text that fits on a column; the end of a name tells more than its beginning.
fn clip(text: &str) -> String {
    match text.chars().count() {
        count if count > COLUMN_CHARS => {
            format!("…{}", text.chars().skip(count - COLUMN_CHARS + 1).collect::<String>())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
