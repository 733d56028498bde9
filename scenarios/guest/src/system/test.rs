//! `test` and `[`.

use crate::applets::Call;
use crate::say;
use rustix::fs::{Access, access};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

pub fn test(call: &Call) -> u8 {
    let mut words: Vec<&str> = call.args.iter().map(String::as_str).collect();
    if call.name == "[" && words.pop() != Some("]") {
        say::complain("[", "missing ']'");
        return 2;
    }
    match any(&words) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(message) => {
            say::complain(call.name, message);
            2
        }
    }
}

fn any(words: &[&str]) -> Result<bool, String> {
    match words {
        [] => return Ok(false),
        [word] => return Ok(!word.is_empty()),
        ["!", rest @ ..] if rest.len() <= 3 && !matches!(rest, ["-o" | "-a", _]) => {
            return any(rest).map(|holds| !holds);
        }
        [operator, operand] => return unary(operator, operand),
        [left, operator, right] if is_binary(operator) => return binary(left, operator, right),
        ["(", inner @ .., ")"] => return any(inner),
        _ => {}
    }
    for (joiner, both) in [("-o", false), ("-a", true)] {
        if let Some(at) = words.iter().skip(1).position(|word| *word == joiner).map(|at| at + 1)
            && at + 1 < words.len()
        {
            let (left, right) = (any(&words[..at])?, any(&words[at + 1..])?);
            return Ok(if both { left && right } else { left || right });
        }
    }
    match words {
        ["!", rest @ ..] => any(rest).map(|holds| !holds),
        _ => Err(format!("extra argument '{}'", words.last().unwrap_or(&""))),
    }
}

fn is_binary(operator: &str) -> bool {
    matches!(
        operator,
        "=" | "=="
            | "!="
            | "<"
            | ">"
            | "-eq"
            | "-ne"
            | "-lt"
            | "-le"
            | "-gt"
            | "-ge"
            | "-nt"
            | "-ot"
            | "-ef"
            | "-a"
            | "-o"
    )
}

fn unary(operator: &str, operand: &str) -> Result<bool, String> {
    let path = Path::new(operand);
    let found = path.metadata();
    let kind = |holds: fn(&std::fs::FileType) -> bool| found.as_ref().is_ok_and(|found| holds(&found.file_type()));
    let mode = |bits: u32| found.as_ref().is_ok_and(|found| found.mode() & bits != 0);
    Ok(match operator {
        "-n" => !operand.is_empty(),
        "-z" => operand.is_empty(),
        "-e" | "-a" => found.is_ok(),
        "-f" => kind(std::fs::FileType::is_file),
        "-d" => kind(std::fs::FileType::is_dir),
        "-b" => kind(|kind| kind.is_block_device()),
        "-c" => kind(|kind| kind.is_char_device()),
        "-p" => kind(|kind| kind.is_fifo()),
        "-S" => kind(|kind| kind.is_socket()),
        "-h" | "-L" => path.symlink_metadata().is_ok_and(|found| found.file_type().is_symlink()),
        "-s" => found.is_ok_and(|found| found.len() > 0),
        "-r" => access(path, Access::READ_OK).is_ok(),
        "-w" => access(path, Access::WRITE_OK).is_ok(),
        "-x" => access(path, Access::EXEC_OK).is_ok(),
        "-u" => mode(0o4000),
        "-g" => mode(0o2000),
        "-k" => mode(0o1000),
        "-t" => {
            let descriptor: i32 = operand.parse().map_err(|_| format!("invalid integer '{operand}'"))?;
            std::fs::File::open(format!("/proc/self/fd/{descriptor}")).is_ok_and(|file| rustix::termios::isatty(&file))
        }
        "!" => operand.is_empty(),
        other => return Err(format!("'{other}': unary operator expected")),
    })
}

fn binary(left: &str, operator: &str, right: &str) -> Result<bool, String> {
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("invalid integer '{text}'"));
    let changed = |path: &str| Path::new(path).metadata().ok().map(|found| (found.mtime(), found.mtime_nsec()));
    let same = |path: &str| Path::new(path).metadata().ok().map(|found| (found.dev(), found.ino()));
    Ok(match operator {
        "=" | "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        ">" => left > right,
        "-eq" => number(left)? == number(right)?,
        "-ne" => number(left)? != number(right)?,
        "-lt" => number(left)? < number(right)?,
        "-le" => number(left)? <= number(right)?,
        "-gt" => number(left)? > number(right)?,
        "-ge" => number(left)? >= number(right)?,
        "-nt" => changed(left) > changed(right),
        "-ot" => changed(left) < changed(right),
        "-ef" => same(left).is_some() && same(left) == same(right),
        "-a" => !left.is_empty() && !right.is_empty(),
        _ => !left.is_empty() || !right.is_empty(),
    })
}
