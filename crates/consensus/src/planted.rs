//! Bugs that are planted on purpose, as src/base/planted.h does it for the C++ domain: each takes away one check that
//! everything else rests on, so that the tests can be shown to notice. They exist in this crate's own tests alone;
//! everywhere else `planted` is false at compile time.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    #[cfg(test)]
    None,
    /// A certificate's signer is counted as often as it is in it.
    SignerCountedTwice,
    /// What was signed before a restart is forgotten.
    LogForgotten,
    /// A block is voted for before the application has said that it is valid.
    VotedUnjudged,
    /// Messages are released before the log is durable.
    LogNotAwaited,
}

#[cfg(test)]
thread_local! {
    static THE_BUG: std::cell::Cell<Bug> = const { std::cell::Cell::new(Bug::None) };
}

#[cfg(test)]
pub fn plant(bug: Bug) {
    THE_BUG.with(|the| the.set(bug));
}

#[cfg(test)]
pub fn planted(bug: Bug) -> bool {
    THE_BUG.with(|the| the.get() == bug)
}

#[cfg(not(test))]
pub const fn planted(_: Bug) -> bool {
    false
}
