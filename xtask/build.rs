//! Hands the host's target triple to the program: it is a folder's name in a toolchain.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=HOST_TARGET={}", std::env::var("HOST").unwrap_or_default());
}
