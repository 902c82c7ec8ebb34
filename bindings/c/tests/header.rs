//! `include/primacy.h` is what cbindgen makes of this crate, and C and C++ compilers have nothing against it.

mod cc;

use std::fs;
use std::path::{Path, PathBuf};

/// In the order in which they stand in the header.
const FILES: [&str; 11] = [
    "status", "error", "version", "log", "config", "candidate", "session", "call", "election", "txn", "result",
];

fn fresh() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let numbers: Vec<&str> = version.split(['.', '-']).collect();
    config.after_includes = Some(format!(
        "\n/** The version of this header; primacy_version() says that of the library. */\n\
         #define PRIMACY_VERSION \"{version}\"\n\
         #define PRIMACY_VERSION_MAJOR {}\n#define PRIMACY_VERSION_MINOR {}\n#define PRIMACY_VERSION_PATCH {}\n",
        numbers[0], numbers[1], numbers[2]
    ));
    let builder = FILES.iter().chain(&["observer"]).fold(cbindgen::Builder::new().with_config(config), |b, file| {
        b.with_src(here.join(format!("src/{file}.rs")))
    });
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

fn committed() -> PathBuf {
    cc::root().join("include/primacy.h")
}

#[test]
fn the_committed_header_is_what_cbindgen_makes() {
    let fresh = fresh();
    if std::env::var_os("PRIMACY_BLESS").is_some() {
        fs::write(committed(), &fresh).unwrap();
    }
    let same = fs::read_to_string(committed()).is_ok_and(|committed| committed == fresh);
    assert!(same, "include/primacy.h is not what cbindgen makes of bindings/c/src: run `make header` and commit it");
}
