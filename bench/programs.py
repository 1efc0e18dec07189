"""The programs that the benchmarks run, and what they and the cases around them are called."""

NODES = 5
VERIFIERS = 3
SIMULATED_NODES = 100
WAT = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""
PROGRAMS = {
    "wasm": ("hello.wat", "wat", WAT),
    "python": ("hello.py", "python", "print('hello')"),
    "javascript": ("hello.js", "javascript", "console.log('hello')"),
}
WORDS = {"wasm": "wasm", "python": "Python", "javascript": "JavaScript"}
NO_OP = """(module (memory (export "memory") 1)
  (func (export "mesh_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "mesh_run") (param i32 i32) (result i64) (i64.const 0)))"""
# Reads "ROUNDS SEED" and gives eight bytes that only so many dependent multiplications lead to.
COMPUTE = """(module (memory (export "memory") 1)
  (func (export "mesh_alloc") (param i32) (result i32) (i32.const 1024))
  (global $at (mut i32) (i32.const 0))
  (func $number (param $end i32) (result i64) (local $value i64) (local $letter i32)
    (block $done (loop $digit
      (br_if $done (i32.ge_u (global.get $at) (local.get $end)))
      (local.set $letter (i32.load8_u (global.get $at)))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (br_if $done (i32.lt_u (local.get $letter) (i32.const 48)))
      (local.set $value (i64.add (i64.mul (local.get $value) (i64.const 10))
        (i64.extend_i32_u (i32.sub (local.get $letter) (i32.const 48)))))
      (br $digit)))
    (local.get $value))
  (func (export "mesh_run") (param $begin i32) (param $bytes i32) (result i64)
    (local $rounds i64) (local $x i64) (local $end i32)
    (global.set $at (local.get $begin))
    (local.set $end (i32.add (local.get $begin) (local.get $bytes)))
    (local.set $rounds (call $number (local.get $end)))
    (local.set $x (call $number (local.get $end)))
    (block $done (loop $round
      (br_if $done (i64.eqz (local.get $rounds)))
      (local.set $x (i64.add (local.get $rounds)
        (i64.mul (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 29))) (i64.const -7046029254386353131))))
      (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
      (br $round)))
    (i64.store (i32.const 2048) (local.get $x))
    (i64.const 8796093022216)))"""  # 2048 << 32 | 8
KERNELS = {"sha256": "SHA-256", "nbody": "n-body", "sort": "heap sort", "json": "JSON"}
SIZES = {"1ms": "1 ms", "10ms": "10 ms"}
