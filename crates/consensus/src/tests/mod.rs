//! The crate's tests: bytes (`codec`), single rules (`rules`), and whole meshes in virtual time (`mesh` runs them, `agreement`
//! says what is tried).

mod agreement;
mod codec;
mod mesh;
mod rules;
mod speed;
