import { describe, expect, it } from 'vitest';
import { parseGuestError, watTrap } from './traceback';

const python = `half way
Traceback (most recent call last):
  File "/program/main.py", line 4, in <module>
    f(0)
    ~^^^
  File "/program/main.py", line 3, in f
    return 1/x
           ~^~
ZeroDivisionError: division by zero
`;

describe('parseGuestError', () => {
  it('finds the line where Python failed', () => {
    expect(parseGuestError('python', python)).toEqual({
      message: 'ZeroDivisionError: division by zero',
      frames: [
        { line: 3, name: 'f' },
        { line: 4, name: '<module>' },
      ],
    });
  });
  it('finds a syntax error of Python, which has no traceback', () => {
    const log = '  File "/program/main.py", line 2\n    def f(:\n          ^\nSyntaxError: invalid syntax\n';
    expect(parseGuestError('python', log)).toEqual({
      message: 'SyntaxError: invalid syntax',
      frames: [{ line: 2 }],
    });
  });
  it('takes the last of several tracebacks', () => {
    const error = parseGuestError('python', `${python}${python.replace('line 3', 'line 2')}`);
    expect(error?.frames[0]?.line).toBe(2);
  });
  it('leaves frames of libraries out', () => {
    const log =
      'Traceback (most recent call last):\n  File "/program/main.py", line 1, in <module>\n    json.loads("")\n' +
      '  File "/lib/python3/json/decoder.py", line 345, in decode\nJSONDecodeError: Expecting value\n';
    expect(parseGuestError('python', log)?.frames).toEqual([{ line: 1, name: '<module>' }]);
  });
  it('finds line and column where JavaScript failed', () => {
    const log =
      'ReferenceError: undefinedThing is not defined\n    at f (/program/main.js:1:23)\n    at <anonymous> (/program/main.js:2:1)\n\n';
    expect(parseGuestError('javascript', log)).toEqual({
      message: 'ReferenceError: undefinedThing is not defined',
      frames: [
        { line: 1, column: 23, name: 'f' },
        { line: 2, column: 1, name: '<anonymous>' },
      ],
    });
  });
  it('finds a syntax error of JavaScript', () => {
    const log = "SyntaxError: unexpected token in expression: ')'\n    at /program/main.js:7:3\n";
    expect(parseGuestError('javascript', log)?.frames).toEqual([{ line: 7, column: 3 }]);
  });
  it('finds where WAT does not parse', () => {
    const text = 'the text: The WebAssembly text does not parse: expected `)` --> <anon>:1:14 | 1 | (module (func | ^';
    expect(parseGuestError('wat', text)).toEqual({ message: 'expected `)`', frames: [{ line: 1, column: 14 }] });
  });
  it('finds the function of WAT that trapped', () => {
    const source =
      '(module\n  (func $booms (call $boom))\n  (func $boom unreachable)\n  (func (export "_start") (call $boom)))';
    expect(watTrap('guest-failed: trap: unreachable in boom', source)).toEqual({
      message: 'trap: unreachable in boom',
      frames: [{ line: 3, name: 'boom' }],
    });
    for (const failure of [
      '',
      'trap: unreachable',
      'trap: unreachable in function 1',
      'trap: unreachable in other',
      'out of fuel',
    ])
      expect(watTrap(failure, source)).toBeNull();
  });
  it('drops lines that the source has not', () => {
    expect(parseGuestError('python', python, 3)?.frames).toEqual([{ line: 3, name: 'f' }]);
    expect(parseGuestError('python', python, 2)).toBeNull();
  });
  it('says nothing of a log that names no line', () => {
    for (const log of ['', 'hello', 'Traceback (most recent call last):', '\u0000'.repeat(100_000)])
      expect(parseGuestError('python', log)).toBeNull();
    expect(parseGuestError('javascript', 'Error: x\n    at native')).toBeNull();
  });
});
