//! File modes as text: `drwxr-xr-x` out, `u+x,go-w` and `0755` in.

use std::fs::{FileType, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

/// The ten characters of `ls -l`.
pub fn show(found: &Metadata) -> String {
    format!("{}{}", type_letter(found.file_type()), permissions(found.mode()))
}

/// The nine characters of a mode's permission bits, set-id and sticky included.
pub fn permissions(mode: u32) -> String {
    let mut text = String::with_capacity(9);
    for (shift, special, lower, upper) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => lower,
            (false, true) => upper,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

pub fn type_letter(kind: FileType) -> char {
    if kind.is_dir() {
        'd'
    } else if kind.is_symlink() {
        'l'
    } else if kind.is_char_device() {
        'c'
    } else if kind.is_block_device() {
        'b'
    } else if kind.is_fifo() {
        'p'
    } else if kind.is_socket() {
        's'
    } else {
        '-'
    }
}

/// `stat`'s name of a type.
pub fn type_name(found: &Metadata) -> &'static str {
    match type_letter(found.file_type()) {
        'd' => "directory",
        'l' => "symbolic link",
        'c' => "character special file",
        'b' => "block special file",
        'p' => "fifo",
        's' => "socket",
        _ if found.size() == 0 => "regular empty file",
        _ => "regular file",
    }
}

/// Applies a chmod expression to a mode; `None` when it is not one.
pub fn apply(expression: &str, current: u32, is_dir: bool, umask: u32) -> Option<u32> {
    if expression.starts_with(|c: char| c.is_ascii_digit()) {
        return u32::from_str_radix(expression, 8).ok().filter(|mode| *mode <= 0o7777);
    }
    let mut mode = current & 0o7777;
    for clause in expression.split(',') {
        let operator = clause.find(['+', '-', '='])?;
        let (mut who, mut masked) = (0, 0);
        for letter in clause[..operator].chars() {
            who |= match letter {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            };
        }
        if who == 0 {
            (who, masked) = (0o7777, umask);
        }
        let mut rest = &clause[operator..];
        while let Some(action) = rest.chars().next() {
            rest = &rest[1..];
            let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
            let mut bits = 0;
            for letter in rest[..end].chars() {
                bits |= match letter {
                    'r' => 0o444,
                    'w' => 0o222,
                    'x' => 0o111,
                    'X' if is_dir || mode & 0o111 != 0 => 0o111,
                    'X' => 0,
                    's' => 0o6000,
                    't' => 0o1000,
                    'u' => (mode >> 6 & 7) * 0o111,
                    'g' => (mode >> 3 & 7) * 0o111,
                    'o' => (mode & 7) * 0o111,
                    _ => return None,
                };
            }
            let bits = bits & who & !masked;
            mode = match action {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => mode & !(who & 0o777) | bits,
            };
            rest = &rest[end..];
        }
    }
    Some(mode)
}

/// The process's umask.
pub fn umask() -> u32 {
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    mask.as_raw_mode()
}
