// Programs to begin with. Each reads its input on stdin, writes its result to stdout and its log to stderr.
import type { InputKind } from './draft';

export interface Template {
  readonly name: string;
  readonly source: string;
  readonly inputKind: InputKind;
  readonly input: string;
  readonly map: boolean;
}

const python: readonly Template[] = [
  {
    name: 'A curve, as numbers',
    inputKind: 'json',
    input: '{"points": 60}',
    map: false,
    source: `import json
import math
import sys

task = json.load(sys.stdin)
print("computing", task["points"], "points", file=sys.stderr)
rows = [{"x": i / 5, "y": math.sin(i / 5) * math.exp(-i / 40)} for i in range(task["points"])]
json.dump(rows, sys.stdout)
`,
  },
  {
    name: 'Once for each line',
    inputKind: 'text',
    input: '27\n97\n871\n6171\n77031',
    map: true,
    source: `import json
import sys


def steps(n):
    count = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        count += 1
    return count


n = int(sys.stdin.read())
json.dump({"n": n, "steps": steps(n)}, sys.stdout)
`,
  },
];

const javascript: readonly Template[] = [
  {
    name: 'Words of a text',
    inputKind: 'text',
    input: 'the quick brown fox jumps over the lazy dog and the cat',
    map: false,
    source: `const text = std.in.readAsString();
const counts = new Map();
for (const word of text.toLowerCase().match(/[a-z]+/g) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
console.error(\`\${counts.size} different words\`);
console.log(JSON.stringify([...counts].map(([word, count]) => ({ word, count }))));
`,
  },
];

const wat: readonly Template[] = [
  {
    name: 'Hello, by WASI',
    inputKind: 'none',
    input: '',
    map: false,
    source: `(module
  ;; fd_write(fd, iovs, iovs_len, nwritten) -> errno
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello from WebAssembly\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16)) ;; where the text is
    (i32.store (i32.const 4) (i32.const 23)) ;; how long it is
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
`,
  },
];

export const templates: Readonly<Record<'python' | 'javascript' | 'wat', readonly Template[]>> = {
  python,
  javascript,
  wat,
};
