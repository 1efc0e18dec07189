//! Holds a place: Cargo wants a target, and this package only pins a dependency.
