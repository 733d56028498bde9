//! One static multi-call binary: the userland inside the lab images.

fn main() {}
