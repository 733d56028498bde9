//! Many threads at once in one merged tree: nothing is lost, torn, or out of place afterwards.
//!
//! Checklist: CU-20, FD-10~, HL-05, CN-02~

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};

use anyhow::{Context, bail, ensure};

use super::Stage;
use crate::laws::Judged;
use crate::tree::{self, Inodes};

const WRITERS: u8 = 4;

type Task<'a> = Box<dyn FnOnce() -> anyhow::Result<()> + Send + 'a>;

/// Does all tasks at once and gives the first thing that went wrong.
fn at_once(tasks: Vec<Task<'_>>) -> anyhow::Result<()> {
    let start = Barrier::new(tasks.len());
    thread::scope(|scope: &Scope<'_, '_>| {
        let start = &start;
        let threads: Vec<_> = tasks
            .into_iter()
            .map(|task| {
                scope.spawn(move || {
                    start.wait();
                    task()
                })
            })
            .collect();
        let ended = threads.into_iter().map(|one| one.join().unwrap_or_else(|_| bail!("a thread panicked")));
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Writers who append to many files of a lower layer, each in another order, lose nothing, and who reads meanwhile sees all of the old content.
pub fn files_are_copied_up_whole_while_others_read(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    const FILES: usize = 48;
    let old = vec![b'.'; 20_000];
    for number in 0..FILES {
        fs::write(stage.at(&number.to_string()), &old)?;
    }
    stage.commit()?;
    let (root, old, is_over) = (&stage.root(), &old, &AtomicBool::new(false));
    let order = |writer: u8| (0..FILES).map(move |number| (number * 7 + usize::from(writer) * 13) % FILES);
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for writer in 0..WRITERS {
        tasks.push(Box::new(move || {
            let append = |number: usize| -> anyhow::Result<()> {
                let mut file = OpenOptions::new().append(true).open(root.join(number.to_string()))?;
                file.write_all(&[b'0' + writer]).context("cannot append")
            };
            let appended = order(writer).try_for_each(append);
            is_over.store(true, Ordering::Relaxed);
            appended
        }));
    }
    for reader in 0..2 {
        tasks.push(Box::new(move || {
            while !is_over.load(Ordering::Relaxed) {
                for number in order(reader) {
                    let seen = fs::read(root.join(number.to_string())).context("cannot read meanwhile")?;
                    ensure!(seen.starts_with(old), "{number} shows {} bytes, and not all of the old ones", seen.len());
                }
            }
            Ok(())
        }));
    }
    at_once(tasks)?;
    stage.look();
    for number in 0..FILES {
        let found = fs::read(stage.at(&number.to_string()))?;
        let mut appended = found.get(old.len()..).unwrap_or_default().to_vec();
        appended.sort_unstable();
        ensure!(found.starts_with(old) && appended == b"0123", "{number} has {:?} appended", appended.escape_ascii());
    }
    Ok(Judged::Held)
}

/// Appends to one file of a lower layer, each by a new open, are all there once, whatever others open, close and cut off elsewhere meanwhile.
pub fn no_append_is_lost_in_a_crowd(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    const RECORDS: usize = 60;
    fs::write(stage.at("log"), "begun\n")?;
    fs::write(stage.at("cut"), vec![b'x'; 10_000])?;
    stage.commit()?;
    let root = &stage.root();
    let record = |writer: u8, number: usize| format!("{writer} {number}\n");
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for writer in 0..WRITERS {
        tasks.push(Box::new(move || {
            for number in 0..RECORDS {
                let mut file = OpenOptions::new().append(true).open(root.join("log"))?;
                file.write_all(record(writer, number).as_bytes())?;
            }
            Ok(())
        }));
    }
    tasks.push(Box::new(move || {
        for length in (0..RECORDS as u64).rev() {
            OpenOptions::new().write(true).open(root.join("cut"))?.set_len(length * 100)?;
            let mut seen = Vec::new();
            File::open(root.join("log"))?.read_to_end(&mut seen)?;
            ensure!(seen.starts_with(b"begun\n"), "a reader sees {:?} at the beginning", seen.escape_ascii());
        }
        Ok(())
    }));
    at_once(tasks)?;
    stage.look();
    let log = fs::read_to_string(stage.at("log"))?;
    let found: BTreeSet<&str> = log.lines().collect();
    let records = (0..WRITERS).flat_map(|writer| (0..RECORDS).map(move |number| record(writer, number)));
    let lost: Vec<String> = records.filter(|record| !found.contains(record.trim_end())).collect();
    let count = log.lines().count();
    ensure!(
        lost.is_empty() && count == 1 + RECORDS * usize::from(WRITERS),
        "of {count} lines these are lost: {lost:?}"
    );
    let length = fs::metadata(stage.at("cut"))?.len();
    ensure!(length == 0, "a file that was cut to nothing has {length} bytes");
    Ok(Judged::Held)
}

/// Two names of one file, written to by two threads at once, are one file with both changes.
pub fn two_names_copied_up_at_once_are_one_file(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    const PAIRS: usize = 24;
    if stage.promises.layers && !stage.promises.hard_links_survive_copy_up {
        return Ok(Judged::Unpromised("hard links that survive a copy-up", "hard_links_survive_copy_up"));
    }
    for number in 0..PAIRS {
        fs::write(stage.at(&format!("{number}-0")), "....")?;
        fs::hard_link(stage.at(&format!("{number}-0")), stage.at(&format!("{number}-1")))?;
    }
    stage.commit()?;
    let root = &stage.root();
    for number in 0..PAIRS {
        let write = |name: u8| -> Task<'_> {
            Box::new(move || {
                let file = OpenOptions::new().write(true).open(root.join(format!("{number}-{name}")))?;
                file.write_all_at(&[b'0' + name], u64::from(name)).context("cannot write")
            })
        };
        at_once(vec![write(0), write(1)])?;
    }
    stage.look();
    for number in 0..PAIRS {
        for name in 0..2 {
            let path = stage.at(&format!("{number}-{name}"));
            let (content, links) = (fs::read_to_string(&path)?, fs::metadata(&path)?.nlink());
            ensure!(content == "01..", "{number}-{name} has {content:?}");
            ensure!(links == 2, "{number}-{name} has {links} names");
        }
    }
    Ok(Judged::Held)
}

/// What may come of [`act`] because others act beside: nothing else does.
fn usual(number: u64) -> &'static [i32] {
    use nix::libc::{EEXIST, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EXDEV};
    match number % 8 {
        0 => &[EEXIST],
        1 => &[ENOENT, ENOTDIR, ENOTEMPTY],
        2 => &[EISDIR],
        3 | 6 => &[ENOENT, EISDIR],
        // A directory gets no second name.
        4 => &[ENOENT, EEXIST, EPERM],
        // Of a lower directory, and where a full one is replaced: xfs says that it exists.
        5 => &[ENOENT, EISDIR, ENOTDIR, ENOTEMPTY, EEXIST, EXDEV],
        _ => &[],
    }
}

/// One of many acts in the directory `root`, by number.
fn act(root: &Path, number: u64) -> std::io::Result<()> {
    let name = |number: u64| root.join(format!("n{}", number % 12));
    let (one, other) = (name(number / 8), name(number / 96));
    match number % 8 {
        0 => fs::create_dir(one),
        1 => fs::remove_dir(one),
        2 => fs::write(one, number.to_string()),
        3 => fs::remove_file(one),
        4 => fs::hard_link(one, other),
        5 => fs::rename(one, other),
        6 => OpenOptions::new().append(true).open(one)?.write_all(b"+"),
        _ => fs::read_dir(root)?.try_for_each(|entry| entry.map(drop)),
    }
}

/// After threads made, named, moved and removed the same few names at once, the tree can be read, a remount shows the same, and no call
/// was refused but for what the others did.
pub fn a_crowd_leaves_a_sound_tree(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    for number in (0..12).step_by(2) {
        fs::write(stage.at(&format!("n{number}")), "below")?;
    }
    fs::create_dir(stage.at("n1"))?;
    stage.commit()?;
    let (root, promises) = (&stage.root(), stage.promises);
    let is_usual = |number: u64, errno: i32| {
        // A file that is renamed while it is copied up is linked to its old name, which another may have by now (`ovl_copy_up_tmpfile` of
        // `fs/overlayfs/copy_up.c`).
        let is_odd = errno == nix::libc::EEXIST && matches!(number % 8, 2..=6) && promises.layers;
        usual(number).contains(&errno) || (errno == nix::libc::ESTALE && !promises.copies_can_be_linked) || is_odd
    };
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for writer in 0..WRITERS {
        tasks.push(Box::new(move || {
            // A sequence of Lehmer's, of its own for each.
            let mut number = 48_271 * (u64::from(writer) + 1);
            for _ in 0..400 {
                number = number * 48_271 % 0x7fff_ffff;
                match act(root, number) {
                    Err(error) if !error.raw_os_error().is_some_and(|errno| is_usual(number, errno)) => {
                        return Err(error).with_context(|| format!("act {} of a crowd", number % 8));
                    }
                    _ => {}
                }
            }
            Ok(())
        }));
    }
    at_once(tasks)?;
    let mut before = stage.read()?;
    stage.remount()?;
    stage.look();
    let mut after = stage.read().context("after a remount")?;
    if !promises.crowds_are_kept {
        return Ok(Judged::Unpromised("names that several can change at once", "crowds_are_kept"));
    }
    tree::forget_all(&mut before, &promises);
    tree::forget_all(&mut after, &promises);
    if !promises.numbers_of_names_survive_a_remount {
        for (path, facts) in &mut before {
            facts.links = after.get(path).map_or(facts.links, |now| now.links);
        }
    }
    let changes = tree::changes(&before, &after, Inodes::Ignored);
    let changes: Vec<String> = changes.iter().map(|change| format!("after a remount {change}")).collect();
    ensure!(changes.is_empty(), "{}", changes.join("\n"));
    Ok(Judged::Held)
}
