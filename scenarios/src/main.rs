//! The command `layerlab-lab`: replays pages and opens shells inside a lab.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};

use layerlab_scenarios::html::{self, Folder, HtmlError, Telling};
use layerlab_scenarios::interop::Interop;
use layerlab_scenarios::lab::enter::{EnterError, LabOptions, enter};
use layerlab_scenarios::lab::furnish::Program;
use layerlab_scenarios::lab::join;
use layerlab_scenarios::lab::machine::{LabMachine, command, data_root_from_outside};
use layerlab_scenarios::lab::prepare::{Prepared, html_folder, prepare};
use layerlab_scenarios::lab::sandbox::Outcome;
use layerlab_scenarios::lab::user_map::{UserMap, is_root_of_the_machine};
use layerlab_scenarios::page::{self, Arrangement, DRIVERS, Differences, Page};
use layerlab_scenarios::pages;
use layerlab_scenarios::replay::{
    ConsoleObserver, Machine, PageOutcome, PageReport, ReplayOptions, Replayed, STOPPED, Summary, replay,
};
use layerlab_scenarios::target::{FindError, TARGETS, Target, named};

const FAILED: u8 = 1;
/// As automake and others have it: not run, because this host cannot.
const SKIPPED: u8 = 77;

#[derive(Parser)]
#[command(name = "layerlab-lab", about = "Replays pages and opens shells in a lab that leaves nothing behind")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Replay pages, each in a fresh lab
    Replay(Replay),
    /// Open a shell (or run a command) in a fresh lab with docker installed and started; the host is at /host
    Shell(Shell),
    /// Open a shell (or run a command) in a lab that was kept
    Join {
        /// What `--keep` printed
        pid: i32,
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Let our engine and a dockerd take turns on one data root
    Interop(Interop),
    /// List the pages
    List,
    /// Build the tools and assemble the images that labs need, and say where they are
    Prepare,
}

#[derive(Args)]
struct Where {
    /// What `docker` is in the lab: layerlab (or engine), docker, podman; a replay takes several
    #[arg(long, value_name = "TARGET", default_value = "layerlab", value_delimiter = ',', value_parser = target)]
    on: Vec<&'static dyn Target>,
    /// A lab as an ordinary user has it, even for root
    #[arg(long)]
    rootless: bool,
    /// The storage driver, unless a page is about others
    #[arg(long, value_name = "NAME", value_parser = page::driver)]
    driver: Option<&'static str>,
    /// Targets that must be available here: to skip them is an error
    #[arg(long, value_name = "TARGET,…", value_delimiter = ',', value_parser = target)]
    require: Vec<&'static dyn Target>,
}

#[derive(Args)]
struct Replay {
    /// Names or paths of pages, or names of folders of pages (walkthroughs, cases, storage, …); the walkthroughs when none
    /// is given
    pages: Vec<String>,
    #[command(flatten)]
    place: Where,
    /// Wait for Enter after each step
    #[arg(long, conflicts_with = "quiet")]
    step: bool,
    /// Show only pages that fail, and the table at the end
    #[arg(long, short)]
    quiet: bool,
    /// When a page is done, check what our engine has on disk, and fail on a fault
    #[arg(long)]
    check: bool,
    /// Leave the lab of the page for looking around, and say where it is
    #[arg(long)]
    keep: bool,
    /// Show only this step; those before it are typed as set-up
    #[arg(long, value_name = "STEP")]
    only: Option<usize>,
    /// Write what came of each page into this directory: PAGE.transcript, and PAGE.trees, what each step changed in the
    /// data root; both normalised, so that they are the same from run to run
    #[arg(long, value_name = "DIRECTORY")]
    record: Option<PathBuf>,
    /// Write an HTML page of each replay, with pictures of what lies on disk after each step, and an index of them, into this
    /// directory; without one (or before the names of pages) into `layerlab/html` of the target directory
    #[arg(long, value_name = "DIRECTORY", num_args = 0..=1, require_equals = true)]
    html: Option<Option<PathBuf>>,
}

#[derive(Args)]
struct Shell {
    #[command(flatten)]
    place: Where,
    /// Enter a kept lab instead of a fresh one
    #[arg(long, value_name = "PID")]
    join: Option<i32>,
    /// A target whose program is in the lab too, under its own name
    #[arg(long, value_name = "TARGET", value_parser = target)]
    beside: Option<&'static dyn Target>,
    /// A program of the host that is in the lab too, at /usr/bin
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    #[arg(trailing_var_arg = true)]
    command: Vec<String>,
}

fn target(name: &str) -> Result<&'static dyn Target, String> {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name()).collect();
    let name = if name == "engine" { "layerlab" } else { name };
    named(name).ok_or_else(|| format!("the targets are {}", names.join(", ")))
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Replay(verb) => verb.run(),
        Verb::Shell(verb) => verb.run(),
        Verb::Join { pid, command } => join::join(pid, &command).map_err(Into::into),
        Verb::Interop(verb) => verb.run().map_err(Into::into),
        Verb::List => list(),
        Verb::Prepare => show_prepared(),
    };
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("layerlab-lab: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

impl Where {
    fn lab(&self, on: &'static dyn Target, driver: &'static str, keep: bool, interactive: bool) -> LabOptions {
        LabOptions {
            on,
            beside: None,
            rootless: self.rootless,
            driver,
            keep,
            second_host: false,
            interactive,
            programs: Vec::new(),
        }
    }

    /// Enters a lab; the inner error is why this host cannot have the target, when it may go without.
    fn enter(
        &self,
        lab: LabOptions,
        prepared: &Prepared,
        body: impl FnOnce(&mut LabMachine) -> u8,
    ) -> anyhow::Result<Result<Outcome, String>> {
        let name = lab.on.name();
        if name == "docker"
            && let Ok(host) = std::env::var("DOCKER_HOST")
        {
            eprintln!(
                "DOCKER_HOST={host} is not used: a page needs the data root and the network of the daemon inside the \
                 lab, so the lab starts a dockerd of its own"
            );
        }
        match enter(lab, prepared, body) {
            Err(EnterError::Find(FindError::Unavailable(why)))
                if !self.require.iter().any(|must| must.name() == name) =>
            {
                println!("skipped on {name}: {why}");
                Ok(Err(why.to_string()))
            }
            outcome => outcome.map(Ok).with_context(|| format!("no lab on {name}")),
        }
    }
}

impl Replay {
    fn run(&self) -> anyhow::Result<u8> {
        let pages = pages::chosen(&self.pages)?;
        if pages.len() > 1 && (self.keep || self.only.is_some()) {
            bail!("--keep and --only are about one page: name it ({})", names(&pages));
        }
        let is_about_one = self.keep || self.only.is_some() || self.record.is_some() || self.html.is_some();
        if self.place.on.len() > 1 && is_about_one {
            bail!("--keep, --only, --record and --html are about one target: give one --on");
        }
        let mut folder = self.html_folder()?;
        let prepared = prepare()?;
        let mut summary = Summary::default();
        for (page, on) in pages.iter().flat_map(|page| self.place.on.iter().map(move |on| (page, *on))) {
            let outcome = self.page(page, on, &prepared, folder.as_mut())?;
            let is_stopped = outcome == PageOutcome::Stopped;
            let driver = page.driver(self.place.driver);
            summary.add(Replayed { page: page.name(), target: on.name(), driver, outcome });
            if is_stopped {
                break;
            }
        }
        if pages.len() * self.place.on.len() > 1 {
            println!("\n{}\n{summary}", summary.table());
        }
        if let Some(folder) = folder {
            let first = folder.finish()?;
            println!("\nLook at it in a browser: {}", html::address(&first));
        }
        Ok(summary.status())
    }

    /// Where HTML pages go, if they are wanted.
    fn html_folder(&self) -> Result<Option<Folder>, HtmlError> {
        let path = self.html.clone().map(|path| path.unwrap_or_else(html_folder));
        path.map(|path| Folder::create(&path)).transpose()
    }

    fn page(
        &self,
        page: &Page,
        on: &'static dyn Target,
        prepared: &Prepared,
        folder: Option<&mut Folder>,
    ) -> anyhow::Result<PageOutcome> {
        let folder = folder.filter(|_| page.steps().next().is_some());
        let told = folder.is_some().then(|| Telling::begin(page, on.name(), self.place.rootless)).transpose()?;
        let outcome = self.entered(page, on, prepared, told.as_ref())?;
        if let (Some(folder), Some(telling)) = (folder, told) {
            telling.end(folder, &outcome)?;
        }
        Ok(outcome)
    }

    fn entered(
        &self,
        page: &Page,
        on: &'static dyn Target,
        prepared: &Prepared,
        telling: Option<&Telling>,
    ) -> anyhow::Result<PageOutcome> {
        let page = &page.on(page.driver(self.place.driver));
        let name = on.name();
        if !page.targets.iter().any(|target| target == name) {
            println!("skipped on {name}: the page {} has no words for it", page.name());
            return Ok(PageOutcome::Skipped { reason: format!("no words for {name}") });
        }
        if page.steps().next().is_none() {
            let reason = "it has steps for the model only: cargo xtask laws replays it, and --on sim";
            println!("skipped on {name}: the page {}: {reason}", page.name());
            return Ok(PageOutcome::Skipped { reason: reason.to_owned() });
        }
        if page.has_users && !UserMap::best().allows_groups() {
            let reason =
                "it needs several users, and you have a single ID: install uidmap and get a range in /etc/subuid";
            println!("skipped on {name}: the page {}: {reason}", page.name());
            return Ok(PageOutcome::Skipped { reason: reason.to_owned() });
        }
        if page.needs_root && (self.place.rootless || !is_root_of_the_machine()) {
            let reason = "it makes what only root of the machine may make";
            println!("skipped on {name}: the page {}: {reason}", page.name());
            return Ok(PageOutcome::Skipped { reason: reason.to_owned() });
        }
        let lab = self.place.lab(on, page.driver(self.place.driver), self.keep, false);
        let lab = LabOptions { second_host: page.has_second_host(), ..lab };
        // Opened out here: inside there is another root.
        let record = self.record.as_ref().map(|directory| Record::create(directory, page)).transpose()?;
        let outcome = self.place.enter(lab, prepared, |machine| self.replay(page, on, machine, record, telling))?;
        let steps = page.steps().filter(|step| step.targets.hold_for(name)).count();
        Ok(match outcome.map(conclude) {
            Ok(0) if self.only.is_some() => PageOutcome::Passed { steps: 1, differences: Differences::default() },
            Ok(0) => PageOutcome::Passed { steps, differences: page.differences(name) },
            Ok(STOPPED) => PageOutcome::Stopped,
            Ok(status) => PageOutcome::Failed { status },
            Err(reason) => PageOutcome::Skipped { reason },
        })
    }

    /// Inside the lab.
    fn replay(
        &self,
        page: &Page,
        on: &dyn Target,
        machine: &mut LabMachine,
        record: Option<Record>,
        telling: Option<&Telling>,
    ) -> u8 {
        let options = ReplayOptions {
            trees: record.is_some(),
            moments: telling.is_some(),
            only: self.only,
            pause: self.step,
            again: Some(self.again(page, on)),
            ..ReplayOptions::default()
        };
        let mut observer = ConsoleObserver::new();
        if self.quiet {
            observer = observer.quiet();
        }
        let outcome = replay(page, machine, &mut observer, &options)
            .map_err(anyhow::Error::from)
            .and_then(|report| record.map_or(Ok(()), |record| record.write(&report)).map(|()| report))
            .and_then(|report| {
                telling.map_or(Ok(()), |telling| telling.tell(page, &report)).map(|()| report).map_err(Into::into)
            });
        match outcome {
            Ok(report) if report.stopped.is_some() => STOPPED,
            Ok(report) if report.is_passed() && self.check && on.name() == TARGETS[0].name() => checked(page),
            Ok(report) if report.is_passed() => 0,
            Ok(_) => FAILED,
            Err(error) => {
                observer.speak();
                eprintln!("layerlab-lab: {error:#}");
                eprintln!("{}", machine.engine_log());
                FAILED
            }
        }
    }

    /// The command that replays this page so again.
    fn again(&self, page: &Page, on: &dyn Target) -> String {
        let is_given = |page: &&String| page.ends_with(".md");
        let path = self.pages.iter().filter(is_given).find(|given| Path::new(given) == page.path);
        let mut command = format!("cargo xtask replay {}", path.unwrap_or(&page.name()));
        if on.name() != TARGETS[0].name() {
            command += &format!(" --on {}", on.name());
        }
        if let Some(driver) = self.place.driver {
            command += &format!(" --driver {driver}");
        }
        if self.place.rootless {
            command += " --rootless";
        }
        command
    }
}

/// Has what a page left on disk checked by the engine, and tells what it says of faults.
fn checked(page: &Page) -> u8 {
    let output = command("/usr/local/bin/layerlab").arg("check").output();
    match output {
        Ok(output) if output.status.success() => 0,
        Ok(output) => {
            println!("{} left a store with faults:", page.name());
            print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            FAILED
        }
        Err(error) => {
            eprintln!("layerlab-lab: cannot run layerlab check: {error}");
            FAILED
        }
    }
}

/// The files that keep what came of a page.
struct Record {
    transcript: File,
    trees: File,
}

impl Record {
    fn create(directory: &Path, page: &Page) -> anyhow::Result<Record> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let create = |kind: &str| {
            let path = directory.join(format!("{}.{kind}", page.name()));
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(Record { transcript: create("transcript")?, trees: create("trees")? })
    }

    /// The first tree whole, of each later one what it changes.
    fn write(mut self, report: &PageReport) -> anyhow::Result<()> {
        self.transcript.write_all(report.transcript.as_bytes()).context("cannot write the transcript")?;
        let mut before = "";
        for tree in &report.trees {
            let changes = similar::TextDiff::from_lines(before, &tree.tree);
            let changes = changes.iter_all_changes().filter(|change| change.tag() != similar::ChangeTag::Equal);
            let lines: String = changes.map(|change| format!("{}{}", change.tag(), change.value())).collect();
            write!(self.trees, "== after {}\n{lines}\n", tree.after).context("cannot write the trees")?;
            before = &tree.tree;
        }
        Ok(())
    }
}

/// Says where a kept lab is; the status of the page.
fn conclude(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Ended { status } => status,
        Outcome::Kept { pid, status } => {
            println!("\nThe lab is kept:");
            println!("  its data root   {}", data_root_from_outside(pid).display());
            println!("  a shell in it   cargo xtask shell --join {pid}");
            println!("  end it          kill {pid}");
            status
        }
    }
}

impl Shell {
    fn run(&self) -> anyhow::Result<u8> {
        if let Some(pid) = self.join {
            return Ok(join::join(pid, &self.command)?);
        }
        let prepared = prepare()?;
        let [on] = self.place.on[..] else { bail!("a shell is in one lab: give one --on") };
        let lab = self.place.lab(on, self.place.driver.unwrap_or(DRIVERS[0]), false, true);
        let programs = self.program.iter().map(|host| shown(host)).collect();
        let lab = LabOptions { beside: self.beside, programs, ..lab };
        let outcome = self.place.enter(lab, &prepared, |machine| self.inside(machine))?;
        Ok(outcome.map_or(SKIPPED, conclude))
    }

    /// Inside the lab.
    fn inside(&self, machine: &mut LabMachine) -> u8 {
        for directive in [Arrangement::InstallDocker, Arrangement::StartDocker] {
            if let Err(error) = machine.arrange(directive) {
                eprintln!("layerlab-lab: {error}");
                return FAILED;
            }
        }
        if self.command.is_empty() {
            println!("A fresh lab: `docker` is {}, the host is at /host; `exit` ends it.", machine.target());
        }
        join::run(&self.command).unwrap_or_else(|error| {
            eprintln!("layerlab-lab: {error}");
            FAILED
        })
    }
}

/// A program of the host, where the lab's shell finds it.
fn shown(host: &Path) -> Program {
    Program { host: host.to_owned(), lab: Path::new("/usr/bin").join(host.file_name().unwrap_or_default()) }
}

fn list() -> anyhow::Result<u8> {
    for page in pages::all()? {
        println!("{:<24} {} (on {})", page.name(), page.title, page.targets.join(", "));
    }
    Ok(0)
}

fn show_prepared() -> anyhow::Result<u8> {
    let prepared = prepare()?;
    println!("{}\n{}\n{}", prepared.tools.program.display(), prepared.images.display(), prepared.packages.display());
    Ok(0)
}

fn names(pages: &[Page]) -> String {
    pages.iter().map(Page::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(arguments: &[&str]) -> Replay {
        match Cli::parse_from([&["layerlab-lab", "replay"], arguments].concat()).verb {
            Verb::Replay(verb) => verb,
            _ => panic!("another verb"),
        }
    }

    fn page(path: &str) -> Page {
        Page::parse(path, "# T\n```console\n# a\n```\n").unwrap()
    }

    #[test]
    fn the_hint_after_a_failure_names_the_page_as_it_was_given_and_the_flags() {
        let named = replay(&["x"]);
        assert_eq!(named.again(&page("/house/cases/x.md"), TARGETS[0]), "cargo xtask replay x");
        let given = replay(&["dir/x.md", "--on", "docker", "--rootless"]);
        assert_eq!(given.again(&page("dir/x.md"), TARGETS[1]), "cargo xtask replay dir/x.md --on docker --rootless");
    }

    #[test]
    fn a_required_target_that_is_none_is_an_error() {
        assert_eq!(replay(&["--require", "docker,layerlab"]).place.require.len(), 2);
        let error = Cli::try_parse_from(["layerlab-lab", "replay", "--require", "dokcer"]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("the targets are layerlab, docker, podman"), "{error}");
    }
}
