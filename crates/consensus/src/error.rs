//! What can be wrong with an input: a code that programs tell apart and a sentence for people.

use std::fmt;

/// Stable numbers: they cross the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Malformed = 1,
    UnknownKind,
    TooLarge,
    OutOfRange,
    BadValidators,
    UnknownValidator,
    NotProposer,
    BadSignature,
    BadBlock,
    DuplicateSigner,
    UnsortedSigners,
    TooLittlePower,
    WrongHeight,
    TooFar,
    TooMany,
    NotStarted,
    NotEquivocation,
    UnsafeHeight,
    CorruptLog,
    DoubleSign,
    Stopped,
}

impl Code {
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKind => "unknown-kind",
            Self::TooLarge => "too-large",
            Self::OutOfRange => "out-of-range",
            Self::BadValidators => "bad-validators",
            Self::UnknownValidator => "unknown-validator",
            Self::NotProposer => "not-the-proposer",
            Self::BadSignature => "bad-signature",
            Self::BadBlock => "bad-block",
            Self::DuplicateSigner => "duplicate-signer",
            Self::UnsortedSigners => "unsorted-signers",
            Self::TooLittlePower => "too-little-power",
            Self::WrongHeight => "wrong-height",
            Self::TooFar => "too-far-ahead",
            Self::TooMany => "too-many",
            Self::NotStarted => "not-started",
            Self::NotEquivocation => "not-equivocation",
            Self::UnsafeHeight => "unsafe-height",
            Self::CorruptLog => "corrupt-log",
            Self::DoubleSign => "would-sign-twice",
            Self::Stopped => "stopped",
        }
    }

    /// Whether whoever passed a message on is to blame for it. What is merely early, or signed by a member of a set that
    /// this node does not know yet, honest peers send too.
    pub fn blames_sender(self) -> bool {
        matches!(
            self,
            Self::Malformed
                | Self::UnknownKind
                | Self::TooLarge
                | Self::OutOfRange
                | Self::NotProposer
                | Self::BadSignature
                | Self::BadBlock
                | Self::DuplicateSigner
                | Self::UnsortedSigners
                | Self::TooLittlePower
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub text: String,
}

impl Error {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.text)
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;
