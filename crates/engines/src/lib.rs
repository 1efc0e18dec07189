//! The one Rust static library that the C++ program links: wasmtime's C API and SQLite are re-exported as they
//! are, `crypto` adds hashing and signatures. Two Rust static libraries would collide at link, hence one.

pub mod crypto;

pub use libsqlite3_sys::*;
pub use wasmtime_c_api::*;
