//! SHA-256 (with the processor's SHA instructions) and Ed25519 by the ZIP-215 rule, as plain C functions.
//!
//! Every pointer must be valid for the length that goes with it; `include/mesh_crypto.h` is the other side.

use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_zebra::{batch, Signature, SigningKey, VerificationKey, VerificationKeyBytes};
use mesh_consensus::signatures::Coefficients;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::hash_map::{Entry, HashMap};
use std::slice;
use std::sync::LazyLock;

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

/// Every encoding that ZIP-215 takes for a point of small order. A y below 19 has a second one, which is larger by the field's
/// prime; the sign may be set where x is zero.
static SMALL_ORDER: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
    let mut encodings = Vec::new();
    for point in &EIGHT_TORSION {
        let mut y = point.compress().to_bytes();
        y[31] &= 0x7f;
        let mut all = vec![y];
        if y[0] < 19 && y[1..].iter().all(|byte| *byte == 0) {
            let mut larger = [0xff; 32];
            larger[0] = 0xed + y[0];
            larger[31] = 0x7f;
            all.push(larger);
        }
        for one in all {
            let mut with_sign = one;
            with_sign[31] |= 0x80;
            encodings.extend([one, with_sign]);
        }
    }
    encodings.sort_unstable();
    encodings.dedup();
    encodings
});

/// By ZIP-215 a key of small order accepts one signature for every message, because the equation is multiplied by the
/// cofactor; a key of large order accepts it of none but by a hash collision.
fn is_small_order(key: &[u8; 32]) -> bool {
    SMALL_ORDER.binary_search(key).is_ok()
}

/// A node hears much from few; whoever floods it with keys makes it compute what it would have had to compute anyway.
const MAX_KNOWN_KEYS: usize = 4096;

/// What `use_key` makes of a public key as a point, which takes an exponentiation to find; None for bytes that are no point.
fn with_key<T>(bytes: [u8; 32], use_key: impl FnOnce(&VerificationKey) -> T) -> Option<T> {
    thread_local! {
        static KNOWN: RefCell<HashMap<[u8; 32], VerificationKey>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= MAX_KNOWN_KEYS && !known.contains_key(&bytes) {
            known.clear();
        }
        let key = match known.entry(bytes) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => place.insert(VerificationKey::try_from(bytes).ok()?),
        };
        Some(use_key(key))
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
    with_key(key, |known| known.verify(&Signature::from(signature), message).is_ok()).unwrap_or(false)
}

#[repr(C)]
pub struct SignedMessage {
    key: *const [u8; 32],
    message: *const u8,
    length: usize,
    signature: *const [u8; 64],
}

/// # Safety
/// `items` points to `count` of them, and what each points to is readable: 32, `length` and 64 bytes.
#[no_mangle]
pub unsafe extern "C" fn mesh_ed25519_verify_all(items: *const SignedMessage, count: usize) -> bool {
    if count == 0 {
        return true;
    }
    // SAFETY: the caller's promise.
    let items = unsafe { slice::from_raw_parts(items, count) };
    let mut all = batch::Verifier::new();
    let mut transcript = Sha256::new_with_prefix("meshwork/1/signature-batch");
    for item in items {
        // SAFETY: the caller's promise.
        let (key, message, signature) = unsafe { (*item.key, view(item.message, item.length), *item.signature) };
        transcript.update(key);
        transcript.update(signature);
        transcript.update((message.len() as u64).to_le_bytes());
        transcript.update(message);
        all.queue((VerificationKeyBytes::from(key), Signature::from(signature), message));
    }
    // Whoever made the signatures must not know the coefficients before: they follow from all that is checked.
    all.verify(Coefficients::new(transcript.finalize().into())).is_ok()
}

/// # Safety
/// `key` points to 32 readable bytes.
#[no_mangle]
pub unsafe extern "C" fn mesh_ed25519_can_be_identity(key: *const [u8; 32]) -> bool {
    // SAFETY: the caller's promise.
    let key = unsafe { *key };
    !is_small_order(&key) && with_key(key, |_| ()).is_some()
}

/// # Safety
/// `key` points to 32 readable bytes.
#[no_mangle]
pub unsafe extern "C" fn mesh_ed25519_is_small_order(key: *const [u8; 32]) -> bool {
    // SAFETY: the caller's promise.
    is_small_order(unsafe { &*key })
}
