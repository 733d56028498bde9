//! Links `layerlab` to fixed addresses.
//!
//! *Why*: a command is over in a millisecond or two, and a position-independent program of this size spends a third of one on relocations, each time it is started
//! (twice for a container). *Never*: anything that the program does.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bin=layerlab=-no-pie");
}
