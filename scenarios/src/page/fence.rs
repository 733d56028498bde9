//! Sees to it that every fence of a page opens or ends a block, since a block that Markdown passes over would not be run.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag};

use super::error::Complaint;

/// Refuses indented code blocks, blocks without an end, and fences that Markdown takes for something else.
pub(super) fn check(text: &str) -> Result<(), Complaint> {
    let line_at = |offset: usize| 1 + text[..offset].bytes().filter(|byte| *byte == b'\n').count();
    let mut blocks: Vec<Range<usize>> = Vec::new();
    for (event, range) in Parser::new_ext(text, Options::ENABLE_YAML_STYLE_METADATA_BLOCKS).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => {
                let what = "an indented block is not run: put ```console, ```lab or ```text above it and ``` below it";
                return Err(Complaint::new(line_at(range.start), what));
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => {
                if !has_end(&text[range.clone()]) {
                    return Err(Complaint::new(line_at(range.start), "the block has no end: write ``` below it"));
                }
                blocks.push(range);
            }
            _ => {}
        }
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let fence = start + line.len() - inner(line).len();
        if is_fence(line) && !blocks.iter().any(|block| block.contains(&fence)) {
            let what = "this fence opens no block (it stands in HTML, or too far to the right): put it at the beginning of \
                        a line of its own, outside of HTML";
            return Err(Complaint::new(line_at(start), what));
        }
        start += line.len();
    }
    Ok(())
}

/// A line without its indentation and the `>` of quotations.
fn inner(line: &str) -> &str {
    line.trim_start_matches([' ', '\t', '>'])
}

fn is_fence(line: &str) -> bool {
    inner(line).starts_with("```") || inner(line).starts_with("~~~")
}

/// Whether the last line of a fenced block, which begins with its opening fence, ends it.
fn has_end(block: &str) -> bool {
    let fence = |line: &str| {
        let sign = line.chars().next().unwrap_or_default();
        (sign, line.chars().take_while(|c| *c == sign).count())
    };
    let mut lines = block.lines();
    let (sign, length) = fence(lines.next().unwrap_or_default());
    lines.next_back().is_some_and(|last| {
        let last = inner(last).trim_end();
        let (found, count) = fence(last);
        found == sign && count >= length && last.chars().count() == count
    })
}
