//! Ed25519 by the ZIP-215 rule: batches whose coefficients follow from what is checked, and a memory of what held.

use std::collections::HashSet;

use ed25519_zebra::{batch, Signature, VerificationKeyBytes};
use rand_core::{Infallible, TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

use crate::types::{Key, Sig};

/// The coefficients of a batch: whoever made its signatures must not know them before. They follow from all that is
/// checked, as in the Fiat-Shamir transform, so that checking reads no random source and comes out alike every time.
pub struct Coefficients {
    seed: [u8; 32],
    count: u64,
}

impl Coefficients {
    /// `seed` is a hash over keys, signatures and messages of the whole batch.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, count: 0 }
    }
}

impl TryRng for Coefficients {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for part in out.chunks_mut(32) {
            let block = Sha256::new().chain_update(self.seed).chain_update(self.count.to_le_bytes()).finalize();
            part.copy_from_slice(&block[..part.len()]);
            self.count += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Coefficients {}

/// A signature and what it is of.
pub struct Signed<'a> {
    pub key: &'a Key,
    pub message: &'a [u8],
    pub signature: &'a Sig,
}

/// Whether all of them hold.
pub fn all_hold(signed: &[Signed]) -> bool {
    let mut all = batch::Verifier::new();
    let mut transcript = Sha256::new_with_prefix("meshwork/1/certificate-batch");
    for one in signed {
        transcript.update(one.key.0);
        transcript.update(one.signature);
        transcript.update((one.message.len() as u64).to_le_bytes());
        transcript.update(one.message);
        let item = (VerificationKeyBytes::from(one.key.0), Signature::from(*one.signature), one.message);
        all.queue(item);
    }
    all.verify(Coefficients::new(transcript.finalize().into())).is_ok()
}

/// What was checked and held: of the latest, twice `MAX_KNOWN` at most. Only asked whether something is in it, so that its
/// order decides nothing.
#[derive(Default)]
pub struct Known {
    latest: HashSet<[u8; 32]>,
    older: HashSet<[u8; 32]>,
}

const MAX_KNOWN: usize = 8192;

impl Known {
    pub fn digest(signed: &Signed) -> [u8; 32] {
        Sha256::new()
            .chain_update(signed.key.0)
            .chain_update(signed.signature)
            .chain_update(signed.message)
            .finalize()
            .into()
    }

    pub fn holds(&self, digest: &[u8; 32]) -> bool {
        self.latest.contains(digest) || self.older.contains(digest)
    }

    pub fn add(&mut self, digest: [u8; 32]) {
        if self.latest.len() >= MAX_KNOWN {
            self.older = std::mem::take(&mut self.latest);
        }
        self.latest.insert(digest);
    }
}
