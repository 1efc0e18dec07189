//! SHA-256 (with the processor's SHA instructions) and Ed25519 by the ZIP-215 rule, as plain C functions.
//!
//! Every pointer must be valid for the length that goes with it; `include/mesh_crypto.h` is the other side.

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_zebra::{Signature, SigningKey, VerificationKey};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::slice;

/// # Safety
/// `bytes` points to `length` readable bytes, or `length` is 0.
unsafe fn view<'a>(bytes: *const u8, length: usize) -> &'a [u8] {
    if length == 0 {
        &[]
    } else {
        // SAFETY: the caller's promise.
        unsafe { slice::from_raw_parts(bytes, length) }
    }
}

/// # Safety
/// `bytes` points to `length` readable bytes (or `length` is 0), `out` to 32 writable ones.
#[no_mangle]
pub unsafe extern "C" fn mesh_sha256(bytes: *const u8, length: usize, out: *mut [u8; 32]) {
    // SAFETY: the caller's promise.
    unsafe { *out = Sha256::digest(view(bytes, length)).into() };
}

#[no_mangle]
pub extern "C" fn mesh_sha256_new() -> *mut Sha256 {
    Box::into_raw(Box::new(Sha256::new()))
}

/// # Safety
/// `state` came from `mesh_sha256_new` and is neither finished nor freed; `bytes` as in `mesh_sha256`.
#[no_mangle]
pub unsafe extern "C" fn mesh_sha256_update(state: *mut Sha256, bytes: *const u8, length: usize) {
    // SAFETY: the caller's promise.
    unsafe { (*state).update(view(bytes, length)) };
}

/// # Safety
/// As `mesh_sha256_update`; the state is gone afterwards.
#[no_mangle]
pub unsafe extern "C" fn mesh_sha256_finish(state: *mut Sha256, out: *mut [u8; 32]) {
    // SAFETY: the caller's promise.
    unsafe { *out = Box::from_raw(state).finalize().into() };
}

/// # Safety
/// `state` came from `mesh_sha256_new` and is neither finished nor freed, or is null.
#[no_mangle]
pub unsafe extern "C" fn mesh_sha256_free(state: *mut Sha256) {
    if !state.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(state) });
    }
}

/// # Safety
/// `seed` points to 32 readable bytes, `out` to 32 writable ones.
#[no_mangle]
pub unsafe extern "C" fn mesh_ed25519_public(seed: *const [u8; 32], out: *mut [u8; 32]) {
    // SAFETY: the caller's promise.
    unsafe { *out = VerificationKey::from(&SigningKey::from(*seed)).into() };
}

/// # Safety
/// `seed` points to 32 readable bytes, `message` to `length`, `out` to 64 writable ones.
#[no_mangle]
pub unsafe extern "C" fn mesh_ed25519_sign(
    seed: *const [u8; 32],
    message: *const u8,
    length: usize,
    out: *mut [u8; 64],
) {
    // SAFETY: the caller's promise.
    let (seed, message) = unsafe { (*seed, view(message, length)) };
    // A node has one key: its public half, which every signature hashes, costs as much as the signature itself.
    thread_local! {
        static LATEST: RefCell<Option<([u8; 32], SigningKey)>> = const { RefCell::new(None) };
    }
    let signature = LATEST.with_borrow_mut(|latest| match latest {
        Some((known, key)) if *known == seed => key.sign(message),
        _ => latest.insert((seed, SigningKey::from(seed))).1.sign(message),
    });
    // SAFETY: the caller's promise.
    unsafe { *out = signature.to_bytes() };
}

/// A public key as a point: to find it takes an exponentiation, as checking a signature's other point does.
#[derive(Clone, Copy)]
struct KnownKey {
    key: VerificationKey,
    can_be_identity: bool,
}

/// A node hears much from few; whoever floods it with keys makes it compute what it would have had to compute anyway.
const MAX_KNOWN_KEYS: usize = 4096;

/// None for bytes that are no point.
fn known_key(bytes: [u8; 32]) -> Option<KnownKey> {
    thread_local! {
        static KNOWN: RefCell<HashMap<[u8; 32], KnownKey>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(found) = known.get(&bytes) {
            return Some(*found);
        }
        let key = VerificationKey::try_from(bytes).ok()?;
        // By ZIP-215 a key of small order accepts one signature for every message, because the equation is multiplied by
        // the cofactor; a key of large order accepts it of none but by a hash collision.
        let can_be_identity = CompressedEdwardsY(bytes).decompress().is_some_and(|point| !point.is_small_order());
        if known.len() >= MAX_KNOWN_KEYS {
            known.clear();
        }
        Some(*known.entry(bytes).or_insert(KnownKey { key, can_be_identity }))
    })
}

/// # Safety
/// `key` points to 32 readable bytes, `message` to `length`, `signature` to 64.
#[no_mangle]
pub unsafe extern "C" fn mesh_ed25519_verify(
    key: *const [u8; 32],
    message: *const u8,
    length: usize,
    signature: *const [u8; 64],
) -> bool {
    // SAFETY: the caller's promise.
    let (key, message, signature) = unsafe { (*key, view(message, length), *signature) };
    known_key(key).is_some_and(|known| known.key.verify(&Signature::from(signature), message).is_ok())
}

/// # Safety
/// `key` points to 32 readable bytes.
#[no_mangle]
pub unsafe extern "C" fn mesh_ed25519_can_be_identity(key: *const [u8; 32]) -> bool {
    // SAFETY: the caller's promise.
    let key = unsafe { *key };
    known_key(key).is_some_and(|known| known.can_be_identity)
}
