//! Which real servers there are to compare with.

use std::path::{Path, PathBuf};

/// Their programs.
pub fn programs() -> Vec<PathBuf> {
    if let Ok(list) = std::env::var("PRIMACY_ETCDS") {
        return list.split(',').map(str::trim).filter(|s| !s.is_empty()).map(PathBuf::from).collect();
    }
    if let Ok(one) = std::env::var("PRIMACY_ETCD") {
        return vec![one.into()];
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let mut found: Vec<PathBuf> = std::fs::read_dir(tools)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("etcd-")))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file()));
    found
}
