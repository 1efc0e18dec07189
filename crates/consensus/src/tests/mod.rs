//! The crate's tests: bytes (`codec`), single rules (`rules`, and of `blocks`, `lagging` and `signing`), and whole meshes in
//! virtual time (`mesh` runs them, `agreement` says what is tried).

mod agreement;
mod blocks;
mod codec;
mod lagging;
mod mesh;
mod rules;
mod signing;
mod speed;
