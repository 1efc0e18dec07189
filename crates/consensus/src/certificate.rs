//! Commit certificates: that more than two thirds of the power precommitted to one block, for anyone who has the validator
//! set of its height. Nothing else is needed to check one, no state and no network.

use arc_malachitebft_core_types::{NilOrVal, VoteType};

use crate::error::{Code, Error, Result};
use crate::layout::{check_order, put_signer, take_signers, vote_body, vote_input, Reader, Signers};
use crate::planted::{planted, Bug};
use crate::signatures::{all_hold, Signed};
use crate::types::{BlockId, Federation, Key, ValidatorSet};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub height: u64,
    pub round: u32,
    pub block: BlockId,
    /// Ascending by key, each key once.
    pub signers: Signers,
}

impl Certificate {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(47 + 96 * self.signers.len());
        out.push(1);
        out.extend(self.height.to_be_bytes());
        out.extend(self.round.to_be_bytes());
        out.extend(self.block.0);
        out.extend((self.signers.len() as u16).to_be_bytes());
        self.signers.iter().for_each(|signer| put_signer(&mut out, signer));
        out
    }

    /// The form alone: `verify` says whether it proves anything.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            1 => (),
            other => return Err(Error::new(Code::UnknownKind, format!("certificate of version {other}: 1"))),
        }
        let (height, round) = (reader.height()?, reader.round()?);
        let block = reader.id()?;
        let signers = take_signers(&mut reader)?;
        reader.end()?;
        Ok(Self { height, round, block, signers })
    }

    /// What each of its signers has signed.
    pub fn input(&self, federation: &Federation) -> Vec<u8> {
        let body = vote_body(VoteType::Precommit, self.height, self.round, &NilOrVal::Val(self.block));
        vote_input(federation, &body)
    }

    /// Members, each once and in order, with more than two thirds of the power; not the signatures.
    pub fn check_power(&self, validators: &ValidatorSet) -> Result<()> {
        for pair in self.signers.windows(2) {
            match check_order(Some(&pair[0].0), &pair[1].0) {
                Err(error) if error.code == Code::DuplicateSigner && planted(Bug::SignerCountedTwice) => (),
                checked => checked?,
            }
        }
        let power = power_of(validators, self.signers.iter().map(|(key, _)| key))?;
        if !validators.is_quorum(power) {
            let text = format!("power {power} of {}: it takes more than two thirds", validators.total());
            return Err(Error::new(Code::TooLittlePower, text));
        }
        Ok(())
    }

    pub fn verify(&self, federation: &Federation, validators: &ValidatorSet) -> Result<()> {
        self.check_power(validators)?;
        let message = self.input(federation);
        let signed: Vec<_> =
            self.signers.iter().map(|(key, signature)| Signed { key, message: &message, signature }).collect();
        if !all_hold(&signed) {
            return Err(Error::new(Code::BadSignature, "a signature of the certificate does not hold"));
        }
        Ok(())
    }
}

/// Of members alone; the sum is bounded by the set's total where each comes once, and checked where not.
pub(crate) fn power_of<'a>(validators: &ValidatorSet, keys: impl Iterator<Item = &'a Key>) -> Result<u64> {
    let mut power = 0u64;
    for key in keys {
        let Some(member) = validators.get(key) else {
            return Err(Error::new(Code::UnknownValidator, format!("{key} is no validator at this height")));
        };
        power = power.saturating_add(member.power).min(validators.total());
    }
    Ok(power)
}
