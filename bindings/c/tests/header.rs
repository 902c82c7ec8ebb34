//! `include/primacy.h` is what cbindgen makes of this crate, and C and C++ compilers have nothing against it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cc;

use std::fs;
use std::path::{Path, PathBuf};

/// In the order in which they stand in the header.
const FILES: [&str; 21] = [
    "status",
    "error",
    "version",
    "duration",
    "log",
    "config",
    "candidate",
    "session",
    "answer",
    "call",
    "callbacks",
    "election",
    "txn",
    "result",
    "primary",
    "observer",
    "queue",
    "state",
    "store",
    "request",
    "watch",
];

fn fresh() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let numbers: Vec<&str> = version.split(['.', '-']).collect();
    config.after_includes = Some(format!(
        "\n/** The version of this header; primacy_version() says that of the library. */\n\
         #define PRIMACY_VERSION \"{version}\"\n\
         #define PRIMACY_VERSION_MAJOR {}\n\
         #define PRIMACY_VERSION_MINOR {}\n\
         #define PRIMACY_VERSION_PATCH {}\n",
        numbers[0], numbers[1], numbers[2]
    ));
    let builder = FILES.iter().fold(cbindgen::Builder::new().with_config(config), |builder, file| {
        builder.with_src(here.join(format!("src/{file}.rs")))
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
    assert!(
        same,
        "include/primacy.h is not what cbindgen makes of bindings/c/src: run `make header` and commit it"
    );
}

#[test]
fn compilers_have_nothing_against_the_header() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Twice, since headers are.
    let text = "#include \"primacy.h\"\n#include \"primacy.h\"\nint main(void) { return 0; }\n";
    let compile = |mut compiler: std::process::Command, standard: &str, name: &str| {
        let source = folder.join(name);
        fs::write(&source, text).unwrap();
        cc::run(compiler.args(cc::STRICT).arg(format!("-std={standard}")).arg("-fsyntax-only").arg(source));
    };
    for standard in ["c99", "c11", "c17", "gnu17"] {
        compile(cc::cc(), standard, &format!("header-{standard}.c"));
    }
    for standard in ["c++11", "c++17"] {
        compile(cc::cxx(), standard, &format!("header-{standard}.cpp"));
    }
}

#[test]
fn the_quick_start_and_the_samples_compile_without_a_warning() {
    for (example, standard) in [("quickstart", "c99"), ("client", "c11"), ("coordinator", "c11")] {
        let source = cc::root().join(format!("bindings/c/examples/{example}.c"));
        cc::run(cc::cc().args(cc::STRICT).arg(format!("-std={standard}")).arg("-fsyntax-only").arg(source));
    }
}
