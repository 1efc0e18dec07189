//! Adds to a module an entry that the sandbox calls: it calls the module's own functions with drawn arguments, folds what
//! they return, the globals and the memory into one number, and gives that number and the memory out. So a difference
//! anywhere shows in the output, the log, the exit code or the fuel.

use anyhow::{anyhow, Result};
use wasm_encoder::reencode::{utils, Error, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Instruction as I, MemArg, Module, SectionId, TypeSection, ValType,
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

use crate::Random;

pub const WASI_MODULE: &str = "wasi_snapshot_preview1";

/// What the entry begins its number with, followed by three `nop`s: the test that plants a difference looks for these
/// bytes in the code (tests/corpus/fuel_corpus.cc).
const MARK: i64 = 0x4d45_5348_5741_524d;
const MULTIPLIER: i64 = 0x2545_f491_4f6c_dd1d;
const PAGE: i64 = 65_536;
/// Where the entry keeps the operands of fd_write.
const SCRATCH: i32 = 0;
const SCRATCH_BYTES: i32 = 32;

/// What must be known before the first byte is written.
#[derive(Default)]
struct Shape {
    types: Vec<wasmparser::FuncType>,
    imported_functions: u32,
    functions: Vec<u32>,
    globals: Vec<wasmparser::GlobalType>,
    has_memory: bool,
    has_imports: bool,
    has_exports: bool,
}

fn shape_of(bytes: &[u8]) -> Result<Shape> {
    let mut shape = Shape::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    shape.types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                shape.has_imports = true;
                for import in section.into_imports() {
                    if !matches!(import?.ty, TypeRef::Func(_)) {
                        return Err(anyhow!("only functions may be imported"));
                    }
                    shape.imported_functions += 1;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    shape.functions.push(ty?);
                }
            }
            Payload::MemorySection(section) => shape.has_memory = section.count() > 0,
            Payload::GlobalSection(section) => {
                for global in section {
                    shape.globals.push(global?.ty);
                }
            }
            Payload::ExportSection(_) => shape.has_exports = true,
            _ => {}
        }
    }
    Ok(shape)
}

/// Writes the module again with two more imports, at the end of those that are there, and two more functions.
struct Driver<'a> {
    shape: Shape,
    /// The global that bounds what functions do; the entry refills it before each call.
    steps: Option<u32>,
    /// Whether a function whose steps are used up returns zeros rather than traps. Only for functions that have no other
    /// `unreachable`.
    returns: bool,
    /// The function whose body comes next.
    body: usize,
    is_call: bool,
    random: &'a mut Random,
}

type Status = Result<(), Error<anyhow::Error>>;

impl Driver<'_> {
    fn fd_write(&self) -> u32 {
        self.shape.imported_functions
    }
    fn proc_exit(&self) -> u32 {
        self.fd_write() + 1
    }
    fn first_own(&self) -> u32 {
        self.fd_write() + 2
    }
    fn entry(&self) -> u32 {
        self.first_own() + self.shape.functions.len() as u32
    }
    fn alloc(&self) -> u32 {
        self.entry() + 1
    }
    /// The types that are added, after the module's own.
    fn type_of_fd_write(&self) -> u32 {
        self.shape.types.len() as u32
    }
    fn type_of_proc_exit(&self) -> u32 {
        self.type_of_fd_write() + 1
    }
    fn type_of_entry(&self) -> u32 {
        self.type_of_fd_write() + 2
    }
    fn type_of_alloc(&self) -> u32 {
        self.type_of_fd_write() + 3
    }

    fn add_imports(&self, imports: &mut ImportSection) {
        imports.import(WASI_MODULE, "fd_write", EntityType::Function(self.type_of_fd_write()));
        imports.import(WASI_MODULE, "proc_exit", EntityType::Function(self.type_of_proc_exit()));
    }

    fn exports(&self) -> ExportSection {
        let mut exports = ExportSection::new();
        self.add_exports(&mut exports);
        exports
    }

    /// Only these: what wasm-smith exported is of no use to the sandbox.
    fn add_exports(&self, exports: &mut ExportSection) {
        if self.shape.has_memory {
            exports.export("memory", ExportKind::Memory, 0);
        }
        if self.is_call {
            exports.export("mesh_alloc", ExportKind::Func, self.alloc());
            exports.export("mesh_run", ExportKind::Func, self.entry());
        } else {
            exports.export("_start", ExportKind::Func, self.entry());
        }
    }

    /// A value as programs and bounds have it: small, near a power of two, or any.
    fn number(&mut self) -> i64 {
        match self.random.below(4) {
            0 => self.random.below(9) as i64 - 4,
            1 => (1_i64 << self.random.below(64)).wrapping_sub(self.random.below(2) as i64),
            2 => self.random.below(1 << 16) as i64,
            _ => self.random.draw() as i64,
        }
    }

    fn argument(&mut self, code: &mut Function, ty: wasmparser::ValType) -> Result<()> {
        let number = self.number();
        match ty {
            wasmparser::ValType::I32 => code.instruction(&I::I32Const(number as i32)),
            wasmparser::ValType::I64 => code.instruction(&I::I64Const(number)),
            wasmparser::ValType::F32 => match self.random.below(2) {
                0 => code.instruction(&I::F32Const((number as f32).into())),
                _ => code.instruction(&I::F32Const(f32::from_bits(number as u32).into())),
            },
            wasmparser::ValType::F64 => match self.random.below(2) {
                0 => code.instruction(&I::F64Const((number as f64).into())),
                _ => code.instruction(&I::F64Const(f64::from_bits(number as u64).into())),
            },
            wasmparser::ValType::V128 => {
                let high = self.number();
                code.instruction(&I::V128Const((i128::from(high) << 64) | i128::from(number as u64)))
            }
            wasmparser::ValType::Ref(ty) => {
                let heap = utils::heap_type(self, ty.heap_type()).map_err(|error| anyhow!("{error}"))?;
                code.instruction(&I::RefNull(heap))
            }
        };
        Ok(())
    }

    fn entry_code(&mut self) -> Result<Function> {
        // Two parameters with the call ABI.
        let sum = if self.is_call { 2 } else { 0 };
        let (vector, cursor) = (sum + 1, sum + 2);
        let mut code = Function::new([(1, ValType::I64), (1, ValType::V128), (1, ValType::I32)]);
        code.instruction(&I::I64Const(MARK)).instruction(&I::Nop).instruction(&I::Nop).instruction(&I::Nop);
        code.instruction(&I::LocalSet(sum));
        if self.shape.has_memory {
            code.instruction(&I::I32Const(self.random.below(4) as i32)).instruction(&I::MemoryGrow(0));
            fold_i32(&mut code, sum);
        }
        let functions = self.shape.functions.len() as u64;
        for _ in 0..1 + self.random.below(functions.min(8) + 2) {
            let chosen = self.random.below(functions) as usize;
            let ty = self.shape.types[self.shape.functions[chosen] as usize].clone();
            if let Some(steps) = self.steps {
                code.instruction(&I::I32Const(2_000)).instruction(&I::GlobalSet(steps));
            }
            for parameter in ty.params() {
                self.argument(&mut code, *parameter)?;
            }
            code.instruction(&I::Call(self.first_own() + chosen as u32));
            for result in ty.results().iter().rev() {
                fold(&mut code, *result, sum, vector);
            }
            if self.shape.has_memory {
                self.tell(&mut code, sum);
            }
        }
        for (index, global) in (0..).zip(self.shape.globals.clone()) {
            code.instruction(&I::GlobalGet(index));
            fold(&mut code, global.content_type, sum, vector);
        }
        if self.shape.has_memory {
            fold_memory(&mut code, sum, cursor);
            self.tell(&mut code, sum);
        }
        if self.is_call {
            // All of the first page, or nothing where there is none.
            code.instruction(&I::MemorySize(0)).instruction(&I::I32Eqz).instruction(&I::I64ExtendI32U);
            code.instruction(&I::I64Const(1)).instruction(&I::I64Xor);
            code.instruction(&I::I64Const(PAGE)).instruction(&I::I64Mul);
        } else {
            if self.shape.has_memory {
                self.write(&mut code, 1, SCRATCH_BYTES, PAGE as i32 - SCRATCH_BYTES);
            }
            if !self.shape.has_memory || self.random.below(4) == 0 {
                code.instruction(&I::LocalGet(sum)).instruction(&I::I32WrapI64);
                code.instruction(&I::I32Const(255)).instruction(&I::I32And);
                code.instruction(&I::Call(self.proc_exit()));
            }
        }
        code.instruction(&I::End);
        Ok(code)
    }

    /// Writes the number to the log, or to the output, where it stays even if a later call traps.
    fn tell(&mut self, code: &mut Function, sum: u32) {
        code.instruction(&I::MemorySize(0)).instruction(&I::If(BlockType::Empty));
        code.instruction(&I::I32Const(SCRATCH)).instruction(&I::LocalGet(sum)).instruction(&I::I64Store(at(16)));
        code.instruction(&I::End);
        let descriptor = 1 + self.random.below(2) as i32;
        self.write(code, descriptor, SCRATCH + 16, 8);
    }

    fn write(&self, code: &mut Function, descriptor: i32, from: i32, bytes: i32) {
        code.instruction(&I::MemorySize(0)).instruction(&I::If(BlockType::Empty));
        code.instruction(&I::I32Const(SCRATCH)).instruction(&I::I32Const(from)).instruction(&I::I32Store(at(0)));
        code.instruction(&I::I32Const(SCRATCH)).instruction(&I::I32Const(bytes)).instruction(&I::I32Store(at(4)));
        for operand in [descriptor, SCRATCH, 1, SCRATCH + 24] {
            code.instruction(&I::I32Const(operand));
        }
        code.instruction(&I::Call(self.fd_write())).instruction(&I::Drop);
        code.instruction(&I::End);
    }
}

fn zero(code: &mut Function, ty: ValType) {
    code.instruction(&match ty {
        ValType::I32 => I::I32Const(0),
        ValType::I64 => I::I64Const(0),
        ValType::F32 => I::F32Const(0.0.into()),
        ValType::F64 => I::F64Const(0.0.into()),
        ValType::V128 => I::V128Const(0),
        ValType::Ref(ty) => I::RefNull(ty.heap_type),
    });
}

fn at(offset: u64) -> MemArg {
    MemArg { offset, align: 0, memory_index: 0 }
}

/// sum = (sum * MULTIPLIER) ^ the i64 on the stack
fn fold_i64(code: &mut Function, sum: u32) {
    code.instruction(&I::LocalGet(sum)).instruction(&I::I64Const(MULTIPLIER)).instruction(&I::I64Mul);
    code.instruction(&I::I64Xor).instruction(&I::LocalSet(sum));
}

fn fold_i32(code: &mut Function, sum: u32) {
    code.instruction(&I::I64ExtendI32U);
    fold_i64(code, sum);
}

/// The bits of floats as they are: NaNs must be the same too.
fn fold(code: &mut Function, ty: wasmparser::ValType, sum: u32, vector: u32) {
    match ty {
        wasmparser::ValType::I32 => fold_i32(code, sum),
        wasmparser::ValType::I64 => fold_i64(code, sum),
        wasmparser::ValType::F32 => {
            code.instruction(&I::I32ReinterpretF32);
            fold_i32(code, sum);
        }
        wasmparser::ValType::F64 => {
            code.instruction(&I::I64ReinterpretF64);
            fold_i64(code, sum);
        }
        wasmparser::ValType::V128 => {
            code.instruction(&I::LocalTee(vector)).instruction(&I::I64x2ExtractLane(0));
            fold_i64(code, sum);
            code.instruction(&I::LocalGet(vector)).instruction(&I::I64x2ExtractLane(1));
            fold_i64(code, sum);
        }
        wasmparser::ValType::Ref(_) => {
            code.instruction(&I::RefIsNull);
            fold_i32(code, sum);
        }
    }
}

/// Folds the size of the memory and eight bytes of each 264 into the sum.
fn fold_memory(code: &mut Function, sum: u32, cursor: u32) {
    code.instruction(&I::MemorySize(0));
    fold_i32(code, sum);
    code.instruction(&I::I32Const(0)).instruction(&I::LocalSet(cursor));
    code.instruction(&I::Block(BlockType::Empty)).instruction(&I::Loop(BlockType::Empty));
    // Past the last whole eight bytes it is over.
    code.instruction(&I::LocalGet(cursor)).instruction(&I::I64ExtendI32U);
    code.instruction(&I::I64Const(8)).instruction(&I::I64Add);
    code.instruction(&I::MemorySize(0)).instruction(&I::I64ExtendI32U);
    code.instruction(&I::I64Const(PAGE)).instruction(&I::I64Mul);
    code.instruction(&I::I64GtU).instruction(&I::BrIf(1));
    code.instruction(&I::LocalGet(cursor)).instruction(&I::I64Load(at(0)));
    fold_i64(code, sum);
    code.instruction(&I::LocalGet(cursor)).instruction(&I::I32Const(264)).instruction(&I::I32Add);
    code.instruction(&I::LocalSet(cursor)).instruction(&I::Br(0));
    code.instruction(&I::End).instruction(&I::End);
}

impl Reencode for Driver<'_> {
    type Error = anyhow::Error;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Self::Error>> {
        Ok(if function < self.shape.imported_functions { function } else { function + 2 })
    }

    fn external_index(&mut self, kind: ExternalKind, index: u32) -> Result<u32, Error<Self::Error>> {
        match kind {
            ExternalKind::Func => self.function_index(index),
            _ => Ok(index),
        }
    }

    fn parse_type_section(&mut self, types: &mut TypeSection, section: wasmparser::TypeSectionReader<'_>) -> Status {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32; 4], [ValType::I32]);
        types.ty().function([ValType::I32], []);
        if self.is_call {
            types.ty().function([ValType::I32; 2], [ValType::I64]);
        } else {
            types.ty().function([], []);
        }
        types.ty().function([ValType::I32], [ValType::I32]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Status {
        utils::parse_import_section(self, imports, section)?;
        self.add_imports(imports);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Status {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.type_of_entry());
        if self.is_call {
            functions.function(self.type_of_alloc());
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        _section: wasmparser::ExportSectionReader<'_>,
    ) -> Status {
        self.add_exports(exports);
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: wasmparser::FunctionBody<'_>) -> Status {
        let results = self.shape.types[self.shape.functions[self.body] as usize].results().to_vec();
        self.body += 1;
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let instruction = self.parse_instruction(&mut reader)?;
            if self.returns && matches!(instruction, I::Unreachable) {
                for result in &results {
                    zero(&mut function, self.val_type(*result)?);
                }
                function.instruction(&I::Return);
            } else {
                function.instruction(&instruction);
            }
        }
        code.function(&function);
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: wasmparser::CodeSectionReader<'_>) -> Status {
        utils::parse_code_section(self, code, section)?;
        code.function(&self.entry_code().map_err(Error::UserError)?);
        if self.is_call {
            let mut alloc = Function::new([]);
            alloc.instruction(&I::MemorySize(0)).instruction(&I::I32Eqz).instruction(&I::If(BlockType::Empty));
            alloc.instruction(&I::I32Const(1)).instruction(&I::MemoryGrow(0)).instruction(&I::Drop);
            alloc.instruction(&I::End).instruction(&I::I32Const(64)).instruction(&I::End);
            code.function(&alloc);
        }
        Ok(())
    }

    /// Sections that the module lacks.
    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Status {
        if !self.shape.has_imports && after == Some(SectionId::Type) {
            let mut imports = ImportSection::new();
            self.add_imports(&mut imports);
            module.section(&imports);
        }
        let later =
            [SectionId::Start, SectionId::Element, SectionId::DataCount, SectionId::Code].map(Some).contains(&before);
        if !self.shape.has_exports && later {
            self.shape.has_exports = true;
            module.section(&self.exports());
        }
        Ok(())
    }
}

/// `bytes` with an entry: `_start`, or `mesh_alloc` and `mesh_run`. None if the module has no function of its own. `steps` and
/// `returns` are the fields of `Driver`.
pub fn drive(bytes: &[u8], steps: Option<u32>, returns: bool, random: &mut Random) -> Result<Option<Vec<u8>>> {
    let shape = shape_of(bytes)?;
    if shape.functions.is_empty() {
        return Ok(None);
    }
    let is_call = shape.has_memory && random.below(2) == 0;
    let mut module = Module::new();
    Driver { shape, steps, returns, body: 0, is_call, random }
        .parse_core_module(&mut module, Parser::new(0), bytes)
        .map_err(|error| anyhow!("{error}"))?;
    Ok(Some(module.finish()))
}
