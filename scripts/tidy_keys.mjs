// Prints "KEY BUILD FILE" for every source of ours below UNDER that the build folder BUILD compiles: what clang-tidy says
// of FILE depends on KEY alone.
// usage: node tidy_keys.mjs ROOT BUILD UNDER RULES...     run in ROOT; RULES are files that concern every source
//
// The headers that a source reads are those that the compiler named when it was last built. Where it was not built
// since, all headers of ours count.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

const [root, folder, under, ...rules] = process.argv.slice(2);
const build = join(root, folder);
const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
const known = new Map();
const contents = (file) => {
  if (!known.has(file)) known.set(file, digest(readFileSync(file)));
  return known.get(file);
};
const ours = (file) => !relative(root, file).startsWith('..') && !relative(root, file).startsWith('build');

const read = new Map();
let names;
for (const line of execFileSync('ninja', ['-C', build, '-t', 'deps'], { maxBuffer: 2 ** 30 })
  .toString()
  .split('\n')) {
  const head = /^(\S.*): #deps \d+, deps mtime \d+ \((\w+)\)$/.exec(line);
  if (head) read.set(head[1], (names = { valid: head[2] === 'VALID', files: [] }));
  else if (line.startsWith('    ')) names?.files.push(resolve(build, line.trim()));
}
const git = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', '*.h'];
const headers = execFileSync('git', git, { cwd: root }).toString().split('\0').filter(Boolean);
const allHeaders = headers.map((name) => join(root, name)).filter(existsSync);

const commands = JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'));
const seen = new Set(); // clang-tidy looks at a source once for each of its commands
for (const { file, directory, command } of commands) {
  const source = resolve(directory, file);
  if (!ours(source) || !relative(root, source).startsWith(under) || seen.has(source)) continue;
  seen.add(source);
  const output = / -o (\S+)/.exec(command)?.[1];
  const object = output && join(build, output);
  let used = allHeaders;
  if (object && read.get(output)?.valid && existsSync(object)) {
    const files = read
      .get(output)
      .files.filter(existsSync)
      .map((name) => realpathSync(name));
    const built = statSync(object).mtimeMs;
    if (files.every((name) => statSync(name).mtimeMs <= built)) used = files.filter(ours);
  }
  const parts = [...rules, ...new Set([source, ...used].sort())].map(
    (name) => `${relative(root, name)} ${contents(name)}`,
  );
  for (const other of commands) {
    if (resolve(other.directory, other.file) === source) parts.push(other.command.replaceAll(root, '.'));
  }
  console.log(`${digest(parts.join('\n'))} ${folder} ${relative(root, source)}`);
}
