// Copies the interpreters out of where npm put them, checks every digest and writes catalogue.json beside them.
// usage: node runtimes.mjs RUNTIMES_DIR NODE_MODULES BUILT_DIR OUTPUT_DIR
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const [runtimes, modules, built, output] = process.argv.slice(2);
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

function readChecked(path, expected) {
  const bytes = readFileSync(path);
  const found = sha256(bytes);
  if (found !== expected) {
    throw new Error(`${path} has SHA-256 ${found}, not the pinned ${expected}; remove the npm cache and run again.`);
  }
  return bytes;
}

/** A ustar archive of plain files, the same bytes for the same files: no dates, no owners. */
function tar(files) {
  const blocks = [];
  for (const { name, bytes } of files) {
    if (Buffer.byteLength(name) > 99) throw new Error(`${name}: the name is too long for the archive.`);
    const header = Buffer.alloc(512);
    const field = (text, offset) => header.write(text, offset, 'ascii');
    field(name, 0);
    field('0000644\0', 100);
    field('0000000\0', 108);
    field('0000000\0', 116);
    field(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124);
    field('00000000000\0', 136);
    field('        ', 148);
    field('0', 156);
    field('ustar\x0000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    field(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    blocks.push(header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  blocks.push(Buffer.alloc(1024));
  return Buffer.concat(blocks);
}

/** What a pre-started Python has imported: it carries the list as text (python/_mesh_snapshot.py). */
function libraryOf(bytes, name) {
  for (let at = bytes.indexOf('mesh-library:{'); at >= 0; at = bytes.indexOf('mesh-library:{', at + 1)) {
    const end = bytes.indexOf('}:mesh-library', at);
    if (end < 0) break;
    const text = bytes.subarray(at + 'mesh-library:'.length, end + 1).toString('utf8');
    try {
      return JSON.parse(text);
    } catch {
      continue; // The source's own words, say.
    }
  }
  throw new Error(`${name} does not say what it has imported; was it built from runtimes/python?`);
}

function rootOf(from) {
  if (from.folder) {
    const folder = join(runtimes, from.folder);
    const files = readdirSync(folder).sort();
    return tar(files.map((name) => ({ name: `${from.folder}/${name}`, bytes: readFileSync(join(folder, name)) })));
  }
  return gunzipSync(readChecked(join(modules, from.npm, from.path), from.sha256));
}

const sources = JSON.parse(readFileSync(join(runtimes, 'sources.json'), 'utf8'));
const catalogue = sources.runtimes.map(({ from, root_from: rootFrom, ...entry }) => {
  let bytes;
  if (from.npm) {
    bytes = readChecked(join(modules, from.npm, from.path), entry.sha256);
  } else {
    bytes = readFileSync(join(built, from.built));
    // Without a digest: what it is made of is pinned, and two builds of it differ.
    if (entry.sha256 && sha256(bytes) !== entry.sha256) {
      console.error(
        `note: ${entry.file} is not byte for byte the one whose digest is recorded; its sources are the pinned ones. ` +
          'Nodes name it by what it is, so only caches are shared less.',
      );
    }
  }
  writeFileSync(join(output, entry.file), bytes);
  const result = { ...entry, sha256: sha256(bytes), size: bytes.length };
  if (from.library) result.library = libraryOf(bytes, entry.file);
  if (rootFrom) {
    const root = rootOf(rootFrom);
    writeFileSync(join(output, entry.root), root);
    result.root_sha256 = sha256(root);
    result.root_size = root.length;
  }
  return result;
});
writeFileSync(join(output, 'catalogue.json'), `${JSON.stringify({ runtimes: catalogue }, null, 2)}\n`);
