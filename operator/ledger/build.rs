//! Cargo does not see that a new migration was added unless it is told to look.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
