//! The docker-compatible command `layerlab`.

fn main() {}
