//! `chmod`, `chown` and `chgrp`.

use super::mode;
use crate::account::Names;
use crate::applets::Call;
use crate::options::{Accepts, Options, missing_operand};
use crate::say;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown as follow_chown, lchown};
use std::path::Path;

pub fn chmod(call: &Call) -> u8 {
    // A mode such as -x looks like an option; the first word that is one decides.
    let (flags, rest): (Vec<String>, Vec<String>) =
        call.args.iter().cloned().partition(|arg| matches!(arg.as_str(), "-R" | "-v" | "-f" | "-c" | "--recursive"));
    let recursive = flags.iter().any(|flag| flag == "-R" || flag == "--recursive");
    let rest: Vec<String> = rest.into_iter().filter(|arg| arg != "--").collect();
    let Some((expression, paths)) = rest.split_first() else { return missing_operand("chmod") };
    if paths.is_empty() {
        say::complain("chmod", format!("missing operand after '{expression}'"));
        return 1;
    }
    let umask = mode::umask();
    if mode::apply(expression, 0, false, umask).is_none() {
        say::complain("chmod", format!("invalid mode: '{expression}'"));
        error_line!("Try 'chmod --help' for more information.");
        return 1;
    }
    let mut status = 0;
    for path in paths {
        each(
            "chmod",
            Path::new(path),
            recursive,
            true,
            &mut status,
            &mut |path, found| {
                if found.file_type().is_symlink() {
                    return Ok(());
                }
                let wanted = mode::apply(expression, found.mode(), found.is_dir(), umask).unwrap_or(found.mode());
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(wanted))
            },
            "changing permissions of",
        );
    }
    status
}

type Act<'a> = dyn FnMut(&Path, &std::fs::Metadata) -> io::Result<()> + 'a;

fn each(name: &str, path: &Path, recursive: bool, follow: bool, status: &mut u8, act: &mut Act<'_>, doing: &str) {
    let found = if follow { path.metadata() } else { path.symlink_metadata() };
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            say::complain(name, format!("cannot access '{}': {}", path.display(), say::reason(&error)));
            *status = 1;
            return;
        }
    };
    if let Err(error) = act(path, &found) {
        say::complain(name, format!("{doing} '{}': {}", path.display(), say::reason(&error)));
        *status = 1;
    }
    if recursive && found.is_dir() {
        match std::fs::read_dir(path) {
            Ok(entries) => {
                for entry in entries.filter_map(Result::ok) {
                    each(name, &entry.path(), true, false, status, act, doing);
                }
            }
            Err(error) => {
                say::complain(name, format!("cannot read directory '{}': {}", path.display(), say::reason(&error)));
                *status = 1;
            }
        }
    }
}

pub fn chown(call: &Call) -> u8 {
    owners(call.name, call.args, |spec| {
        let (user, group) = match spec.split_once([':', '.']) {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let uid = if user.is_empty() {
            None
        } else {
            Some(Names::users().id(user).ok_or_else(|| format!("invalid user: '{spec}'"))?)
        };
        let gid = match group {
            None | Some("") => None,
            Some(group) => Some(Names::groups().id(group).ok_or_else(|| format!("invalid group: '{spec}'"))?),
        };
        Ok((uid, gid))
    })
}

pub fn chgrp(call: &Call) -> u8 {
    owners(call.name, call.args, |spec| {
        Names::groups().id(spec).map(|gid| (None, Some(gid))).ok_or_else(|| format!("invalid group: '{spec}'"))
    })
}

type Owners = (Option<u32>, Option<u32>);

fn owners(name: &str, args: &[String], read: impl Fn(&str) -> Result<Owners, String>) -> u8 {
    let accepts = Accepts {
        name,
        short: "RhfvcLHPr:",
        long: &[("recursive", 'R'), ("no-dereference", 'h'), ("reference", 'r')],
        misuse: 1,
    };
    let mut options: Options = match accepts.read(args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let owners = match options.value('r') {
        Some(reference) => std::fs::metadata(reference)
            .map(|found| (Some(found.uid()), Some(found.gid())))
            .map_err(|error| format!("failed to get attributes of '{reference}': {}", say::reason(&error))),
        None if options.operands.is_empty() => return missing_operand(name),
        None => read(&options.operands.remove(0)),
    };
    let (uid, gid) = match owners {
        Ok(owners) => owners,
        Err(message) => {
            say::complain(name, message);
            return 1;
        }
    };
    if options.operands.is_empty() {
        return missing_operand(name);
    }
    let (recursive, link) = (options.has('R'), options.has('h'));
    let doing = if name == "chgrp" { "changing group of" } else { "changing ownership of" };
    let mut status = 0;
    for path in &options.operands {
        let follow = !link && !recursive;
        each(
            name,
            Path::new(path),
            recursive,
            follow,
            &mut status,
            &mut |path, found| {
                if follow || !found.file_type().is_symlink() {
                    follow_chown(path, uid, gid)
                } else {
                    lchown(path, uid, gid)
                }
            },
            doing,
        );
    }
    status
}
