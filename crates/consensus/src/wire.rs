//! The bytes: what is signed, what validators send each other, evidence, and the entries of the write-ahead log.
//!
//! Fixed layouts, integers big-endian, decoded strictly: every value has one form, and bytes that say more, less or
//! otherwise are refused by name. docs/design/protocols.md, "Ledger", has the tables.

use std::sync::Arc;

use arc_malachitebft_core_types as core;
use core::{RoundCertificateType, VoteType};

use crate::error::{Code, Error, Result};
use crate::layout::{
    block_id, check_order, kind_byte, proposal_body, proposal_input, put_choice, put_signer, take_count, take_signers,
    vote_body, vote_input, Reader, Signers, NO_ROUND,
};
use crate::types::{
    BlockId, BlockRef, Ctx, Federation, Height, Key, Proposal, SignedProposal, SignedVote, Vote, MAX_BLOCK_BYTES,
};

pub type PolkaCertificate = core::PolkaCertificate<Ctx>;
pub type RoundCertificate = core::RoundCertificate<Ctx>;

/// A proposal's bytes with the largest block, and room for its header.
pub const MAX_MESSAGE_BYTES: usize = MAX_BLOCK_BYTES + 256;

fn take_vote_body(reader: &mut Reader, signer: Key) -> Result<Vote> {
    let kind = reader.vote_kind()?;
    let (height, round) = (reader.height()?, reader.round()?);
    Ok(Vote { kind, height, round, block: reader.choice()?, signer })
}

fn take_proposal_body(reader: &mut Reader, proposer: Key) -> Result<Proposal> {
    let (height, round) = (reader.height()?, reader.round()?);
    let pol_round = reader.earlier_round(round)?;
    Ok(Proposal { height, round, pol_round, block: BlockRef(reader.id()?), proposer })
}

fn put_vote(out: &mut Vec<u8>, vote: &SignedVote) {
    out.extend(vote.signer.0);
    out.extend(vote.signature);
    out.extend(vote_body(vote.kind, vote.height, vote.round, &vote.block));
}

fn take_vote(reader: &mut Reader) -> Result<SignedVote> {
    let (signer, signature) = (reader.key()?, reader.array()?);
    Ok(SignedVote::new(take_vote_body(reader, signer)?, signature))
}

fn put_proposal(out: &mut Vec<u8>, proposal: &SignedProposal) {
    out.extend(proposal.proposer.0);
    out.extend(proposal.signature);
    out.extend(proposal_body(proposal));
}

fn take_proposal(reader: &mut Reader) -> Result<SignedProposal> {
    let (proposer, signature) = (reader.key()?, reader.array()?);
    Ok(SignedProposal::new(take_proposal_body(reader, proposer)?, signature))
}

fn put_polka(out: &mut Vec<u8>, polka: &PolkaCertificate) {
    out.extend(polka.height.0.to_be_bytes());
    out.extend(polka.round.as_u32().unwrap_or(0).to_be_bytes());
    out.extend(polka.value_id.0);
    let mut signers: Signers = polka.polka_signatures.iter().map(|one| (one.address, one.signature)).collect();
    signers.sort_unstable();
    out.extend((signers.len() as u16).to_be_bytes());
    signers.iter().for_each(|signer| put_signer(out, signer));
}

fn take_polka(reader: &mut Reader) -> Result<PolkaCertificate> {
    let (height, round) = (reader.height()?, reader.round()?);
    let value_id = reader.id()?;
    let signers = take_signers(reader)?;
    let polka_signatures =
        signers.into_iter().map(|(key, signature)| core::PolkaSignature::new(key, signature)).collect();
    Ok(PolkaCertificate { height: Height(height), round: core::Round::new(round), value_id, polka_signatures })
}

fn put_round_certificate(out: &mut Vec<u8>, certificate: &RoundCertificate) {
    out.extend(certificate.height.0.to_be_bytes());
    out.extend(certificate.round.as_u32().unwrap_or(0).to_be_bytes());
    out.push(match certificate.cert_type {
        RoundCertificateType::Skip => 1,
        RoundCertificateType::Precommit => 2,
    });
    let mut signatures: Vec<_> = certificate.round_signatures.iter().collect();
    signatures.sort_unstable_by_key(|one| one.address);
    signatures.dedup_by_key(|one| one.address);
    out.extend((signatures.len() as u16).to_be_bytes());
    for one in signatures {
        put_signer(out, &(one.address, one.signature));
        out.push(kind_byte(one.vote_type));
        put_choice(out, &one.value_id);
    }
}

fn take_round_certificate(reader: &mut Reader) -> Result<RoundCertificate> {
    let (height, round) = (reader.height()?, reader.round()?);
    let cert_type = match reader.u8()? {
        1 => RoundCertificateType::Skip,
        2 => RoundCertificateType::Precommit,
        other => return Err(Error::new(Code::UnknownKind, format!("round certificate of kind {other}: 1 or 2"))),
    };
    let count = take_count(reader)?;
    let mut round_signatures: Vec<core::RoundSignature<Ctx>> = Vec::with_capacity(count);
    for _ in 0..count {
        let (address, signature) = (reader.key()?, reader.array()?);
        check_order(round_signatures.last().map(|before| &before.address), &address)?;
        let vote_type = reader.vote_kind()?;
        if cert_type == RoundCertificateType::Precommit && vote_type == VoteType::Prevote {
            return Err(Error::new(Code::Malformed, "a prevote in a certificate of precommits"));
        }
        round_signatures.push(core::RoundSignature::new(vote_type, reader.choice()?, address, signature));
    }
    Ok(RoundCertificate { height: Height(height), round: core::Round::new(round), cert_type, round_signatures })
}

/// What validators send each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Vote(SignedVote),
    /// With the block whole.
    Proposal(SignedProposal, Arc<[u8]>),
    Polka(PolkaCertificate),
    Round(RoundCertificate),
}

impl Message {
    pub fn height(&self) -> u64 {
        match self {
            Self::Vote(vote) => vote.height,
            Self::Proposal(proposal, _) => proposal.height,
            Self::Polka(polka) => polka.height.0,
            Self::Round(certificate) => certificate.height.0,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Vote(vote) => encode_vote(vote),
            Self::Proposal(proposal, block) => encode_proposal(proposal, block),
            Self::Polka(polka) => encode_polka(polka),
            Self::Round(certificate) => encode_round_certificate(certificate),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            let text = format!("a message of {} bytes: at most {MAX_MESSAGE_BYTES}", bytes.len());
            return Err(Error::new(Code::TooLarge, text));
        }
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            1 => Self::Vote(take_vote(&mut reader)?),
            2 => Self::Proposal(take_proposal(&mut reader)?, reader.block()?.into()),
            3 => Self::Polka(take_polka(&mut reader)?),
            4 => Self::Round(take_round_certificate(&mut reader)?),
            other => return Err(Error::new(Code::UnknownKind, format!("message of kind {other}: 1 to 4"))),
        };
        reader.end()?;
        Ok(message)
    }
}

pub fn encode_vote(vote: &SignedVote) -> Vec<u8> {
    let mut out = vec![1];
    put_vote(&mut out, vote);
    out
}

pub fn encode_proposal(proposal: &SignedProposal, block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(160 + block.len());
    out.push(2);
    put_proposal(&mut out, proposal);
    out.extend((block.len() as u32).to_be_bytes());
    out.extend(block);
    out
}

pub fn encode_polka(polka: &PolkaCertificate) -> Vec<u8> {
    let mut out = vec![3];
    put_polka(&mut out, polka);
    out
}

pub fn encode_round_certificate(certificate: &RoundCertificate) -> Vec<u8> {
    let mut out = vec![4];
    put_round_certificate(&mut out, certificate);
    out
}

/// Two things that a validator signed and that exclude each other, for anyone to check (`Evidence::check`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    Votes(SignedVote, SignedVote),
    Proposals(SignedProposal, SignedProposal),
}

impl Evidence {
    /// In the order of their bodies, so that a pair has one form.
    pub fn of_votes(one: SignedVote, other: SignedVote) -> Self {
        let body = |vote: &SignedVote| vote_body(vote.kind, vote.height, vote.round, &vote.block);
        if body(&one) < body(&other) {
            Self::Votes(one, other)
        } else {
            Self::Votes(other, one)
        }
    }

    pub fn of_proposals(one: SignedProposal, other: SignedProposal) -> Self {
        if proposal_body(&one) < proposal_body(&other) {
            Self::Proposals(one, other)
        } else {
            Self::Proposals(other, one)
        }
    }

    pub fn offender(&self) -> Key {
        match self {
            Self::Votes(one, _) => one.signer,
            Self::Proposals(one, _) => one.proposer,
        }
    }

    pub fn height(&self) -> u64 {
        match self {
            Self::Votes(one, _) => one.height,
            Self::Proposals(one, _) => one.height,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + 32 + 2 * (64 + 48));
        match self {
            Self::Votes(one, other) => {
                out.push(1);
                out.extend(one.signer.0);
                for vote in [one, other] {
                    out.extend(vote_body(vote.kind, vote.height, vote.round, &vote.block));
                    out.extend(vote.signature);
                }
            }
            Self::Proposals(one, other) => {
                out.push(2);
                out.extend(one.proposer.0);
                for proposal in [one, other] {
                    out.extend(proposal_body(proposal));
                    out.extend(proposal.signature);
                }
            }
        }
        out
    }

    /// That the two exclude each other; not the signatures.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let key = reader.key()?;
        let refuse = |text| Err(Error::new(Code::NotEquivocation, text));
        let evidence = match kind {
            1 => {
                let mut next = || -> Result<SignedVote> {
                    let vote = take_vote_body(&mut reader, key)?;
                    Ok(SignedVote::new(vote, reader.array()?))
                };
                let (one, other) = (next()?, next()?);
                if (one.kind, one.height, one.round) != (other.kind, other.height, other.round) {
                    return refuse("the votes differ in kind, height or round: both may be cast");
                }
                Self::Votes(one, other)
            }
            2 => {
                let mut next = || -> Result<SignedProposal> {
                    let proposal = take_proposal_body(&mut reader, key)?;
                    Ok(SignedProposal::new(proposal, reader.array()?))
                };
                let (one, other) = (next()?, next()?);
                if (one.height, one.round) != (other.height, other.round) {
                    return refuse("the proposals differ in height or round: both may be made");
                }
                Self::Proposals(one, other)
            }
            other => return Err(Error::new(Code::UnknownKind, format!("evidence of kind {other}: 1 or 2"))),
        };
        reader.end()?;
        if evidence.encode() != Self::sorted(evidence.clone()).encode() {
            return refuse("the two are in the wrong order");
        }
        match &evidence {
            Self::Votes(one, other) if one.message == other.message => refuse("the same vote twice"),
            Self::Proposals(one, other) if one.message == other.message => refuse("the same proposal twice"),
            _ => Ok(evidence),
        }
    }

    fn sorted(evidence: Self) -> Self {
        match evidence {
            // Equal ones keep their order: they are refused as such.
            Self::Votes(one, other) if one.message == other.message => Self::Votes(one, other),
            Self::Proposals(one, other) if one.message == other.message => Self::Proposals(one, other),
            Self::Votes(one, other) => Self::of_votes(one, other),
            Self::Proposals(one, other) => Self::of_proposals(one, other),
        }
    }

    /// Who did it, if the bytes prove it. Whether it was a validator at that height is for the caller to say.
    pub fn check(federation: &Federation, bytes: &[u8]) -> Result<(Key, u64)> {
        let evidence = Self::decode(bytes)?;
        let inputs = match &evidence {
            Self::Votes(one, other) => [one, other].map(|vote| {
                let body = vote_body(vote.kind, vote.height, vote.round, &vote.block);
                (vote_input(federation, &body), vote.signature)
            }),
            Self::Proposals(one, other) => {
                [one, other].map(|proposal| (proposal_input(federation, &proposal_body(proposal)), proposal.signature))
            }
        };
        let offender = evidence.offender();
        let signed = inputs.each_ref().map(|(message, signature)| crate::signatures::Signed {
            key: &offender,
            message,
            signature,
        });
        if !crate::signatures::all_hold(&signed) {
            return Err(Error::new(Code::BadSignature, format!("{offender} has not signed both")));
        }
        Ok((offender, evidence.height()))
    }
}

/// One entry of the write-ahead log, in the order in which they were applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Vote(SignedVote),
    /// Without its block, which comes with the verdict.
    Proposal(SignedProposal),
    Polka(PolkaCertificate),
    Verdict {
        height: u64,
        round: u32,
        pol_round: Option<u32>,
        proposer: Key,
        block: BlockId,
        valid: bool,
        /// With the first verdict on it at this height.
        bytes: Option<Arc<[u8]>>,
    },
    /// 1 propose, 2 prevote, 3 precommit.
    Timeout {
        height: u64,
        kind: u8,
        round: u32,
    },
    /// From here on this key signs, or does not any more; a log that does not say so begins with what signs.
    Signs {
        height: u64,
        signs: bool,
    },
}

impl Entry {
    pub fn height(&self) -> u64 {
        match self {
            Self::Vote(vote) => vote.height,
            Self::Proposal(proposal) => proposal.height,
            Self::Polka(polka) => polka.height.0,
            Self::Verdict { height, .. } | Self::Timeout { height, .. } | Self::Signs { height, .. } => *height,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(144);
        match self {
            Self::Vote(vote) => {
                out.push(1);
                put_vote(&mut out, vote);
            }
            Self::Proposal(proposal) => {
                out.push(2);
                put_proposal(&mut out, proposal);
            }
            Self::Polka(polka) => {
                out.push(3);
                put_polka(&mut out, polka);
            }
            Self::Verdict { height, round, pol_round, proposer, block, valid, bytes } => {
                out.push(4);
                out.extend(height.to_be_bytes());
                out.extend(round.to_be_bytes());
                out.extend(pol_round.unwrap_or(NO_ROUND).to_be_bytes());
                out.extend(proposer.0);
                out.extend(block.0);
                out.extend([u8::from(*valid), u8::from(bytes.is_some())]);
                if let Some(bytes) = bytes {
                    out.extend((bytes.len() as u32).to_be_bytes());
                    out.extend(bytes.iter());
                }
            }
            Self::Timeout { height, kind, round } => {
                out.push(5);
                out.extend(height.to_be_bytes());
                out.push(*kind);
                out.extend(round.to_be_bytes());
            }
            Self::Signs { height, signs } => {
                out.push(6);
                out.extend(height.to_be_bytes());
                out.push(u8::from(*signs));
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let entry = match reader.u8()? {
            1 => Self::Vote(take_vote(&mut reader)?),
            2 => Self::Proposal(take_proposal(&mut reader)?),
            3 => Self::Polka(take_polka(&mut reader)?),
            4 => {
                let (height, round) = (reader.height()?, reader.round()?);
                let pol_round = reader.earlier_round(round)?;
                let (proposer, block) = (reader.key()?, reader.id()?);
                let valid = reader.flag("whether a block is valid")?;
                let bytes: Option<Arc<[u8]>> = match reader.flag("whether a block is there")? {
                    true => Some(reader.block()?.into()),
                    false => None,
                };
                if bytes.as_ref().is_some_and(|bytes| block_id(bytes) != Ok(block)) {
                    return Err(Error::new(Code::BadBlock, "the block in the log is not the one that it is named"));
                }
                Self::Verdict { height, round, pol_round, proposer, block, valid, bytes }
            }
            5 => {
                let height = reader.height()?;
                let kind = match reader.u8()? {
                    kind @ 1..=3 => kind,
                    other => return Err(Error::new(Code::UnknownKind, format!("timeout of kind {other}: 1 to 3"))),
                };
                Self::Timeout { height, kind, round: reader.round()? }
            }
            6 => Self::Signs { height: reader.height()?, signs: reader.flag("whether a key signs")? },
            other => return Err(Error::new(Code::UnknownKind, format!("log entry of kind {other}: 1 to 6"))),
        };
        reader.end()?;
        Ok(entry)
    }
}
