//! The command `layerlab-lab`: replays pages and opens shells inside a lab.

fn main() {}
