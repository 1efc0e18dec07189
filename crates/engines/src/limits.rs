//! A limiter for a wasmtime store that says what it refused: wasmtime's own C API has one that bounds memory but keeps
//! to itself whether a growth was refused, and whether by the bound or by a system that had no memory to give. The one
//! is part of a run's outcome, the other must never be. `include/mesh_limits.h` is the other side.

use wasmtime_c_api::wasmtime::{Error, ResourceLimiter, Result};
use wasmtime_c_api::{wasmtime_store_t, WasmtimeStore};

#[repr(C)]
pub struct MeshLimits {
    memory_limit_bytes: u64,
    table_limit_elements: u64,
    memory_bytes: u64,
    refused: bool,
    host_failed: bool,
}

const WASM32_BYTES: usize = 1 << 32;

impl ResourceLimiter for MeshLimits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|bound| desired > bound && bound < WASM32_BYTES) {
            return Ok(false); // The module's own bound, not the scope's.
        }
        let total = self.memory_bytes.saturating_sub(current as u64).saturating_add(desired as u64);
        if total > self.memory_limit_bytes {
            self.refused = true;
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.host_failed = true;
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        // The pool's own bound shows here as the table's maximum, so ours comes first.
        if desired as u64 > self.table_limit_elements {
            self.refused = true;
            return Ok(false);
        }
        Ok(maximum.is_none_or(|bound| desired <= bound))
    }

    fn table_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.host_failed = true;
        Ok(())
    }
}

struct Shared(*mut MeshLimits);
// SAFETY: a store, its limiter with it, is used by one thread at a time; the C++ side moves both together.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    // A method, so that the closure below captures the whole of Shared and not the bare pointer.
    fn get(&self) -> *mut MeshLimits {
        self.0
    }
}

/// # Safety
/// `store` is a live store; `limits` outlives it and is touched by nobody else while the store runs code.
#[no_mangle]
pub unsafe extern "C" fn mesh_limit_store(store: *mut wasmtime_store_t, limits: *mut MeshLimits) {
    // SAFETY: wasmtime_store_t is #[repr(C)] with the Store as its only field, so the two share an address.
    let store = unsafe { &mut *store.cast::<WasmtimeStore>() };
    let shared = Shared(limits);
    // SAFETY: the caller's promise.
    store.limiter(move |_| unsafe { &mut *shared.get() });
}
