//! From a page's Markdown to HTML, with what became of its blocks put in their places.

use std::ops::RangeInclusive;

use pulldown_cmark::{
    CodeBlockKind, CowStr, Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd, html,
};

use super::HtmlError;

/// A section of the page, for its table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) line: usize,
}

/// What a block of a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    Console,
    Lab,
}

/// The page without front matter and title. `block` gives the HTML for the console or lab block in those lines.
pub(super) fn render(
    text: &str,
    block: &mut dyn FnMut(BlockKind, RangeInclusive<usize>) -> Result<String, HtmlError>,
) -> Result<(String, Vec<Heading>), HtmlError> {
    let line_at = |offset: usize| 1 + text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count();
    let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS | Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut events = Vec::new();
    let mut headings: Vec<Heading> = Vec::new();
    let mut passed_over = None;
    let mut has_dead_link = false;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        if let Some(end) = &passed_over {
            if matches!(&event, Event::End(tag) if tag == end) {
                passed_over = None;
            }
            continue;
        }
        match event {
            Event::Start(Tag::MetadataBlock(_)) => {
                passed_over = Some(TagEnd::MetadataBlock(MetadataBlockKind::YamlStyle));
            }
            // The template shows the title.
            Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => {
                passed_over = Some(TagEnd::Heading(HeadingLevel::H1));
            }
            Event::Start(Tag::Heading { level, .. }) => {
                let id = format!("section-{}", headings.len() + 1);
                let line = line_at(range.start);
                headings.push(Heading { id: id.clone(), title: title_of(&text[range]), line });
                let (classes, attrs) = (Vec::new(), Vec::new());
                events.push(Event::Start(Tag::Heading { level, id: Some(id.into()), classes, attrs }));
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) if kind(&info).is_some() => {
                passed_over = Some(TagEnd::CodeBlock);
                if let Some(kind) = kind(&info) {
                    let lines = line_at(range.start)..=line_at(range.end);
                    events.push(Event::Html(block(kind, lines)?.into()));
                }
            }
            Event::Html(markup) | Event::InlineHtml(markup) => events.push(Event::Text(markup)),
            // A picture would have to be loaded from elsewhere: its words stay.
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => {}
            Event::Start(Tag::Link { ref dest_url, .. }) if !leads_somewhere(dest_url) => has_dead_link = true,
            Event::End(TagEnd::Link) if has_dead_link => has_dead_link = false,
            event => events.push(event),
        }
    }
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    Ok((body, headings))
}

/// The words of a heading without its markup.
fn title_of(markdown: &str) -> String {
    let words = Parser::new(markdown).filter_map(|event| match event {
        Event::Text(words) | Event::Code(words) => Some(words),
        _ => None,
    });
    words.collect::<Vec<CowStr<'_>>>().concat()
}

fn kind(info: &str) -> Option<BlockKind> {
    match info.trim() {
        "console" => Some(BlockKind::Console),
        "lab" => Some(BlockKind::Lab),
        _ => None,
    }
}

/// Whether a link still means something on a page that lies alone somewhere.
fn leads_somewhere(address: &str) -> bool {
    ["https://", "http://", "#"].iter().any(|start| address.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> (String, Vec<Heading>) {
        let mut blocks = Vec::new();
        let rendered = render(text, &mut |kind, lines| {
            blocks.push((kind, lines.clone()));
            Ok(format!("<section>{}</section>", lines.start()))
        });
        rendered.unwrap()
    }

    #[test]
    fn blocks_are_replaced_and_headings_listed() {
        let text =
            "---\ntargets: x\n---\n\n# T\n\nWords.\n\n## A `b`\n\n```console\n# ls\n```\n\n```text\na < b\n```\n";
        let (body, headings) = rendered(text);
        assert!(!body.contains("targets") && !body.contains("<h1"), "{body}");
        assert!(body.contains("<h2 id=\"section-1\">") && body.contains("<section>11</section>"), "{body}");
        assert!(body.contains("a &lt; b") && !body.contains("# ls"), "{body}");
        assert_eq!(headings, [Heading { id: "section-1".into(), title: "A b".into(), line: 9 }]);
    }

    #[test]
    fn markup_pictures_and_unsafe_links_of_a_page_are_only_words() {
        let (body, _) =
            rendered("# T\n\nIt <script>x</script> ![pic](http://e/x.png) [a](javascript:x) [b](https://e/)\n");
        assert!(body.contains("&lt;script&gt;") && body.contains("pic"), "{body}");
        assert!(!body.contains("<img") && !body.contains("javascript"), "{body}");
        assert!(body.contains("<a href=\"https://e/\">b</a>"), "{body}");
    }
}
