//! Writes a corpus of WebAssembly modules to stdout, the same for the same seed.
//!
//! usage: mesh-corpus SEED FIRST COUNT
//!
//! Each module is a frame: its length as four bytes, least first; one byte for its kind (the index in `KINDS`); its bytes.
//! A module depends on SEED and its index alone, so that a single one can be written again.
//!
//! wasm-smith draws the functions; `driver` adds an entry that the sandbox calls and that makes what they did visible.

mod driver;

use std::io::Write;

use anyhow::{bail, Context, Result};
use arbitrary::Unstructured;
use wasm_encoder::{EntityType, ImportSection, TypeSection, ValType};
use wasm_smith::{Config, Module};
use wasmparser::{Validator, WasmFeatures};

/// SplitMix64: short, and nothing that a new version of a library could change under a seed.
pub struct Random(u64);

impl Random {
    fn new(seed: u64, index: u64) -> Self {
        let mut first = Self(seed);
        let mut second = Self(first.draw() ^ index);
        Self(second.draw())
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `bound` - 1; near enough to uniform for the small bounds here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

/// What a module is drawn to be. The C++ side names them in the same order.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Cannot trap but by recursion, and ends.
    Tame,
    /// May trap anywhere, and ends.
    Trapping,
    /// May trap and may loop for ever.
    Wild,
    /// Cannot trap by itself, ends, and calls WASI with whatever it has.
    Host,
}
impl Kind {
    fn is_tame(self) -> bool {
        matches!(self, Self::Tame | Self::Host)
    }
}

const KINDS: [Kind; 4] = [Kind::Tame, Kind::Trapping, Kind::Wild, Kind::Host];
/// Of each ten modules.
const SHARES: [usize; 10] = [0, 0, 0, 0, 1, 1, 1, 2, 3, 3];

/// Calls of WASI that a module of kind `Host` may import, with the types of the sandbox.
const WASI: [(&str, &str); 16] = [
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_sizes_get", "ii"),
    ("fd_fdstat_get", "ii"),
    ("fd_filestat_get", "ii"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_get", "ii"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_seek", "iIii"),
    ("fd_write", "iiii"),
    ("path_open", "iiiiiIIii"),
    ("poll_oneoff", "iiii"),
    ("random_get", "ii"),
    ("sched_yield", ""),
];

fn wasi_module() -> Vec<u8> {
    let mut types = TypeSection::new();
    let mut imports = ImportSection::new();
    for (index, (name, parameters)) in (0..).zip(WASI) {
        let parameters = parameters.chars().map(|c| if c == 'I' { ValType::I64 } else { ValType::I32 });
        types.ty().function(parameters.collect::<Vec<_>>(), [ValType::I32]);
        imports.import(driver::WASI_MODULE, name, EntityType::Function(index));
    }
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&imports);
    module.finish()
}

/// The features are those that the sandbox's engine has on (src/adapters/wasm/engine.cc).
fn config(kind: Kind, random: &mut Random) -> Config {
    let mut config = Config {
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        reference_types_enabled: random.below(2) == 0,
        simd_enabled: random.below(3) != 0,
        allow_floats: random.below(8) != 0,
        disallow_traps: kind.is_tame(),
        min_types: 1,
        max_types: 12,
        min_funcs: 1,
        max_funcs: 12,
        max_globals: 8,
        max_instructions: [40, 200, 600][random.below(3) as usize],
        min_memories: u32::from(random.below(10) != 0),
        max_memories: 1,
        max_memory32_bytes: 1 << 20,
        max_tables: 2,
        max_table_elements: 2_000,
        max_data_segments: 6,
        max_element_segments: 6,
        max_elements: 20,
        max_imports: 0,
        ..Config::default()
    };
    if kind == Kind::Host {
        config.max_imports = 24;
        config.max_funcs = 36;
        config.available_imports = Some(wasi_module());
    }
    config
}

/// Whether the sandbox takes the module. Its engine is built without garbage collection, and so without externref, which
/// wasm-smith cannot leave out alone.
fn takes(bytes: &[u8]) -> bool {
    Validator::new_with_features(WasmFeatures::default() & !WasmFeatures::GC_TYPES).validate_all(bytes).is_ok()
}

fn module(seed: u64, index: u64) -> Result<(usize, Vec<u8>)> {
    let mut random = Random::new(seed, index);
    // Some bytes make no module, and some modules have only imported functions; then the next bytes are taken.
    for _ in 0..64 {
        let number = SHARES[random.below(SHARES.len() as u64) as usize];
        let kind = KINDS[number];
        let words = 64 << random.below(6);
        let bytes: Vec<u8> = (0..words).flat_map(|_| random.draw().to_le_bytes()).collect();
        let Ok(mut drawn) = Module::new(config(kind, &mut random), &mut Unstructured::new(&bytes)) else {
            continue;
        };
        let steps = if kind == Kind::Wild { None } else { Some(drawn.ensure_termination(2_000)?) };
        let Some(bytes) = driver::drive(&drawn.to_bytes(), steps, kind.is_tame(), &mut random)? else {
            continue;
        };
        // Refusals must be the same too, but nothing runs then: one in sixteen is enough.
        if random.below(16) == 0 || takes(&bytes) {
            return Ok((number, bytes));
        }
    }
    bail!("no module could be drawn for seed {seed}, index {index}")
}

fn main() -> Result<()> {
    let arguments: Vec<u64> = std::env::args()
        .skip(1)
        .map(|text| text.parse().with_context(|| format!("{text} is no number")))
        .collect::<Result<_>>()?;
    let &[seed, first, count] = arguments.as_slice() else { bail!("usage: mesh-corpus SEED FIRST COUNT") };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for index in first..first.saturating_add(count) {
        let (kind, bytes) = module(seed, index)?;
        out.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
        out.write_all(&[u8::try_from(kind)?])?;
        out.write_all(&bytes)?;
    }
    out.flush().context("The corpus could not be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_depends_on_seed_and_index_alone() {
        let one_by_one: Vec<_> = (0..40).map(|index| module(5, index).unwrap()).collect();
        let backwards: Vec<_> = (0..40).rev().map(|index| module(5, index).unwrap()).collect();
        assert!(one_by_one.iter().eq(backwards.iter().rev()));
        let others: Vec<_> = (0..40).map(|index| module(6, index).unwrap()).collect();
        assert!(one_by_one.iter().zip(&others).all(|(one, other)| one != other));
    }

    #[test]
    fn modules_are_valid_and_have_an_entry() {
        let features = WasmFeatures::default();
        let mut kinds = [0; KINDS.len()];
        for index in 0..200 {
            let (kind, bytes) = module(7, index).unwrap();
            kinds[kind] += 1;
            Validator::new_with_features(features).validate_all(&bytes).unwrap();
            let names: Vec<String> = wasmparser::Parser::new(0)
                .parse_all(&bytes)
                .filter_map(|payload| match payload.unwrap() {
                    wasmparser::Payload::ExportSection(section) => Some(section),
                    _ => None,
                })
                .flat_map(|section| section.into_iter().map(|export| export.unwrap().name.to_owned()))
                .collect();
            assert!(names.iter().any(|name| name == "_start" || name == "mesh_run"), "{names:?}");
        }
        assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
    }
}
