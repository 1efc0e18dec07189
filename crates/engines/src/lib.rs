//! The one Rust static library that the C++ program links: wasmtime's C API and SQLite are re-exported as they
//! are, `crypto` adds hashing and signatures, `limits` a store limiter that tells what it refused, `bridge` the
//! network, `consensus` the agreement of validators. Two Rust static libraries would collide at link, hence one.

pub mod bridge;
pub mod component;
pub mod consensus;
pub mod crypto;
pub mod limits;

pub use libsqlite3_sys::*;
pub use wasmtime_c_api::*;
