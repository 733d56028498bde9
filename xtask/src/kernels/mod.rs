//! `cargo xtask kernels`: the laws on other kernels than the host's, in machines of their own.
//!
//! *Why*: what overlayfs does is the kernel's, and who upgrades one, or ships for several, wants to know what changes. *Holds*: kernels and, where the host
//! has none, QEMU come from the distribution's packages into `target/kernels` and nowhere else; no root; features are tried in the machine by
//! the laws themselves; each machine has new disks and is gone at the end. *Never*: a pass for what was not run or told no verdict. *Proved by*: the
//! tests of each file below; `snapshots/kernels.md` is what came of all.

mod apt;
mod image;
mod lab;
mod list;
mod machine;
mod obtain;
mod order;
pub mod qemu;
mod report;
mod uml;

use std::collections::VecDeque;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, ensure};

use crate::{Verb, call};
use lab::Lab;
use list::{Kernel, MachineKind};
use order::Order;
use report::Result;

pub const VERB: Verb = Verb {
    name: "kernels",
    summary: "hold the laws on other kernels: [LAW…] [--kernel 6.12,uml-6.1,… | --vmlinuz FILE --modules DIR] [--backing ext4|xfs|btrfs|tmpfs,…] [--subject S,…] [--cases N] \
              [--seed S] [--limit SECONDS] [--require KERNEL|BACKING|SUBJECT,…] [--results FILE] [--write] | --list",
    run,
};

/// What came of all, below the root of the workspace.
pub const REPORT: &str = "snapshots/kernels.md";
/// So many machines at once, if there are as many cores.
const MACHINES_MAX: usize = 2;
/// Where the numbers begin when the report is written.
const SEED: u64 = 1;

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let order = Order::of(arguments)?;
    let place = place()?;
    let kernels = chosen(&order)?;
    known(&order, &kernels)?;
    if order.list {
        listed(&kernels, &place);
        return Ok(0);
    }
    ensure!(cfg!(target_arch = "x86_64"), "the kernels that are listed are for x86-64, and this machine is none");
    let seed =
        order.seed.unwrap_or_else(|| if order.write { SEED } else { RandomState::new().hash_one(0) % 1_000_000 });
    let programs = lab::built(&place)?;
    let qemu = qemu::obtained(&place).map_err(|error| format!("no QEMU: {error:#}; {}", qemu::REMEDY));
    let lab = Lab { order: &order, seed, place: &place, programs: &programs, qemu };
    println!("seed {seed}, {} cases each of {}", order.cases, order.subjects);
    // One after the other: those of a suite share its lists.
    let queue = kernels.into_iter().map(|kernel| {
        let obtained = match &order.own {
            Some((image, modules)) => obtain::of_user(image, modules, &place),
            None => obtain::from_packages(&kernel, &place),
        };
        (kernel, obtained.map_err(|error| format!("{error:#}")))
    });
    let queue: VecDeque<_> = queue.enumerate().collect();
    let queue = Mutex::new(queue);
    let next = || queue.lock().map(|mut queue| queue.pop_front()).unwrap_or_default();
    let worker = || -> anyhow::Result<Vec<(usize, Result)>> {
        let mut results = Vec::new();
        while let Some((number, (kernel, obtained))) = next() {
            let result = match obtained {
                Ok(obtained) => lab.held(&kernel, &obtained).with_context(|| kernel.name.clone())?,
                Err(why) => Result::not_run(&kernel.name, lab.kind(&kernel), &why, &order.backings),
            };
            results.push((number, result));
        }
        Ok(results)
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MACHINES_MAX);
    let parts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut results: Vec<_> = parts.into_iter().collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
    results.sort_by_key(|(number, _)| *number);
    let results: Vec<Result> = results.into_iter().map(|(_, result)| result).collect();
    let table = report::table(&results, &order.backings, |kernel, backing| order.again(kernel, backing, seed));
    println!("\n{table}");
    if order.write {
        ensure!(results.iter().all(Result::is_run), "{REPORT} is not written: a kernel was not run");
        fs::write(call::root().join(REPORT), page(&order, seed, &table, &results)).context(REPORT)?;
        println!("{REPORT}");
    }
    let missing = report::missing(&results, &order.required);
    ensure!(missing.is_empty(), "required, and not run: {}", missing.join("; "));
    Ok(report::status(&results))
}

/// What is required has to be asked for: else nobody could miss it.
fn known(order: &Order, kernels: &[Kernel]) -> anyhow::Result<()> {
    let names = kernels.iter().map(|kernel| kernel.name.as_str());
    let all: Vec<&str> =
        names.chain(order.backings.iter().map(String::as_str)).chain(order.subjects.split(',')).collect();
    let unknown = order.required.iter().find(|word| !all.contains(&word.as_str()));
    ensure!(
        unknown.is_none(),
        "--require {}: nothing of that name is run; there are {}",
        unknown.map_or("", |word| word),
        all.join(", ")
    );
    Ok(())
}

/// Below the target directory.
fn place() -> anyhow::Result<PathBuf> {
    let programs = call::built("kernels")?;
    let target = programs.parent().and_then(Path::parent).context("cannot tell where the target directory is")?;
    let place = target.join("kernels");
    fs::create_dir_all(&place)?;
    Ok(place)
}

fn chosen(order: &Order) -> anyhow::Result<Vec<Kernel>> {
    if order.own.is_some() {
        let (name, suite) = ("own".to_owned(), String::new());
        return Ok(vec![Kernel { name, machine: MachineKind::Qemu, suite, packages: Vec::new() }]);
    }
    let all = list::all()?;
    let names: Vec<String> = all.iter().map(|kernel| kernel.name.clone()).collect();
    let unknown = order.kernels.iter().find(|name| !names.contains(name));
    ensure!(
        unknown.is_none(),
        "there is no kernel {}; there are {}",
        unknown.map_or("", |name| name),
        names.join(", ")
    );
    let is_wanted = |kernel: &Kernel| order.kernels.is_empty() || order.kernels.contains(&kernel.name);
    Ok(all.into_iter().filter(is_wanted).collect())
}

fn listed(kernels: &[Kernel], place: &Path) {
    for kernel in kernels {
        let here = match place.join(&kernel.name).is_dir() {
            true => format!("unpacked in {}", place.join(&kernel.name).display()),
            false => "downloaded when it is asked for".to_owned(),
        };
        println!("{:<9} {} of {}: {here}", kernel.name, kernel.packages.join(", "), kernel.suite);
    }
    match qemu::of_host() {
        Ok(qemu) => println!("QEMU {} of this host{}", qemu.version, if qemu::has_kvm() { ", with KVM" } else { "" }),
        Err(error) => println!("this host has no QEMU ({error:#}): packages are unpacked into {}", place.display()),
    }
}

fn page(order: &Order, seed: u64, table: &str, results: &[Result]) -> String {
    let left_out = report::left_out(results);
    let left_out = if left_out.is_empty() { "None.\n".to_owned() } else { left_out };
    format!(
        "# The laws on other kernels\n\nWritten by `cargo xtask kernels --write`: {} cases from seed {seed} of {}, in machines of their own. Features are tried there, never told \
         from a version. *holds*: no law broke; in so few cases not each law has something to judge.\n\n{table}\n## Not held against the laws\n\nWhat a kernel, or a file system with it, does not have.\n\n{left_out}\n## Kernels\n\n{}",
        order.cases,
        order.subjects,
        report::packages(results),
    )
}
