//! Collects the headers that C++ needs (wasmtime's, SQLite's, ours) in one folder, `MESH_ENGINES_INCLUDE`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            copy_file(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Leaves an equal file alone, so that its date stays and nothing that includes it is rebuilt.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(to, bytes)
}

fn dependency_folder(variable: &str) -> PathBuf {
    PathBuf::from(
        env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: is the crate a direct dependency?")),
    )
}

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-env-changed=MESH_ENGINES_INCLUDE");
    println!("cargo:rerun-if-changed=include");
    println!("cargo:rerun-if-changed=build.rs");
    let out = match env::var_os("MESH_ENGINES_INCLUDE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR")).join("include"),
    };
    copy_tree(&dependency_folder("DEP_WASMTIME_C_API_INCLUDE"), &out)?;
    let sqlite = dependency_folder("DEP_SQLITE3_INCLUDE");
    copy_file(&sqlite.join("sqlite3.h"), &out.join("sqlite3.h"))?;
    copy_tree(Path::new("include"), &out)?;
    // The C++ side of the bridge: the shims are linked into this library, the headers are for whoever calls it.
    let bridges = [("src/bridge.rs", "mesh_bridge.h"), ("src/consensus.rs", "mesh_consensus.h")];
    for (source, _) in bridges {
        println!("cargo:rerun-if-changed={source}");
    }
    let sources = bridges.map(|(source, _)| source);
    cxx_build::bridges(sources).std("c++20").warnings(false).compile("mesh_engines_bridge");
    let generated = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR")).join("cxxbridge/include");
    copy_file(&generated.join("rust/cxx.h"), &out.join("rust/cxx.h"))?;
    bridges.iter().try_for_each(|(source, header)| {
        copy_file(&generated.join("mesh-engines").join(source).with_extension("rs.h"), &out.join(header))
    })
}
