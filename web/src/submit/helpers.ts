// What a program finds in the sandbox, for completion and signatures: there is no module of the mesh's own; input is
// stdin, the result is stdout, the log is stderr.
export interface Helper {
  readonly label: string;
  readonly insert: string;
  readonly signature: string;
  readonly says: string;
}

export const helpers: Readonly<Record<'python' | 'javascript', readonly Helper[]>> = {
  python: [
    {
      label: 'sys.stdin.read',
      insert: 'sys.stdin.read()',
      signature: 'sys.stdin.read() -> str',
      says: 'The whole input as text.',
    },
    {
      label: 'sys.stdin.buffer.read',
      insert: 'sys.stdin.buffer.read()',
      signature: 'sys.stdin.buffer.read() -> bytes',
      says: 'The whole input as bytes.',
    },
    {
      label: 'json.load',
      insert: 'json.load(sys.stdin)',
      signature: 'json.load(file) -> object',
      says: 'The input as JSON.',
    },
    {
      label: 'json.dump',
      insert: 'json.dump(${1:value}, sys.stdout)',
      signature: 'json.dump(value, file)',
      says: 'Writes the result as JSON.',
    },
    {
      label: 'print to the log',
      insert: 'print(${1:text}, file=sys.stderr)',
      signature: 'print(*values, file=sys.stderr)',
      says: 'Writes a line to the log of the job.',
    },
    {
      label: 'sys.argv',
      insert: 'sys.argv',
      signature: 'sys.argv: list[str]',
      says: 'The name of the program and its arguments.',
    },
  ],
  javascript: [
    {
      label: 'std.in.readAsString',
      insert: 'std.in.readAsString()',
      signature: 'std.in.readAsString(maxBytes?): string',
      says: 'The whole input as text.',
    },
    {
      label: 'std.out.puts',
      insert: 'std.out.puts(${1:text})',
      signature: 'std.out.puts(...strings): void',
      says: 'Writes to the result without a line break.',
    },
    {
      label: 'console.log',
      insert: 'console.log(${1:value})',
      signature: 'console.log(...values): void',
      says: 'Writes a line to the result; objects as JSON.',
    },
    {
      label: 'console.error',
      insert: 'console.error(${1:text})',
      signature: 'console.error(...values): void',
      says: 'Writes a line to the log of the job.',
    },
    {
      label: 'scriptArgs',
      insert: 'scriptArgs',
      signature: 'scriptArgs: string[]',
      says: 'The name of the program and its arguments.',
    },
    {
      label: 'std.exit',
      insert: 'std.exit(${1:0})',
      signature: 'std.exit(code): never',
      says: 'Ends the program; any code but 0 is a failure.',
    },
  ],
};
