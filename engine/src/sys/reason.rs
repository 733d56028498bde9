//! What the operating system refused, in the words that Go has for it: `no such file or directory`.

use std::io;

/// The reason alone, without a number and without a capital; an error that is not the system's keeps its own words.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    // Also that of an error of the system's inside of another.
    let Some((said, _)) = text.split_once(" (os error ") else { return text };
    let mut characters = said.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_speaks_as_in_go() {
        for (number, expected) in [
            (libc::ENOENT, "no such file or directory"),
            (libc::EIO, "input/output error"),
            (libc::EXDEV, "invalid cross-device link"),
        ] {
            assert_eq!(reason(&io::Error::from_raw_os_error(number)), expected);
        }
        assert_eq!(reason(&io::Error::other("Not a layer (os error)")), "Not a layer (os error)");
    }
}
