//! One machine for one kernel: what it is made of, what it is told to do, and what is said of it at its end.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::list::{Kernel, MachineKind};
use super::machine::{Heard, Machine, Parts};
use super::obtain::Obtained;
use super::order::Order;
use super::qemu::{self, Qemu};
use super::report::{Outcome, Result};
use super::{image, uml};
use crate::call;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What runs in a machine: static, since there are no libraries.
pub struct Programs {
    laws: PathBuf,
    init: PathBuf,
}

/// Builds them.
pub fn built(place: &Path) -> anyhow::Result<Programs> {
    let directory = place.join("build");
    let mut cargo = call::cargo(&["build", "--package", "layerlab-properties", "--target", TARGET]);
    cargo.args(["--bin", "layerlab-laws", "--bin", "layerlab-init", "--target-dir"]).arg(&directory);
    // With a target of its own, what runs while it is built stays dynamic.
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").env_remove("CARGO_ENCODED_RUSTFLAGS");
    call::succeed(&mut cargo).context("static programs take the C library's archive (Debian: libc6-dev)")?;
    let program = |name: &str| directory.join(TARGET).join("debug").join(name);
    Ok(Programs { laws: program("layerlab-laws"), init: program("layerlab-init") })
}

/// All that is the same for each machine.
pub struct Lab<'a> {
    pub order: &'a Order,
    pub seed: u64,
    pub place: &'a Path,
    pub programs: &'a Programs,
    /// Or why there is none.
    pub qemu: std::result::Result<Qemu, String>,
}

impl Lab<'_> {
    /// What a kernel runs in, for the report.
    pub fn kind(&self, kernel: &Kernel) -> String {
        match (kernel.machine, qemu::has_kvm()) {
            (MachineKind::Uml, _) => "user-mode Linux".to_owned(),
            (MachineKind::Qemu, true) => "QEMU, KVM".to_owned(),
            (MachineKind::Qemu, false) => "QEMU, TCG".to_owned(),
        }
    }

    /// The laws on each file system, in one machine with this kernel.
    pub fn held(&self, kernel: &Kernel, obtained: &Obtained) -> anyhow::Result<Result> {
        let (backings, kind) = (&self.order.backings, self.kind(kernel));
        let directory = self.place.join("runs").join(&kernel.name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let machine = match self.machine(kernel, obtained, &directory) {
            Ok(machine) => machine,
            Err(error) => return Ok(Result::not_run(&kernel.name, kind, &format!("{error:#}"), backings)),
        };
        let heard = match machine.run() {
            Ok(heard) => heard,
            Err(error) => return Ok(Result::not_run(&kernel.name, kind, &format!("{error:#}"), backings)),
        };
        for scratch in backings.iter().map(|backing| format!("{backing}.img")).chain(["initramfs".to_owned()]) {
            let _ = fs::remove_file(directory.join(scratch));
        }
        let result = Result::of(&kernel.name, kind, obtained.packages.clone(), &heard, backings);
        if let Some(path) = &self.order.results {
            added(path, &heard)?;
        }
        self.tell(&result, &heard, &directory)?;
        Ok(result)
    }

    fn machine(&self, kernel: &Kernel, obtained: &Obtained, directory: &Path) -> anyhow::Result<Machine> {
        let at = |name: &str| directory.join(name);
        let (archive, console, events) = (at("initramfs"), at("console.log"), at("events.jsonl"));
        let is_uml = kernel.machine == MachineKind::Uml;
        let (mut disks, mut runs) = (Vec::new(), Vec::new());
        for backing in &self.order.backings {
            let device = (backing != "tmpfs").then(|| {
                let letter = char::from(b'a' + disks.len() as u8);
                disks.push(at(&format!("{backing}.img")));
                format!("/dev/{}{letter}", if is_uml { "ubd" } else { "vd" })
            });
            let results = format!("/tmp/results-{backing}.jsonl");
            let command = self.command(&results);
            runs.push(json!({"backing": backing, "device": device, "command": command, "results": results}));
        }
        for (backing, disk) in self.order.backings.iter().filter(|backing| *backing != "tmpfs").zip(&disks) {
            image::disk(backing, disk)?;
        }
        let modules = image::modules(&obtained.base)?;
        let names: Vec<String> = modules.iter().map(|path| format!("/{}", image::name_of_module(path))).collect();
        let orders = json!({
            "modules": names,
            "host": is_uml.then(|| directory.display().to_string()),
            "events": if is_uml { "/host/events.jsonl" } else { "/dev/ttyS1" },
            "runs": runs,
        });
        let programs = [("init", &*self.programs.init), ("layerlab-laws", &*self.programs.laws)];
        image::archive(&archive, &programs, &modules, &orders.to_string())?;
        let kernel = &*obtained.image;
        let parts = Parts { kernel, archive: &archive, disks: &disks, console: &console, events: &events, directory };
        let (command, complaints) = if is_uml {
            (uml::command(&parts)?, console)
        } else {
            let qemu = self.qemu.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
            let complaints = at("qemu.txt");
            let mut command = qemu.command(&parts);
            command.stderr(fs::File::create(&complaints)?);
            (command, complaints)
        };
        Ok(Machine { command, complaints, events, limit: self.order.limit })
    }

    /// What is run on each file system; its directory follows.
    fn command(&self, results: &str) -> Vec<String> {
        let order = self.order;
        let (cases, seed) = (order.cases.to_string(), self.seed.to_string());
        let options =
            ["--subject", &order.subjects, "--cases", &cases, "--seed", &seed, "--results", results, "--backing"];
        let options = options.iter().map(|word| (*word).to_owned());
        ["/layerlab-laws".to_owned()].into_iter().chain(order.laws.iter().cloned()).chain(options).collect()
    }

    /// Says how it went; where not all held also what was printed, which is kept then.
    fn tell(&self, result: &Result, heard: &Heard, directory: &Path) -> anyhow::Result<()> {
        let words: Vec<String> = result
            .outcomes
            .iter()
            .map(|(backing, outcome)| match outcome {
                Outcome::Holds => format!("{backing} holds"),
                Outcome::Broken => format!("{backing} broken"),
                Outcome::NoVerdict(why) => format!("{backing} no verdict ({why})"),
                Outcome::NotRun(why) => format!("{backing} not run ({why})"),
            })
            .collect();
        let release = heard.release.as_deref().unwrap_or("never came up");
        println!("{} ({release}): {}, {:.0} s", result.kernel, words.join(", "), heard.seconds);
        if result.outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Holds) {
            return Ok(fs::remove_dir_all(directory)?);
        }
        for (backing, told) in &heard.runs {
            fs::write(directory.join(format!("{backing}.txt")), told.lines.join("\n") + "\n")?;
            for result in &told.results {
                let word = |name: &str| result.get(name).and_then(Value::as_str);
                let Some(script) = word("script") else { continue };
                let (law, subject) = (word("law").unwrap_or("a-case"), word("subject").unwrap_or("a-subject"));
                let path = directory.join(format!("{law}-{subject}-{backing}.sh"));
                fs::write(&path, script)?;
                println!("    {law} of {subject} on {backing} is shown by {}", path.display());
            }
        }
        println!("    what was printed is kept in {}", directory.display());
        Ok(())
    }
}

/// Adds what a machine told of each law to the file at `path`.
fn added(path: &Path, heard: &Heard) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for result in heard.runs.values().flat_map(|told| &told.results) {
        serde_json::to_writer(&mut text, result)?;
        text.push(b'\n');
    }
    // One write: another machine may be at its end, too.
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(&text)).with_context(|| format!("cannot write {}", path.display()))
}
