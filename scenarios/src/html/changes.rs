//! What a step changed on disk, grouped by place, as a template takes it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ids::Ids;
use super::places::{Place, place};
use super::size;
use crate::moment::{Change, Entry};

/// More rows of one directory than this are folded away.
const FOLD_ROWS: usize = 6;
/// So many rows of a step stand open at first.
const OPEN_ROWS: usize = 24;
/// More rows than this are counted only.
const MOST_ROWS: usize = 300;
/// Characters of a record that are shown.
const TEXT_CHARS: usize = 600;

/// The changes in one place.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    path_html: String,
    what: String,
    counts: Counts,
    is_open: bool,
    folds: Vec<Fold>,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    added: usize,
    changed: usize,
    removed: usize,
}

/// Rows of one directory; without a name they stand in the open.
#[derive(Debug, Serialize)]
struct Fold {
    name: String,
    counts: Counts,
    rows: Vec<Row>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    kind: &'static str,
    sign: &'static str,
    path_html: String,
    note_html: String,
}

impl Group {
    /// Rows that show when it is open.
    fn open_rows(&self) -> usize {
        1 + self.folds.iter().map(|fold| if fold.name.is_empty() { fold.rows.len() } else { 1 }).sum::<usize>()
    }
}

impl Counts {
    fn count(&mut self, change: &Change<'_>) {
        match (change.before, change.now) {
            (None, _) => self.added += 1,
            (_, None) => self.removed += 1,
            _ => self.changed += 1,
        }
    }
}

/// Groups the changes of one step.
pub(super) fn groups(changes: &[Change<'_>], ids: &Ids) -> Vec<Group> {
    let mut places: BTreeMap<Place, Vec<(&str, &Change<'_>)>> = BTreeMap::new();
    for change in changes {
        let (place, rest) = place(change.path, ids);
        places.entry(place).or_default().push((rest, change));
    }
    let mut groups: Vec<Group> = places.into_iter().map(|(place, changes)| group(place, &changes, ids)).collect();
    let mut room = OPEN_ROWS;
    for group in &mut groups {
        let rows = group.open_rows();
        group.is_open = rows <= room;
        room -= if group.is_open { rows } else { 0 };
    }
    groups
}

fn group(place: Place, changes: &[(&str, &Change<'_>)], ids: &Ids) -> Group {
    let mut counts = Counts::default();
    let mut folds: Vec<Fold> = Vec::new();
    let mut together: BTreeMap<&str, usize> = BTreeMap::new();
    changes.iter().for_each(|(rest, _)| *together.entry(fold_name(rest)).or_default() += 1);
    for (at, (rest, change)) in changes.iter().enumerate() {
        counts.count(change);
        if is_implied(rest, changes.get(at + 1)) {
            continue;
        }
        let name = Some(fold_name(rest)).filter(|name| together[name] > FOLD_ROWS).unwrap_or_default();
        let at = folds.iter().position(|fold| fold.name == name).unwrap_or_else(|| {
            folds.push(Fold { name: name.to_owned(), counts: Counts::default(), rows: Vec::new(), more: 0 });
            folds.len() - 1
        });
        let fold = &mut folds[at];
        fold.counts.count(change);
        match fold.rows.len() < MOST_ROWS {
            true => fold.rows.push(row(rest, change, ids)),
            false => fold.more += 1,
        }
    }
    folds.sort_by(|a, b| a.name.cmp(&b.name));
    let path = if place.path.is_empty() { "." } else { &place.path };
    Group { path_html: ids.mark(path), what: place.what, counts, is_open: true, folds }
}

/// Whether the row that follows tells of this directory too, since it lies in it.
fn is_implied(rest: &str, next: Option<&(&str, &Change<'_>)>) -> bool {
    next.is_some_and(|(next, _)| next.strip_prefix(rest).is_some_and(|below| rest.is_empty() || below.starts_with('/')))
}

/// The directory under which a path is folded: `merged`, `diff/usr`, `sha256`.
fn fold_name(rest: &str) -> &str {
    let depth = if rest.starts_with("merged") { 1 } else { 2 };
    let mut slashes = rest.match_indices('/').map(|(at, _)| at);
    match slashes.nth(depth - 1) {
        Some(end) => &rest[..end],
        None => rest,
    }
}

fn row(rest: &str, change: &Change<'_>, ids: &Ids) -> Row {
    let (kind, sign) = match (change.before, change.now) {
        (None, _) => ("added", "+"),
        (_, None) => ("removed", "−"),
        _ => ("changed", "~"),
    };
    let entry = change.now.or(change.before);
    let is_directory = entry.is_some_and(|entry| entry.line.starts_with('d'));
    let slash = if is_directory { "/" } else { "" };
    let note_html = match (change.before, change.now) {
        (Some(before), Some(now)) => difference(before, now, ids),
        _ => entry.map(|entry| note(entry, ids)).unwrap_or_default(),
    };
    let path_html = match rest {
        "" if is_directory => "(the directory itself)".to_owned(),
        "" => String::new(),
        rest => ids.mark(rest) + slash,
    };
    Row { kind, sign, path_html, note_html }
}

/// What an entry is: what a record says, where a link leads, the size of a file.
fn note(entry: &Entry, ids: &Ids) -> String {
    if let Some(text) = &entry.text {
        return match repositories(text) {
            Some(names) => format!("<q>{}</q>", ids.mark(&names)),
            None => format!("<q>{}</q>", ids.mark(&clipped(text.trim()))),
        };
    }
    let mut fields = entry.line.splitn(5, ' ');
    let (kind, size_field, rest) = (fields.next(), fields.nth(2), fields.next().unwrap_or_default());
    match kind {
        Some("l") => rest.rsplit_once(" -> ").map_or_else(String::new, |(_, to)| format!("→ {}", ids.mark(to))),
        Some("c") if rest.ends_with(" 0:0") || rest.contains(" 0:0 ") => "whiteout: hides this name below".into(),
        Some("d") if rest.contains("overlay.opaque=y") => "opaque: hides everything below".into(),
        Some("-") => size_field.and_then(|bytes| bytes.parse().ok()).map(size).unwrap_or_default(),
        Some("p") => "pipe".into(),
        Some("s") => "socket".into(),
        _ => String::new(),
    }
}

fn difference(before: &Entry, now: &Entry, ids: &Ids) -> String {
    let (old, new) = (note(before, ids), note(now, ids));
    match now.text.is_some() || old == new {
        true if now.text.is_none() && before.line != now.line => "other owner, mode or attributes".into(),
        true if now.text.is_none() => format!("{new}, written anew").trim_start_matches(", ").to_owned(),
        true => new,
        false => format!("{old} → {new}"),
    }
}

/// Each name with its image, if the text is that of repositories.json.
fn repositories(text: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let names = json.get("Repositories")?.as_object()?.values().filter_map(|names| names.as_object()).flatten();
    let lines: Vec<String> = names.map(|(name, id)| format!("{name} → {}", id.as_str().unwrap_or_default())).collect();
    Some(if lines.is_empty() { "no names".to_owned() } else { lines.join("\n") })
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &str, text: Option<&str>) -> Entry {
        Entry { line: line.into(), written: None, text: text.map(str::to_owned) }
    }

    #[test]
    fn changes_are_grouped_by_place_with_what_they_are() {
        let (size, record) = (entry("- 0644 0:0 12 x", None), entry("- 0644 0:0 3 x", Some("<&>")));
        let whiteout = entry("c 0000 0:0 - overlay2/aa/diff/gone 0:0", None);
        let changes = [
            Change { path: "image/overlay2/repositories.json", before: Some(&record), now: Some(&record) },
            Change { path: "overlay2/aa/diff/etc", before: None, now: Some(&size) },
            Change { path: "overlay2/aa/diff/gone", before: None, now: Some(&whiteout) },
            Change { path: "overlay2/aa/diff/old", before: Some(&size), now: None },
        ];
        let groups = groups(&changes, &Ids::default());
        let told: Vec<_> = groups.iter().map(|group| (group.path_html.as_str(), group.counts.added)).collect();
        assert_eq!(told, [("image/overlay2/repositories.json", 0), ("overlay2/aa", 2)]);
        assert_eq!(groups[0].folds[0].rows[0].note_html, "<q>&lt;&amp;&gt;</q>");
        let rows: Vec<_> = groups[1].folds.iter().flat_map(|fold| &fold.rows).collect();
        assert_eq!((rows[0].sign, rows[0].note_html.as_str()), ("+", "12B"));
        assert!(rows[1].note_html.starts_with("whiteout"), "{rows:?}");
        assert_eq!(rows[2].sign, "−");
    }

    #[test]
    fn many_entries_of_one_directory_are_folded() {
        let file = entry("- 0644 0:0 12 x", None);
        let paths: Vec<String> = (0..400).map(|at| format!("overlay2/aa/diff/bin/{at}")).collect();
        let changes: Vec<Change<'_>> =
            paths.iter().map(|path| Change { path, before: None, now: Some(&file) }).collect();
        let groups = groups(&changes, &Ids::default());
        let fold = &groups[0].folds[0];
        assert_eq!((fold.name.as_str(), fold.rows.len(), fold.more), ("diff/bin", 300, 100));
    }
}
