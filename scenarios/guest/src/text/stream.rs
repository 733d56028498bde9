//! `cat`, `head`, `tail`, `wc`, `tee` and `tr`.

use super::{each, lines, open};
use crate::applets::Call;
use crate::options::{Accepts, Options, expand_dash_number};
use crate::say;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::time::Duration;

pub fn cat(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "cat",
        short: "AbeEnstTuv",
        long: &[("number", 'n'), ("show-ends", 'E'), ("show-all", 'A'), ("show-tabs", 'T')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let standard = ["-".to_owned()];
    let operands = if options.operands.is_empty() { &standard[..] } else { &options.operands[..] };
    let plain = !"AbeEnstTv".chars().any(|letter| options.has(letter));
    let (mut status, mut number) = (0, 0);
    for operand in operands {
        let copied = open(operand).and_then(|mut reader| {
            if plain {
                return pour(reader.as_mut());
            }
            let mut contents = Vec::new();
            reader.read_to_end(&mut contents)?;
            decorate(&options, &contents, &mut number);
            Ok(())
        });
        if let Err(error) = copied {
            say::complain("cat", format!("{operand}: {}", say::reason(&error)));
            status = 1;
        }
    }
    status
}

/// Copies a stream to standard output as it comes.
fn pour(reader: &mut dyn io::Read) -> io::Result<()> {
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                say::bytes(&buffer[..length]);
                say::flush();
                if say::broken() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn decorate(options: &Options, contents: &[u8], number: &mut usize) {
    let all = options.has('A');
    let (ends, tabs) = (all || options.has('E') || options.has('e'), all || options.has('T') || options.has('t'));
    let visible = all || "vet".chars().any(|letter| options.has(letter));
    let mut blank = false;
    for line in contents.split_inclusive(|byte| *byte == b'\n') {
        let (body, end) = match line.strip_suffix(b"\n") {
            Some(body) => (body, true),
            None => (line, false),
        };
        if options.has('s') && blank && body.is_empty() {
            continue;
        }
        blank = body.is_empty();
        if options.has('b') && !body.is_empty() || options.has('n') && !options.has('b') {
            *number += 1;
            say::text(format!("{number:>6}\t"));
        }
        for byte in body {
            match byte {
                b'\t' if tabs => say::text("^I"),
                0..=8 | 10..=31 if visible => say::text(format!("^{}", char::from(byte + 64))),
                127 if visible => say::text("^?"),
                128..=255 if visible => say::text(format!("M-{}", caret(byte & 127))),
                _ => say::bytes(&[*byte]),
            }
        }
        say::text(if ends && end { "$" } else { "" });
        say::text(if end { "\n" } else { "" });
    }
}

fn caret(byte: u8) -> String {
    match byte {
        0..=31 => format!("^{}", char::from(byte + 64)),
        127 => "^?".to_owned(),
        _ => char::from(byte).to_string(),
    }
}

pub fn head(call: &Call) -> u8 {
    let accepts =
        Accepts { name: "head", short: "c:n:qv", long: &[("lines", 'n'), ("bytes", 'c'), ("quiet", 'q')], misuse: 1 };
    let options = match accepts.read(&expand_dash_number(call.args, 'n')) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let by_bytes = options.has('c');
    let wanted = options.value('c').or(options.value('n')).unwrap_or("10");
    let (all_but, digits) = match wanted.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, wanted),
    };
    let Some(count) = crate::files::create::size(digits).and_then(|count| usize::try_from(count).ok()) else {
        let unit = if by_bytes { "bytes" } else { "lines" };
        say::complain("head", format!("invalid number of {unit}: '{wanted}'"));
        return 1;
    };
    titled("head", &options, |mut reader| {
        if all_but || by_bytes {
            let mut contents = Vec::new();
            if by_bytes && !all_but {
                reader.take(count as u64).read_to_end(&mut contents)?;
            } else {
                reader.read_to_end(&mut contents)?;
            }
            let pieces: Vec<&[u8]> = contents.split_inclusive(|byte| *byte == b'\n').collect();
            match (by_bytes, all_but) {
                (true, true) => say::bytes(&contents[..contents.len().saturating_sub(count)]),
                (true, false) => say::bytes(&contents),
                (false, _) => pieces[..pieces.len().saturating_sub(count)].iter().for_each(|line| say::bytes(line)),
            }
            return Ok(());
        }
        let mut reader = io::BufReader::new(reader);
        for _ in 0..count {
            let mut line = Vec::new();
            if io::BufRead::read_until(&mut reader, b'\n', &mut line)? == 0 {
                break;
            }
            say::bytes(&line);
        }
        Ok(())
    })
}

type Act<'a> = dyn FnMut(Box<dyn io::Read>) -> io::Result<()> + 'a;

/// Runs over the operands, with `==> NAME <==` between several.
fn titled(name: &str, options: &Options, mut act: impl FnMut(Box<dyn io::Read>) -> io::Result<()>) -> u8 {
    let act: &mut Act<'_> = &mut act;
    let standard = ["-".to_owned()];
    let operands = if options.operands.is_empty() { &standard[..] } else { &options.operands[..] };
    let titles = (operands.len() > 1 || options.has('v')) && !options.has('q');
    let (mut status, mut first) = (0, true);
    for operand in operands {
        let reader = match open(operand) {
            Ok(reader) => reader,
            Err(error) => {
                let doing = if error.raw_os_error() == Some(libc::EISDIR) { "error reading" } else { "cannot open" };
                let tail = if doing == "cannot open" { " for reading" } else { "" };
                say::complain(name, format!("{doing} '{operand}'{tail}: {}", say::reason(&error)));
                status = 1;
                continue;
            }
        };
        if titles {
            let shown = if operand == "-" { "standard input" } else { operand };
            say::line(format!("{}==> {shown} <==", if first { "" } else { "\n" }));
        }
        first = false;
        if let Err(error) = act(reader) {
            say::complain(name, format!("error reading '{operand}': {}", say::reason(&error)));
            status = 1;
        }
    }
    status
}

pub fn tail(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "tail",
        short: "c:fFn:qs:v",
        long: &[("lines", 'n'), ("bytes", 'c'), ("follow", 'f'), ("quiet", 'q')],
        misuse: 1,
    };
    let options = match accepts.read(&expand_dash_number(call.args, 'n')) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let by_bytes = options.has('c');
    let wanted = options.value('c').or(options.value('n')).unwrap_or("10");
    let (from_start, digits) = match wanted.strip_prefix('+') {
        Some(digits) => (true, digits),
        None => (false, wanted.trim_start_matches('-')),
    };
    let Some(count) = crate::files::create::size(digits).and_then(|count| usize::try_from(count).ok()) else {
        let unit = if by_bytes { "bytes" } else { "lines" };
        say::complain("tail", format!("invalid number of {unit}: '{wanted}'"));
        return 1;
    };
    let status = titled("tail", &options, |mut reader| {
        let mut contents = Vec::new();
        reader.read_to_end(&mut contents)?;
        let pieces: Vec<&[u8]> = if by_bytes {
            contents.chunks(1).collect()
        } else {
            contents.split_inclusive(|byte| *byte == b'\n').collect()
        };
        let start = if from_start { count.saturating_sub(1) } else { pieces.len().saturating_sub(count) };
        pieces.get(start..).unwrap_or_default().iter().for_each(|piece| say::bytes(piece));
        Ok(())
    });
    if options.has('f') || options.has('F') {
        say::flush();
        follow(&options.operands);
    }
    status
}

/// Prints what is appended to the files, for ever.
fn follow(operands: &[String]) {
    let mut ends: Vec<u64> =
        operands.iter().map(|operand| std::fs::metadata(operand).map_or(0, |found| found.len())).collect();
    while !operands.is_empty() && !say::broken() {
        std::thread::sleep(Duration::from_millis(200));
        for (operand, end) in operands.iter().zip(&mut ends) {
            let length = std::fs::metadata(operand).map_or(*end, |found| found.len());
            if length < *end {
                say::complain("tail", format!("{operand}: file truncated"));
                *end = 0;
            }
            if length > *end
                && let Ok(mut file) = std::fs::File::open(operand)
                && file.seek(SeekFrom::Start(*end)).is_ok()
            {
                let mut added = Vec::new();
                let _ = file.read_to_end(&mut added);
                *end += added.len() as u64;
                say::bytes(&added);
                say::flush();
            }
        }
    }
}

pub fn wc(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "wc",
        short: "clmwL",
        long: &[("bytes", 'c'), ("lines", 'l'), ("chars", 'm'), ("words", 'w')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let none = !"clmwL".chars().any(|letter| options.has(letter));
    let chosen: Vec<char> =
        "lwmcL".chars().filter(|letter| options.has(*letter) || none && "lwc".contains(*letter)).collect();
    let mut rows: Vec<(Vec<usize>, String)> = Vec::new();
    let status = each("wc", &options.operands, |name, contents| {
        let text = String::from_utf8_lossy(&contents);
        let counts = chosen
            .iter()
            .map(|letter| match letter {
                'l' => contents.iter().filter(|byte| **byte == b'\n').count(),
                'w' => text.split_whitespace().count(),
                'm' => text.chars().count(),
                'L' => lines(&contents).map(|line| String::from_utf8_lossy(line).chars().count()).max().unwrap_or(0),
                _ => contents.len(),
            })
            .collect();
        rows.push((counts, if options.operands.is_empty() { String::new() } else { name.to_owned() }));
    });
    if options.operands.len() > 1 {
        let totals = (0..chosen.len()).map(|at| rows.iter().map(|(counts, _)| counts[at]).sum()).collect();
        rows.push((totals, "total".to_owned()));
    }
    let largest = rows.iter().flat_map(|(counts, _)| counts).max().copied().unwrap_or(0).to_string().len();
    let bytes: u64 =
        options.operands.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|found| found.len()).sum();
    let standard = rustix::fs::fstat(io::stdin()).ok().filter(|found| found.st_mode & libc::S_IFMT == libc::S_IFREG);
    let width = match (options.operands.is_empty(), chosen.len() > 1 || options.operands.len() > 1) {
        (_, false) => 1,
        (true, true) if standard.is_none() => 7,
        (true, true) => largest.max(standard.map_or(0, |found| found.st_size).to_string().len()),
        (false, true) => largest.max(bytes.to_string().len()),
    };
    for (counts, name) in rows {
        let shown: Vec<String> = counts.iter().map(|count| format!("{count:>width$}")).collect();
        say::line(format!("{} {name}", shown.join(" ")).trim_end());
    }
    status
}

pub fn tee(call: &Call) -> u8 {
    let accepts = Accepts { name: "tee", short: "aip", long: &[("append", 'a')], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mut status = 0;
    let mut files = Vec::new();
    for operand in &options.operands {
        let append = options.has('a');
        match std::fs::OpenOptions::new().create(true).write(true).append(append).truncate(!append).open(operand) {
            Ok(file) => files.push(file),
            Err(error) => {
                say::complain("tee", format!("{operand}: {}", say::reason(&error)));
                status = 1;
            }
        }
    }
    let mut buffer = vec![0u8; 64 * 1024];
    while let Ok(length) = io::stdin().read(&mut buffer) {
        if length == 0 {
            break;
        }
        say::bytes(&buffer[..length]);
        say::flush();
        for file in &mut files {
            if let Err(error) = file.write_all(&buffer[..length]) {
                say::complain("tee", say::reason(&error));
                status = 1;
            }
        }
    }
    status
}

pub fn tr(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "tr",
        short: "+cCdst",
        long: &[("delete", 'd'), ("squeeze-repeats", 's'), ("complement", 'c')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let Some(first) = options.operands.first() else { return crate::options::missing_operand("tr") };
    let mut from = character_set(first);
    if options.has('c') || options.has('C') {
        from = (0..=255).filter(|byte| !from.contains(byte)).collect();
    }
    let to = options.operands.get(1).map(|second| character_set(second));
    let (delete, squeeze) = (options.has('d'), options.has('s'));
    if to.is_none() && !delete && !squeeze {
        say::complain("tr", format!("missing operand after '{first}'"));
        error_line!("Two strings must be given when translating.");
        return 1;
    }
    let squeezed: &[u8] = match &to {
        Some(to) if squeeze => to,
        _ if squeeze => &from,
        _ => &[],
    };
    let mut contents = Vec::new();
    if let Err(error) = io::stdin().read_to_end(&mut contents) {
        say::complain("tr", format!("read error: {}", say::reason(&error)));
        return 1;
    }
    let mut last = None;
    let mut result = Vec::with_capacity(contents.len());
    for byte in contents {
        let translated = match from.iter().position(|candidate| *candidate == byte) {
            Some(_) if delete => continue,
            Some(at) => match &to {
                Some(to) if !to.is_empty() => to[at.min(to.len() - 1)],
                _ => byte,
            },
            None => byte,
        };
        if last == Some(translated) && squeezed.contains(&translated) {
            continue;
        }
        last = Some(translated);
        result.push(translated);
    }
    say::bytes(&result);
    0
}

fn character_set(spec: &str) -> Vec<u8> {
    type Class = (&'static str, fn(&u8) -> bool);
    let classes: [Class; 9] = [
        ("[:alnum:]", u8::is_ascii_alphanumeric),
        ("[:alpha:]", u8::is_ascii_alphabetic),
        ("[:digit:]", u8::is_ascii_digit),
        ("[:lower:]", u8::is_ascii_lowercase),
        ("[:upper:]", u8::is_ascii_uppercase),
        ("[:space:]", |byte| matches!(byte, 9..=13 | 32)),
        ("[:blank:]", |byte| matches!(byte, 9 | 32)),
        ("[:punct:]", u8::is_ascii_punctuation),
        ("[:cntrl:]", u8::is_ascii_control),
    ];
    let mut set = Vec::new();
    let mut rest = spec;
    'outer: while !rest.is_empty() {
        for (name, holds) in classes {
            if let Some(after) = rest.strip_prefix(name) {
                set.extend((0..=255u8).filter(holds));
                rest = after;
                continue 'outer;
            }
        }
        let (low, after) = character(rest);
        rest = after;
        match rest.strip_prefix('-').filter(|after| !after.is_empty()) {
            Some(after) => {
                let (high, after) = character(after);
                set.extend(low..=high);
                rest = after;
            }
            None => set.push(low),
        }
    }
    set
}

fn character(rest: &str) -> (u8, &str) {
    let bytes = rest.as_bytes();
    if bytes[0] == b'\\' && bytes.len() > 1 {
        let digits = bytes[1..].iter().take(3).take_while(|byte| (b'0'..=b'7').contains(*byte)).count();
        if digits > 0 {
            return (u8::from_str_radix(&rest[1..=digits], 8).unwrap_or(0), &rest[1 + digits..]);
        }
        let (expanded, _) = super::print::escapes(&rest[..2]);
        return (expanded.bytes().next_back().unwrap_or(b'\\'), &rest[2..]);
    }
    // A multi-byte character is taken byte by byte.
    let end = rest.char_indices().nth(1).map_or(rest.len(), |(at, _)| at);
    (bytes[0], &rest[end..])
}
