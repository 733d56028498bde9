//! `echo`, `printf`, `seq`, `yes` and `expr`.

use crate::applets::Call;
use crate::options::missing_operand;
use crate::say;

/// Expands backslash escapes; the flag says that `\c` asked to stop.
pub fn escapes(text: &str) -> (String, bool) {
    let mut result = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => result.push('\n'),
            Some('t') => result.push('\t'),
            Some('r') => result.push('\r'),
            Some('a') => result.push('\x07'),
            Some('b') => result.push('\x08'),
            Some('e') => result.push('\x1b'),
            Some('f') => result.push('\x0c'),
            Some('v') => result.push('\x0b'),
            Some('\\') => result.push('\\'),
            Some('"') => result.push('"'),
            Some('c') => return (result, true),
            Some(digit @ '0'..='7') => {
                let first = digit.to_string();
                result.extend(number(&mut chars, 8, if digit == '0' { 4 } else { 3 }, first));
            }
            Some('x') => result.extend(number(&mut chars, 16, 2, String::new())),
            Some(other) => {
                result.push('\\');
                result.push(other);
            }
            None => result.push('\\'),
        }
    }
    (result, false)
}

/// The character of up to `most` digits, of which `digits` were read already.
fn number(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    radix: u32,
    most: usize,
    mut digits: String,
) -> Option<char> {
    while digits.len() < most
        && let Some(digit) = chars.next_if(|c| c.is_digit(radix))
    {
        digits.push(digit);
    }
    u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32)
}

pub fn echo(call: &Call) -> u8 {
    let mut args = call.args;
    let (mut newline, mut expand) = (true, false);
    while let Some(flags) = args.first().and_then(|arg| arg.strip_prefix('-')) {
        if flags.is_empty() || !flags.chars().all(|c| "neE".contains(c)) {
            break;
        }
        newline &= !flags.contains('n');
        expand = flags.chars().fold(expand, |expand, c| c == 'e' || (expand && c != 'E'));
        args = &args[1..];
    }
    let text = args.join(" ");
    if expand {
        let (text, stopped) = escapes(&text);
        say::text(text);
        newline &= !stopped;
    } else {
        say::text(text);
    }
    if newline {
        say::text("\n");
    }
    0
}

pub fn printf(call: &Call) -> u8 {
    let Some((format, mut args)) = call.args.split_first() else { return missing_operand("printf") };
    let mut status = 0;
    loop {
        let before = args.len();
        if once(format, &mut args, &mut status) || args.is_empty() || args.len() == before {
            return status;
        }
    }
}

/// One pass over the format; true when `\c` stops everything.
fn once(format: &str, args: &mut &[String], status: &mut u8) -> bool {
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (text, stopped) = escapes(&rest[..at]);
        say::text(text);
        if stopped {
            return true;
        }
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            say::text("%");
            rest = after;
            continue;
        }
        let Some(length) = rest.find(|c: char| c.is_ascii_alphabetic()) else {
            say::complain("printf", format!("%{rest}: invalid conversion specification"));
            *status = 1;
            return true;
        };
        let mut spec = rest[..length].to_owned();
        let conversion = rest[length..].chars().next().unwrap_or('s');
        rest = &rest[length + conversion.len_utf8()..];
        while let Some(star) = spec.find('*') {
            let value = next(args).unwrap_or_default();
            spec.replace_range(star..=star, &value);
        }
        let argument = next(args);
        if convert(&spec, conversion, argument, status) {
            return true;
        }
    }
    let (text, stopped) = escapes(rest);
    say::text(text);
    stopped
}

fn next(args: &mut &[String]) -> Option<String> {
    let (first, rest) = args.split_first()?;
    *args = rest;
    Some(first.clone())
}

fn convert(spec: &str, conversion: char, argument: Option<String>, status: &mut u8) -> bool {
    let flags: String = spec.chars().take_while(|c| "-+ 0#".contains(*c)).collect();
    let (width, precision) = match spec[flags.len()..].split_once('.') {
        Some((width, precision)) => (width.parse().unwrap_or(0), Some(precision.parse::<usize>().unwrap_or(0))),
        None => (spec[flags.len()..].parse().unwrap_or(0usize), None),
    };
    let text = argument.unwrap_or_default();
    let mut integer = || {
        let parsed = integer(&text);
        if parsed.is_none() && !text.is_empty() {
            say::complain("printf", format!("'{text}': expected a numeric value"));
            *status = 1;
        }
        parsed.unwrap_or(0)
    };
    let signed = |number: String| {
        if number.starts_with('-') {
            number
        } else if flags.contains('+') {
            format!("+{number}")
        } else if flags.contains(' ') {
            format!(" {number}")
        } else {
            number
        }
    };
    let body = match conversion {
        's' => text.chars().take(precision.unwrap_or(usize::MAX)).collect(),
        'c' => text.chars().take(1).collect(),
        'b' => {
            let (expanded, stopped) = escapes(&text);
            say::text(expanded);
            return stopped;
        }
        'q' => {
            let plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-./:,+@%".contains(c));
            if plain { text.clone() } else { format!("'{}'", text.replace('\'', r"'\''")) }
        }
        'd' | 'i' => signed(digits(integer(), precision)),
        'u' => digits(integer(), precision),
        'o' => format!("{}{:o}", if flags.contains('#') { "0" } else { "" }, integer()),
        'x' => format!("{}{:x}", if flags.contains('#') { "0x" } else { "" }, integer()),
        'X' => format!("{}{:X}", if flags.contains('#') { "0X" } else { "" }, integer()),
        'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
            let number: f64 = text.trim().parse().unwrap_or(0.0);
            match conversion {
                'f' | 'F' => signed(format!("{number:.*}", precision.unwrap_or(6))),
                'e' | 'E' => signed(exponent(number, precision.unwrap_or(6))),
                _ => signed(format!("{number}")),
            }
        }
        other => {
            say::complain("printf", format!("%{other}: invalid conversion specification"));
            *status = 1;
            return true;
        }
    };
    if flags.contains('-') {
        say::text(format!("{body:<width$}"));
    } else if flags.contains('0') && !"scq".contains(conversion) {
        let (sign, number) = body.split_at(usize::from(body.starts_with(['-', '+', ' '])));
        let width = width.saturating_sub(sign.len());
        say::text(format!("{sign}{number:0>width$}"));
    } else {
        say::text(format!("{body:>width$}"));
    }
    false
}

fn digits(number: i64, precision: Option<usize>) -> String {
    let width = precision.unwrap_or(1);
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{:0>width$}", number.unsigned_abs())
}

fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, power)) => {
            let power: i32 = power.parse().unwrap_or(0);
            format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
        }
        None => text,
    }
}

fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix(['\'', '"']) {
        return rest.chars().next().map(|c| i64::from(u32::from(c)));
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.trim_start_matches('+')),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        i64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    Some(sign * value)
}

pub fn seq(call: &Call) -> u8 {
    let mut args: Vec<&str> = call.args.iter().map(String::as_str).collect();
    let (mut separator, mut padded) = ("\n", false);
    while let Some(first) = args.first().copied() {
        match first {
            "-w" => padded = true,
            "-s" => {
                separator = args.get(1).copied().unwrap_or("\n");
                args.remove(0);
            }
            _ => break,
        }
        args.remove(0);
    }
    let numbers: Option<Vec<f64>> = args.iter().map(|text| text.parse().ok()).collect();
    let (first, step, last) = match numbers.as_deref() {
        Some([last]) => (1.0, 1.0, *last),
        Some([first, last]) => (*first, 1.0, *last),
        Some([first, step, last]) if *step != 0.0 => (*first, *step, *last),
        Some([]) => return missing_operand("seq"),
        _ => {
            say::complain("seq", format!("invalid floating point argument: '{}'", args.join(" ")));
            return 1;
        }
    };
    let places = args.iter().map(|text| text.split_once('.').map_or(0, |(_, tail)| tail.len())).max().unwrap_or(0);
    let width = if padded { format!("{first:.places$}").len().max(format!("{last:.places$}").len()) } else { 0 };
    let mut count = 0u32;
    loop {
        let value = first + f64::from(count) * step;
        if (step > 0.0 && value > last + 1e-9) || (step < 0.0 && value < last - 1e-9) || say::broken() {
            break;
        }
        say::text(if count > 0 { separator } else { "" });
        say::text(format!("{value:0>width$.places$}"));
        count += 1;
    }
    if count > 0 {
        say::text("\n");
    }
    0
}

pub fn yes(call: &Call) -> u8 {
    let line = if call.args.is_empty() { "y\n".to_owned() } else { format!("{}\n", call.args.join(" ")) };
    while !say::broken() {
        say::text(&line);
    }
    1
}

pub fn expr(call: &Call) -> u8 {
    let words: Vec<&str> = call.args.iter().map(String::as_str).collect();
    match expression(&words, 0) {
        Some(value) => {
            let empty = value.is_empty() || value == "0";
            say::line(value);
            u8::from(empty)
        }
        None => {
            say::complain("expr", "syntax error");
            2
        }
    }
}

const LEVELS: [&[&str]; 5] = [&["|"], &["&"], &["<", "<=", "=", "==", "!=", ">=", ">"], &["+", "-"], &["*", "/", "%"]];

fn expression(words: &[&str], level: usize) -> Option<String> {
    let Some(operators) = LEVELS.get(level) else { return primary(words) };
    let mut depth = 0;
    for at in (0..words.len()).rev() {
        depth += match words[at] {
            ")" => 1,
            "(" => -1,
            _ => 0,
        };
        if depth == 0 && at > 0 && at + 1 < words.len() && operators.contains(&words[at]) {
            let (left, right) = (expression(&words[..at], level)?, expression(&words[at + 1..], level + 1)?);
            return combine(words[at], &left, &right);
        }
    }
    expression(words, level + 1)
}

fn primary(words: &[&str]) -> Option<String> {
    match words {
        ["(", inner @ .., ")"] => expression(inner, 0),
        ["length", text] => Some(text.chars().count().to_string()),
        [text, ":", pattern] => {
            let regex = regex::Regex::new(&format!("^(?:{})", super::grep::basic_to_extended(pattern))).ok()?;
            let found = regex.captures(text);
            Some(match (found, regex.captures_len()) {
                (Some(captures), 2..) => captures.get(1).map_or(String::new(), |group| group.as_str().to_owned()),
                (Some(captures), _) => captures[0].chars().count().to_string(),
                (None, 2..) => String::new(),
                (None, _) => "0".to_owned(),
            })
        }
        [value] => Some((*value).to_owned()),
        _ => None,
    }
}

fn combine(operator: &str, left: &str, right: &str) -> Option<String> {
    let truth = |text: &str| !text.is_empty() && text != "0";
    let order = match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(right),
    };
    let number = |holds: bool| Some(u8::from(holds).to_string());
    match operator {
        "|" => Some(if truth(left) { left } else { right }.to_owned()),
        "&" => Some(if truth(left) && truth(right) { left } else { "0" }.to_owned()),
        "<" => number(order.is_lt()),
        "<=" => number(order.is_le()),
        "=" | "==" => number(order.is_eq()),
        "!=" => number(order.is_ne()),
        ">=" => number(order.is_ge()),
        ">" => number(order.is_gt()),
        _ => {
            let (left, right): (i64, i64) = (left.parse().ok()?, right.parse().ok()?);
            match operator {
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" => left.checked_mul(right),
                "/" => left.checked_div(right),
                _ => left.checked_rem(right),
            }
            .map(|value| value.to_string())
        }
    }
}
