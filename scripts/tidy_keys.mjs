// Prints "KEY BUILD FILE" for every source of ours below UNDER that the build folder BUILD compiles: what clang-tidy says
// of FILE depends on KEY alone. Writes BUILD/tidy/compile_commands.json, where each source is once: clang-tidy looks at a
// source again for each of its commands, and those that are compiled anew with bugs in them (base/planted.h) have two.
// usage: node tidy_keys.mjs ROOT BUILD UNDER RULES...     run in ROOT; RULES are files that concern every source
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const [root, folder, under, ...rules] = process.argv.slice(2);
const build = join(root, folder);
const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
const ours = (file) => !relative(root, file).startsWith('..') && !relative(root, file).startsWith('build');

// Tracked files and new ones that are not ignored.
const listed = (...patterns) =>
  execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', ...patterns], {
    cwd: root,
  })
    .toString()
    .split('\0')
    .filter((name) => name && existsSync(join(root, name)));
const headers = new Set(listed('*.h'));
const bridge = listed('crates/*.rs', 'crates/*.h', 'crates/Cargo.lock');

// What a file includes is named from the root, from src/ or, among tests and benchmarks, from its own folder. What is none
// of these comes out of the Rust build, and all that it is built from counts.
const known = new Map();
const look = (name) => {
  let found = known.get(name);
  if (!found) {
    const text = readFileSync(join(root, name), 'utf8');
    const places = [...text.matchAll(/^\s*#\s*include "([^"]+)"/gm)].map(([, path]) =>
      [path, join('src', path), join(dirname(name), path)].find((place) => headers.has(place)),
    );
    const includes = places.flatMap((place) => (place ? [place] : bridge));
    known.set(name, (found = { digest: digest(text), includes: name.startsWith('crates/') ? [] : includes }));
  }
  return found;
};
const reached = (source) => {
  const seen = new Set([source]);
  for (const name of seen) for (const next of look(name).includes) seen.add(next);
  return [...seen].sort();
};

const commands = new Map();
for (const entry of JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'))) {
  const source = resolve(entry.directory, entry.file);
  if (ours(source) && relative(root, source).startsWith(under) && !commands.has(source)) commands.set(source, entry);
}
mkdirSync(join(build, 'tidy'), { recursive: true });
writeFileSync(join(build, 'tidy', 'compile_commands.json'), JSON.stringify([...commands.values()], null, 1));
for (const [source, { command }] of commands) {
  const files = [...rules, ...reached(relative(root, source))];
  const parts = files.map((name) => `${name} ${look(name).digest}`);
  parts.push(command.replaceAll(root, '.'));
  console.log(`${digest(parts.join('\n'))} ${folder} ${relative(root, source)}`);
}
