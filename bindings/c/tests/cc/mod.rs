//! The machine's C and C++ compilers, and the library to link with.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Warnings that code of ours must not cause.
pub const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-pedantic", "-Werror"];

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// The C compiler, told where the header is.
pub fn cc() -> Command {
    compiler("CC", "cc")
}

/// The C++ compiler, told where the header is.
pub fn cxx() -> Command {
    compiler("CXX", "c++")
}

fn compiler(variable: &str, otherwise: &str) -> Command {
    let mut command = Command::new(env::var_os(variable).unwrap_or_else(|| otherwise.into()));
    command.arg("-I").arg(root().join("include"));
    command
}

/// Runs a command; a failure shows all that it said.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out
}

/// Runs a program of ours, under what `PRIMACY_C_UNDER` names, such as valgrind; all that was said.
pub fn run_program(program: &Path, arguments: &[&str]) -> String {
    let under = env::var("PRIMACY_C_UNDER").unwrap_or_default();
    // What hangs is ended, with a core for whoever keeps them.
    let mut command = Command::new("timeout");
    command.args(["--foreground", "--signal=ABRT", "1200"]).args(under.split_whitespace()).arg(program);
    // To one file, as it comes.
    let said = program.with_extension("said");
    let file = fs::File::create(&said).unwrap();
    command.args(arguments).stdout(file.try_clone().unwrap()).stderr(file);
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = fs::read_to_string(said).unwrap_or_default();
    assert!(status.success(), "{command:?}: {status}\n{said}");
    said
}

/// Compiles a C program of ours, linked to the static or to the shared library. `PRIMACY_CFLAGS` may add to how.
pub fn program(source: &str, shared: bool) -> PathBuf {
    let name = Path::new(source).file_stem().unwrap().to_string_lossy();
    let to =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", if shared { "so" } else { "a" }));
    let (archive, library) = libraries();
    let mut command = cc();
    let added = env::var("PRIMACY_CFLAGS").unwrap_or_default();
    command.args(STRICT).args(["-std=c11", "-g", "-o"]).arg(&to).arg(root().join(source));
    command.args(added.split_whitespace());
    if shared {
        let (folder, name) = (to.with_extension("d"), so_name(library));
        fs::create_dir_all(&folder).unwrap();
        let _ = fs::remove_file(folder.join(&name));
        symlink(library, folder.join(&name)).unwrap();
        let mut search = OsString::from("-Wl,-rpath,");
        search.push(&folder);
        command.arg(library).arg(search);
    } else {
        command.arg(archive);
    }
    run(command.args(["-lpthread", "-ldl", "-lm"]));
    to
}

/// The name that programs which are linked to a shared library look for.
pub fn so_name(library: &Path) -> String {
    let said = run(Command::new("readelf").args(["-d", "-W"]).arg(library));
    let (_, name) = said.split_once("soname: [").expect("a soname");
    name.split(']').next().unwrap().to_string()
}

/// The static and the shared library. Cargo builds neither for the tests of a crate that is no Rust library,
/// so it is asked to.
pub fn libraries() -> &'static (PathBuf, PathBuf) {
    static BUILT: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--package", "primacy-c", "--message-format", "json"]).current_dir(root());
        // An optimised one, for what makes programs slow.
        cargo.args(["--profile", &env::var("PRIMACY_PROFILE").unwrap_or_else(|_| "dev".into())]);
        // What cargo tells a test of its package would make build scripts that look at it run again.
        for (name, _) in env::vars_os() {
            let told = |prefix: &str| name.to_string_lossy().starts_with(prefix);
            if told("CARGO_PKG_") || told("CARGO_MANIFEST_") || told("CARGO_CRATE_") {
                cargo.env_remove(&name);
            }
        }
        let files: Vec<PathBuf> = run(&mut cargo)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["package_id"].as_str().is_some_and(|id| id.contains("primacy-c")))
            .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
            .filter_map(|file| file.as_str().map(PathBuf::from))
            .collect();
        let with = |ending: &str| {
            let found = files.iter().find(|file| file.extension().is_some_and(|e| e == ending));
            found.unwrap_or_else(|| panic!("cargo built no libprimacy.{ending}: {files:?}")).clone()
        };
        (with("a"), with("so"))
    })
}
