import { describe, expect, it } from 'vitest';
import { mesh } from './commands';

describe('mesh', () => {
  it('leaves simple words as they are', () => {
    expect(mesh('job', 'stop', 'bafyreicc5')).toBe('mesh job stop bafyreicc5');
  });
  it('quotes what a shell would read', () => {
    expect(mesh('run', 'a b.py', '--label', "it's $(rm -rf ~)")).toBe(
      `mesh run 'a b.py' --label 'it'\\''s $(rm -rf ~)'`,
    );
    expect(mesh('run', '')).toBe("mesh run ''");
  });
  it('leaves out what is not there, and lets no control through', () => {
    expect(mesh('run', 'f.py', false, null, undefined, '--fee', 0)).toBe('mesh run f.py --fee 0');
    expect(mesh('run', 'a\nrm -rf')).toBe("mesh run 'a␊rm -rf'");
  });
});
