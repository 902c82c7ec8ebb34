//! What a shared library needs that cargo does not give it: a name that says which programs it fits.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let number = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}")).unwrap_or_default();
    // Before 1.0 each minor version may break programs; cargo-c names it the same way.
    let version = match (number("MAJOR").as_str(), number("MINOR")) {
        ("0", minor) => format!("0.{minor}"),
        (major, _) => major.to_string(),
    };
    for argument in [
        format!("-soname,libprimacy.so.{version}"),
        // Nothing is left open, and its own calls stay inside.
        "-z,defs".into(),
        "-Bsymbolic".into(),
        // Its threads run its code: a dlclose must not take that away from under them.
        "-z,nodelete".into(),
    ] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
    }
}
