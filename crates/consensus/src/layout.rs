//! What all layouts are made of: numbers, names, the bodies that are signed, and signers in order. Fixed, big-endian, read strictly.

use arc_malachitebft_core_types as core;
use core::{NilOrVal, VoteType};
use sha2::{Digest, Sha256};

use crate::error::{Code, Error, Result};
use crate::planted::{planted, Bug};
use crate::types::{BlockId, Federation, Key, Proposal, Sig, MAX_BLOCK_BYTES, MAX_HEIGHT, MAX_ROUND, MAX_VALIDATORS};

pub type Signers = Vec<(Key, Sig)>;

pub const NO_ROUND: u32 = u32::MAX;

/// A block is the length of its header in four bytes, the header, and the rest. The header names it; what binds the rest to the
/// header only the application can tell.
pub fn header_of(block: &[u8]) -> Result<&[u8]> {
    if block.len() > MAX_BLOCK_BYTES {
        let text = format!("a block of {} bytes: at most {MAX_BLOCK_BYTES}", block.len());
        return Err(Error::new(Code::TooLarge, text));
    }
    let mut reader = Reader::new(block);
    let length = reader.u32().unwrap_or(0) as usize;
    match reader.bytes(length) {
        Ok(header) if length > 0 => Ok(header),
        _ => Err(Error::new(Code::BadBlock, "a block has its header's length in four bytes and at least that header")),
    }
}

pub fn block_id(block: &[u8]) -> Result<BlockId> {
    header_of(block).map(|header| BlockId(Sha256::digest(header).into()))
}

/// Takes a prefix of what is left, or says what is missing.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((head, tail)) = self.rest.split_at_checked(count) else {
            let text = format!("{} bytes where {count} more are needed", self.rest.len());
            return Err(Error::new(Code::Malformed, text));
        };
        self.rest = tail;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.bytes(N).map(|bytes| bytes.try_into().expect("as many as asked for"))
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn key(&mut self) -> Result<Key> {
        self.array().map(Key)
    }

    pub fn id(&mut self) -> Result<BlockId> {
        self.array().map(BlockId)
    }

    pub fn height(&mut self) -> Result<u64> {
        match self.u64()? {
            height @ 1..=MAX_HEIGHT => Ok(height),
            height => Err(Error::new(Code::OutOfRange, format!("height {height}: 1 to 2^60"))),
        }
    }

    pub fn round(&mut self) -> Result<u32> {
        match self.u32()? {
            round @ 0..=MAX_ROUND => Ok(round),
            round => Err(Error::new(Code::OutOfRange, format!("round {round}: 0 to 2^30"))),
        }
    }

    /// No round, or one before `round`.
    pub fn earlier_round(&mut self, round: u32) -> Result<Option<u32>> {
        match self.u32()? {
            NO_ROUND => Ok(None),
            earlier if earlier < round => Ok(Some(earlier)),
            earlier => Err(Error::new(Code::OutOfRange, format!("round {earlier} is not before round {round}"))),
        }
    }

    pub fn flag(&mut self, what: &str) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Error::new(Code::Malformed, format!("{what} is {other}: 0 or 1"))),
        }
    }

    pub fn vote_kind(&mut self) -> Result<VoteType> {
        match self.u8()? {
            1 => Ok(VoteType::Prevote),
            2 => Ok(VoteType::Precommit),
            other => Err(Error::new(Code::UnknownKind, format!("vote of kind {other}: 1 or 2"))),
        }
    }

    /// Whether for a block, and its id; zeros where not.
    pub fn choice(&mut self) -> Result<NilOrVal<BlockId>> {
        let some = self.flag("whether a vote is for a block")?;
        let id = self.id()?;
        match (some, id.0 == [0; 32]) {
            (true, _) => Ok(NilOrVal::Val(id)),
            (false, true) => Ok(NilOrVal::Nil),
            (false, false) => Err(Error::new(Code::Malformed, "a vote for no block names one")),
        }
    }

    /// 1 to `MAX_BLOCK_BYTES` bytes after their number.
    pub fn block(&mut self) -> Result<&'a [u8]> {
        match self.u32()? as usize {
            0 => Err(Error::new(Code::BadBlock, "an empty block")),
            length @ 1..=MAX_BLOCK_BYTES => self.bytes(length),
            length => Err(Error::new(Code::TooLarge, format!("a block of {length} bytes: at most {MAX_BLOCK_BYTES}"))),
        }
    }

    pub fn end(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Error::new(Code::Malformed, format!("{left} bytes too many"))),
        }
    }
}

pub fn kind_byte(kind: VoteType) -> u8 {
    match kind {
        VoteType::Prevote => 1,
        VoteType::Precommit => 2,
    }
}

pub fn put_choice(out: &mut Vec<u8>, block: &NilOrVal<BlockId>) {
    match block {
        NilOrVal::Nil => out.extend([0; 33]),
        NilOrVal::Val(id) => {
            out.push(1);
            out.extend(id.0);
        }
    }
}

/// kind, height, round, choice: 46 bytes.
pub type VoteBody = [u8; 46];
/// height, round, earlier round, id: 48 bytes.
pub type ProposalBody = [u8; 48];

pub fn vote_body(kind: VoteType, height: u64, round: u32, block: &NilOrVal<BlockId>) -> VoteBody {
    let mut body = Vec::with_capacity(46);
    body.push(kind_byte(kind));
    body.extend(height.to_be_bytes());
    body.extend(round.to_be_bytes());
    put_choice(&mut body, block);
    body.try_into().expect("46 bytes")
}

pub fn proposal_body(proposal: &Proposal) -> ProposalBody {
    let mut body = Vec::with_capacity(48);
    body.extend(proposal.height.to_be_bytes());
    body.extend(proposal.round.to_be_bytes());
    body.extend(proposal.pol_round.unwrap_or(NO_ROUND).to_be_bytes());
    body.extend(proposal.block.0 .0);
    body.try_into().expect("48 bytes")
}

/// "meshwork/1" 0 name 0 federation 0 body. An envelope's input ends in 32 bytes where these have 46 and 48, so that none
/// can be taken for the other.
fn signing_input(name: &str, federation: &Federation, body: &[u8]) -> Vec<u8> {
    [b"meshwork/1\0", name.as_bytes(), b"\0", federation, b"\0", body].concat()
}

pub fn vote_input(federation: &Federation, body: &VoteBody) -> Vec<u8> {
    signing_input("vote", federation, body)
}

pub fn proposal_input(federation: &Federation, body: &ProposalBody) -> Vec<u8> {
    signing_input("proposal", federation, body)
}

pub fn put_signer(out: &mut Vec<u8>, (key, signature): &(Key, Sig)) {
    out.extend(key.0);
    out.extend(signature);
}

pub fn take_signers(reader: &mut Reader) -> Result<Signers> {
    let count = take_count(reader)?;
    let mut signers: Signers = Vec::with_capacity(count);
    for _ in 0..count {
        let key = reader.key()?;
        match check_order(signers.last().map(|(before, _)| before), &key) {
            Err(error) if error.code == Code::DuplicateSigner && planted(Bug::SignerCountedTwice) => (),
            checked => checked?,
        }
        signers.push((key, reader.array()?));
    }
    Ok(signers)
}

pub fn take_count(reader: &mut Reader) -> Result<usize> {
    match reader.u16()? as usize {
        0 => Err(Error::new(Code::TooLittlePower, "nobody has signed")),
        count @ 1..=MAX_VALIDATORS => Ok(count),
        count => Err(Error::new(Code::TooLarge, format!("{count} signers: at most {MAX_VALIDATORS}"))),
    }
}

pub fn check_order(before: Option<&Key>, key: &Key) -> Result<()> {
    match before {
        Some(before) if before == key => Err(Error::new(Code::DuplicateSigner, format!("{key} signs twice"))),
        Some(before) if before > key => Err(Error::new(Code::UnsortedSigners, format!("{key} comes after {before}"))),
        _ => Ok(()),
    }
}
