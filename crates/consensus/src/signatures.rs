//! Ed25519 by the ZIP-215 rule: batches whose coefficients follow from what is checked, and a memory of what held.

use std::cell::RefCell;
use std::collections::HashSet;

use ed25519_zebra::{batch, Signature, VerificationKey, VerificationKeyBytes};
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

/// Whether it holds; `point` is its key.
pub fn holds(signed: &Signed, point: &VerificationKey) -> bool {
    let name = digest(signed);
    let held = is_known_to_hold(&name) || point.verify(&Signature::from(*signed.signature), signed.message).is_ok();
    if held {
        remember_that_it_holds(name);
    }
    held
}

/// Whether all of them hold; those that are known to are not checked again.
pub fn all_hold(signed: &[Signed]) -> bool {
    let unknown: Vec<_> =
        signed.iter().map(|one| (one, digest(one))).filter(|(_, name)| !is_known_to_hold(name)).collect();
    if unknown.is_empty() {
        return true;
    }
    let mut all = batch::Verifier::new();
    let mut transcript = Sha256::new_with_prefix("meshwork/1/certificate-batch");
    for (one, _) in &unknown {
        transcript.update(one.key.0);
        transcript.update(one.signature);
        transcript.update((one.message.len() as u64).to_le_bytes());
        transcript.update(one.message);
        let item = (VerificationKeyBytes::from(one.key.0), Signature::from(*one.signature), one.message);
        all.queue(item);
    }
    let held = all.verify(Coefficients::new(transcript.finalize().into())).is_ok();
    if held {
        unknown.into_iter().for_each(|(_, name)| remember_that_it_holds(name));
    }
    held
}

/// What was checked and held: of the latest, twice `MAX_KNOWN` at most. Only asked whether something is in it, so that its
/// order decides nothing.
#[derive(Default)]
struct Known {
    latest: HashSet<[u8; 32]>,
    older: HashSet<[u8; 32]>,
}

const MAX_KNOWN: usize = 16_384;

thread_local! {
    // One for all that a thread runs: whether a signature holds does not depend on who asks. A simulated federation checks each
    // once and not once for each of its validators.
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// By which a signature is remembered.
pub fn digest(signed: &Signed) -> [u8; 32] {
    Sha256::new()
        .chain_update(signed.key.0)
        .chain_update(signed.signature)
        .chain_update(signed.message)
        .finalize()
        .into()
}

/// False: it does not hold, or nobody has asked lately.
fn is_known_to_hold(digest: &[u8; 32]) -> bool {
    KNOWN.with_borrow(|known| known.latest.contains(digest) || known.older.contains(digest))
}

pub fn remember_that_it_holds(digest: [u8; 32]) {
    KNOWN.with_borrow_mut(|known| {
        if known.latest.len() >= MAX_KNOWN {
            known.older = std::mem::take(&mut known.latest);
        }
        known.latest.insert(digest);
    });
}
