//! How a pull, a push or a load looks: one line per change of status, or live lines with bars on a terminal, as docker 20.10
//! prints them.
//!
//! The terminal form is that of docker's `jsonmessage`: every layer has a line; a change moves the cursor up to it,
//! rewrites it and moves back down. Bars are left out where the terminal has 110 columns or fewer.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::units::precise_size;
use crate::container::{LoadProgress, Loaded};
use crate::image::Reference;
use crate::registry::{LayerEvent, PullProgress, PushEvent, PushProgress};

const BAR_WIDTH: usize = 50;
const BAR_NEEDS_COLUMNS: u16 = 110;
/// A layer's bar moves at most so often.
const BAR_PAUSE: Duration = Duration::from_millis(100);

/// Prints a pull or a push to `W`.
pub struct PullLines<W> {
    /// The width in columns, if `W` is a terminal.
    terminal_columns: Option<u16>,
    screen: Mutex<Screen<W>>,
}

struct Screen<W> {
    out: W,
    /// The layers that have a live line, from the top down.
    lines: Vec<String>,
    bar_shown: HashMap<String, Instant>,
    /// Somebody who closed the other end is told no more; the pull goes on.
    is_closed: bool,
}

/// Prints nothing (`docker pull -q`, `docker push -q`).
pub struct Silent;

impl PullProgress for Silent {
    fn pulling_from(&self, _: &Reference) {}

    fn event(&self, _: &str, _: LayerEvent) {}
}

impl PushProgress for Silent {
    fn event(&self, _: &str, _: PushEvent) {}
}

impl<W: Write> PullLines<W> {
    /// For a file or a pipe.
    pub fn plain(out: W) -> PullLines<W> {
        PullLines::new(out, None)
    }

    /// For a terminal of so many columns.
    pub fn terminal(out: W, columns: u16) -> PullLines<W> {
        PullLines::new(out, Some(columns))
    }

    fn new(out: W, terminal_columns: Option<u16>) -> PullLines<W> {
        let screen = Screen { out, lines: Vec::new(), bar_shown: HashMap::new(), is_closed: false };
        PullLines { terminal_columns, screen: Mutex::new(screen) }
    }

    fn lock(&self) -> MutexGuard<'_, Screen<W>> {
        self.screen.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

impl<W: Write> Screen<W> {
    /// Writes and flushes; the first failure ends all writing.
    fn write(&mut self, text: &str) {
        if !self.is_closed {
            self.is_closed = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).is_err();
        }
    }

    /// Rewrites the layer's own line, below all others if it has none yet.
    fn rewrite_line(&mut self, layer: &str, status: &str) {
        let known = self.lines.iter().position(|line| line == layer);
        let index = known.unwrap_or(self.lines.len());
        let new_line = if known.is_none() { "\n" } else { "" };
        if known.is_none() {
            self.lines.push(layer.to_owned());
        }
        let up = self.lines.len() - index;
        self.write(&format!("{new_line}\x1b[{up}A\x1b[2K\r{layer}: {status}\r\x1b[{up}B"));
    }

    fn is_bar_due(&mut self, layer: &str, is_full: bool) -> bool {
        let now = Instant::now();
        let due = is_full || self.bar_shown.get(layer).is_none_or(|shown| now.duration_since(*shown) >= BAR_PAUSE);
        if due {
            self.bar_shown.insert(layer.to_owned(), now);
        }
        due
    }
}

impl<W: Write + Send> PullProgress for PullLines<W> {
    fn pulling_from(&self, reference: &Reference) {
        let what = match (reference.digest(), reference.tag()) {
            (None, Some(tag)) => tag.to_owned(),
            _ => reference.to_string(),
        };
        let mut screen = self.lock();
        screen.lines.clear();
        screen.write(&format!("{what}: Pulling from {}\n", reference.path()));
    }

    fn event(&self, layer_short: &str, event: LayerEvent) {
        self.show(layer_short, &Status::of(event));
    }
}

impl<W: Write + Send> LoadProgress for PullLines<W> {
    fn loading(&self, layer_short: &str, done_bytes: u64, total_bytes: u64) {
        self.show(layer_short, &Status::moving("Loading layer", done_bytes, total_bytes));
    }

    fn loaded(&self, what: Loaded) {
        let mut screen = self.lock();
        screen.lines.clear();
        screen.write(&(loaded_line(&what) + "\n"));
    }
}

/// A load of which only the outcome is told (`docker load -q`).
pub struct WithoutBars<W>(pub PullLines<W>);

impl<W: Write + Send> LoadProgress for WithoutBars<W> {
    fn loading(&self, _: &str, _: u64, _: u64) {}

    fn loaded(&self, what: Loaded) {
        self.0.loaded(what);
    }
}

/// What `docker load` says of something that came out of an archive.
fn loaded_line(what: &Loaded) -> String {
    match what {
        Loaded::Renamed { name, old } => {
            format!("The image {name} already exists, renaming the old one with ID {old} to empty string")
        }
        Loaded::Name(name) => format!("Loaded image: {name}"),
        Loaded::Id(id) => format!("Loaded image ID: {id}"),
    }
}

impl<W: Write + Send> PushProgress for PullLines<W> {
    fn event(&self, layer_short: &str, event: PushEvent) {
        self.show(layer_short, &Status::of_push(event));
    }
}

impl<W: Write> PullLines<W> {
    fn show(&self, layer_short: &str, status: &Status) {
        let mut screen = self.lock();
        match (self.terminal_columns, status.progress) {
            (None, None) => screen.write(&format!("{layer_short}: {}\n", status.text)),
            (None, Some(_)) => {}
            (Some(_), None) => screen.rewrite_line(layer_short, &format!("{} ", status.text)),
            (Some(columns), Some((done, total))) => {
                if screen.is_bar_due(layer_short, done == total) {
                    screen.rewrite_line(layer_short, &format!("{} {}", status.text, bar(done, total, columns)));
                }
            }
        }
    }
}

struct Status {
    text: String,
    /// Bytes done, bytes in all.
    progress: Option<(u64, u64)>,
}

impl Status {
    fn moving(text: &str, done_bytes: u64, total_bytes: u64) -> Status {
        Status { text: text.to_owned(), progress: Some((done_bytes, total_bytes)) }
    }

    fn of(event: LayerEvent) -> Status {
        let plain = |text: &str| Status { text: text.to_owned(), progress: None };
        let moving = Status::moving;
        match event {
            LayerEvent::AlreadyExists => plain("Already exists"),
            LayerEvent::PullingFsLayer => plain("Pulling fs layer"),
            LayerEvent::Waiting => plain("Waiting"),
            LayerEvent::Downloading { done_bytes, total_bytes } => moving("Downloading", done_bytes, total_bytes),
            LayerEvent::Retrying { seconds } => plain(&retrying(seconds)),
            LayerEvent::VerifyingChecksum => plain("Verifying Checksum"),
            LayerEvent::DownloadComplete => plain("Download complete"),
            LayerEvent::Extracting { done_bytes, total_bytes } => moving("Extracting", done_bytes, total_bytes),
            LayerEvent::PullComplete => plain("Pull complete"),
        }
    }

    fn of_push(event: PushEvent) -> Status {
        let plain = |text: &str| Status { text: text.to_owned(), progress: None };
        match event {
            PushEvent::Preparing => plain("Preparing"),
            PushEvent::Waiting => plain("Waiting"),
            PushEvent::Pushing { done_bytes, total_bytes } => {
                Status { text: "Pushing".to_owned(), progress: Some((done_bytes, total_bytes)) }
            }
            PushEvent::Retrying { seconds } => plain(&retrying(seconds)),
            PushEvent::Pushed => plain("Pushed"),
            PushEvent::AlreadyExists => plain("Layer already exists"),
            PushEvent::MountedFrom(repository) => plain(&format!("Mounted from {repository}")),
        }
    }
}

fn retrying(seconds: u64) -> String {
    format!("Retrying in {seconds} second{}", if seconds == 1 { "" } else { "s" })
}

/// `[====>      ]  36.45kB/2.225MB`
fn bar(done_bytes: u64, total_bytes: u64, columns: u16) -> String {
    let (done, total) = (precise_size(done_bytes), precise_size(total_bytes));
    let counts = if done_bytes > total_bytes { format!("{done:>8}") } else { format!("{done:>8}/{total}") };
    if columns <= BAR_NEEDS_COLUMNS || total_bytes == 0 {
        return counts;
    }
    let percent = done_bytes as f64 / total_bytes as f64 * 100.0;
    let filled = (percent as usize / 2).min(BAR_WIDTH);
    format!("[{}>{}] {counts}", "=".repeat(filled), " ".repeat(BAR_WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "sha256:775f2b9d2fc5096f758b980dfc3c197a03f5ad12c9e3602504b677aa4c10ea03";

    fn shown(columns: Option<u16>, act: impl Fn(&PullLines<&mut Vec<u8>>)) -> String {
        let mut bytes = Vec::new();
        act(&PullLines::new(&mut bytes, columns));
        String::from_utf8(bytes).unwrap()
    }

    fn whole_pull(lines: &PullLines<&mut Vec<u8>>) {
        let reference = Reference::parse("centos").unwrap().with_default_tag();
        let layer = "8eaa195b188a";
        lines.pulling_from(&reference);
        PullProgress::event(lines, layer, LayerEvent::PullingFsLayer);
        PullProgress::event(lines, layer, LayerEvent::Downloading { done_bytes: 36_450, total_bytes: 2_225_000 });
        PullProgress::event(lines, layer, LayerEvent::DownloadComplete);
        PullProgress::event(lines, layer, LayerEvent::Extracting { done_bytes: 2_225_000, total_bytes: 2_225_000 });
        PullProgress::event(lines, layer, LayerEvent::PullComplete);
    }

    #[test]
    fn without_a_terminal_every_change_of_status_is_a_line() {
        let expected = "latest: Pulling from library/centos\n8eaa195b188a: Pulling fs layer\n\
                        8eaa195b188a: Download complete\n8eaa195b188a: Pull complete\n";
        assert_eq!(shown(None, whole_pull), expected);
    }

    #[test]
    fn a_terminal_gets_the_bytes_docker_sends_it() {
        let line = |status: &str| format!("\x1b[1A\x1b[2K\r8eaa195b188a: {status}\r\x1b[1B");
        let expected = [
            "latest: Pulling from library/centos\n\n".to_owned(),
            line("Pulling fs layer "),
            line("Downloading [>                                                  ]  36.45kB/2.225MB"),
            line("Download complete "),
            line("Extracting [==================================================>]  2.225MB/2.225MB"),
            line("Pull complete "),
        ];
        assert_eq!(shown(Some(160), whole_pull), expected.concat());
    }

    #[test]
    fn a_change_higher_up_moves_the_cursor_there_and_back() {
        let text = shown(Some(80), |lines| {
            PullProgress::event(lines, "aaa", LayerEvent::PullingFsLayer);
            PullProgress::event(lines, "bbb", LayerEvent::PullingFsLayer);
            PullProgress::event(lines, "aaa", LayerEvent::Downloading { done_bytes: 1, total_bytes: 2 });
        });
        let expected = "\n\x1b[1A\x1b[2K\raaa: Pulling fs layer \r\x1b[1B\n\x1b[1A\x1b[2K\rbbb: Pulling fs layer \r\
                        \x1b[1B\x1b[2A\x1b[2K\raaa: Downloading       1B/2B\r\x1b[2B";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_load_gets_the_bytes_docker_sends_it() {
        let old = Reference::parse(&format!("x@{PIN}")).unwrap().digest().unwrap().clone();
        let load = |lines: &PullLines<&mut Vec<u8>>| {
            lines.loaded(Loaded::Name("ubuntu:latest".to_owned()));
            lines.loading("83acb4d31fb5", 65_536, 4_378_624);
            lines.loading("83acb4d31fb5", 4_378_624, 4_378_624);
            lines.loaded(Loaded::Renamed { name: "centos:latest".to_owned(), old: old.clone() });
            lines.loaded(Loaded::Id(old.clone()));
        };
        let outcome = format!(
            "The image centos:latest already exists, renaming the old one with ID {PIN} to empty string\n\
             Loaded image ID: {PIN}\n"
        );
        assert_eq!(shown(None, load), format!("Loaded image: ubuntu:latest\n{outcome}"));
        let line = |bar: &str| format!("\x1b[1A\x1b[2K\r83acb4d31fb5: Loading layer {bar}\r\x1b[1B");
        let expected = [
            "Loaded image: ubuntu:latest\n\n".to_owned(),
            line("[>                                                  ]  65.54kB/4.379MB"),
            line("[==================================================>]  4.379MB/4.379MB"),
            outcome,
        ];
        assert_eq!(shown(Some(160), load), expected.concat());
    }

    #[test]
    fn a_push_without_a_terminal_is_a_line_for_each_change() {
        let text = shown(None, |lines| {
            let tell = |event| PushProgress::event(lines, "73100a083cbd", event);
            tell(PushEvent::Preparing);
            tell(PushEvent::Pushing { done_bytes: 1, total_bytes: 2 });
            tell(PushEvent::Retrying { seconds: 5 });
            tell(PushEvent::Pushed);
            tell(PushEvent::MountedFrom("library/derived".to_owned()));
        });
        let expected = ["Preparing", "Retrying in 5 seconds", "Pushed", "Mounted from library/derived"];
        assert_eq!(text, expected.map(|status| format!("73100a083cbd: {status}\n")).concat());
    }

    #[test]
    fn a_pull_by_digest_names_the_whole_reference() {
        let reference = Reference::parse(&format!("centos@{PIN}")).unwrap();
        let text = shown(None, |lines| lines.pulling_from(&reference));
        assert_eq!(text, format!("docker.io/library/centos@{PIN}: Pulling from library/centos\n"));
    }
}
