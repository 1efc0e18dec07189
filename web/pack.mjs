// Packs a built dashboard into one file: "meshweb1", the length of the index (4 bytes, little-endian), the index as JSON, and
// each file as gzip (src/app/api/dashboard.h reads it). The same files give the same bytes.
// usage: node pack.mjs FOLDER OUTPUT
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import { gzipSync } from 'node:zlib';

const types = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.ttf': 'font/ttf',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
};
const maxFileBytes = 16 << 20;

const [folder, output] = process.argv.slice(2);
if (!output) {
  console.error('usage: node pack.mjs FOLDER OUTPUT');
  process.exit(2);
}

const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
  .sort();
const index = [];
const parts = [];
let offset = 0;
for (const name of files) {
  const type = types[extname(name)];
  if (!type || !/^[A-Za-z0-9._/-]+$/.test(name)) throw new Error(`${name}: no file that the dashboard should have`);
  const bytes = readFileSync(join(folder, name));
  if (bytes.length > maxFileBytes) throw new Error(`${name} has ${bytes.length} bytes, more than ${maxFileBytes}`);
  const packed = gzipSync(bytes, { level: 9 });
  const etag = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
  index.push({ path: `/${name}`, type, etag, bytes: bytes.length, offset, length: packed.length });
  parts.push(packed);
  offset += packed.length;
}
const text = Buffer.from(JSON.stringify(index));
const length = Buffer.alloc(4);
length.writeUInt32LE(text.length);
writeFileSync(output, Buffer.concat([Buffer.from('meshweb1'), length, text, ...parts]));
