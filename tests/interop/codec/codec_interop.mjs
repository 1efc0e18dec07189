// Compares Meshwork's codecs with the JavaScript ones of the IPFS project, on generated values and hostile bytes.
// usage: node codec_interop.mjs PATH_OF_codec_interop NODE_MODULES_PARENT [SEED]   (without SEED, another each time)
//
// The oracle for bytes: they are acceptable when the other implementation decodes them and its canonical encoding of
// what it decoded is the same bytes. Where Meshwork is stricter or wider on purpose, it is said below.
import { spawnSync } from 'node:child_process';
import { randomBytes, createHash } from 'node:crypto';
import { packagesOf } from '../packages.mjs';

const [program, modules, seedText] = process.argv.slice(2);
const load = packagesOf(modules);
const dagCbor = await load('@ipld/dag-cbor');
const dagPb = await load('@ipld/dag-pb');
const { CarReader, CarWriter } = await load('@ipld/car');
const { importer } = await load('ipfs-unixfs-importer');
const { CID } = await load('multiformats/cid');
const digests = await load('multiformats/hashes/digest');
const { base58btc } = await load('multiformats/bases/base58');
const { base16 } = await load('multiformats/bases/base16');
const { base32 } = await load('multiformats/bases/base32');
const { base64url } = await load('multiformats/bases/base64');

const seed = seedText === undefined ? randomBytes(4).readUInt32LE() : Number(seedText);
let state = seed >>> 0;
const random = (bound) => {
  // mulberry32
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * bound);
};
const bytes = (size) => Uint8Array.from({ length: size }, () => random(256));
const hex = (view) => Buffer.from(view).toString('hex');
const unhex = (text) => Uint8Array.from(Buffer.from(text, 'hex'));
const sha256 = (view) => digests.create(0x12, createHash('sha256').update(view).digest());
const cidOf = (codec, view) => CID.createV1(codec, sha256(view));

const texts = ['', 'a', 'aa', 'b', 'zebra', 'ü', '€', '😀', 'e\u0301', '\u0000', 'key with space', 'x'.repeat(30)];
const randomCid = () => {
  const kind = random(5);
  if (kind === 0) return CID.createV0(sha256(bytes(4)));
  if (kind === 1) return CID.createV1(0x55, digests.create(0, bytes(random(20))));
  return cidOf([0x55, 0x70, 0x71][random(3)], bytes(4));
};
const randomValue = (depth) => {
  switch (random(depth > 0 ? 11 : 9)) {
    case 0:
      return null;
    case 1:
      return random(2) === 0;
    case 2:
      return random(2 ** [4, 8, 16, 31][random(4)]);
    case 3:
      return -1 - random(2 ** [4, 8, 16, 31][random(4)]);
    case 4:
      return BigInt.asUintN(64, BigInt(random(2 ** 32)) * BigInt(random(2 ** 32) + 1)) * (random(2) === 0 ? 1n : -1n);
    case 5:
      return ((random(2 ** 32) - 2 ** 31) / 7) * 10 ** (random(40) - 20);
    case 6:
      return bytes(random(30));
    case 7:
      return texts[random(texts.length)];
    case 8:
      return randomCid();
    case 9:
      return Array.from({ length: random(6) }, () => randomValue(depth - 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random(6) }, () => [texts[random(texts.length)] + random(30), randomValue(depth - 1)]),
      );
  }
};
const randomNode = () => {
  const links = Array.from({ length: random(5) }, () => {
    const link = { Hash: randomCid() };
    if (random(4) > 0) link.Name = texts[random(texts.length)];
    if (random(4) > 0) link.Tsize = random(2 ** 31);
    return link;
  });
  const node = { Links: links };
  if (random(3) > 0) node.Data = bytes(random(20));
  return dagPb.prepare(node);
};
const mutate = (view) => {
  const out = Array.from(view);
  for (let edits = 1 + random(3); edits > 0; --edits) {
    const at = random(out.length + 1);
    switch (random(5)) {
      case 0:
        out.splice(at, 1);
        break;
      case 1:
        out.splice(at, 0, random(256));
        break;
      case 2:
        out.length = at;
        break;
      case 3:
        out.splice(at, 0, ...out.slice(at, at + 1 + random(12)));
        break;
      default:
        if (at < out.length) out[at] = [random(256), out[at] ^ (1 << random(8)), 0, 0xff][random(4)];
    }
  }
  return Uint8Array.from(out);
};

const canonical = (codec, view) => {
  try {
    return hex(codec.encode(codec.decode(view))) === hex(view);
  } catch {
    return false;
  }
};
const pbOk = (view) => canonical(dagPb, view);
// JavaScript has one type for 1 and 1.0, so what holds a whole number as a float cannot be judged here: undefined.
const cborOk = (view) => {
  if (canonical(dagCbor, view)) return true;
  if (!view.includes(0xfb)) return false;
  try {
    dagCbor.decode(view);
    return undefined;
  } catch {
    return false;
  }
};
const questions = [];
const ask = (question, check) => questions.push({ question, check });
let failures = 0;
const expect = (condition, what, question, answer) => {
  if (condition) return;
  failures += 1;
  if (failures <= 20)
    console.error(
      `seed ${seed}: ${what}\n  question ${JSON.stringify(question)}\n  answer   ${JSON.stringify(answer)}`,
    );
};
const counts = { accepted: 0, refused: 0 };
const askBlock = (op, code, view, acceptable) =>
  acceptable !== undefined &&
  ask({ op, hex: hex(view) }, (question, answer) => {
    counts[acceptable ? 'accepted' : 'refused'] += 1;
    expect(
      answer.ok === acceptable,
      acceptable ? 'refused what is canonical' : 'accepted what is not',
      question,
      answer,
    );
    if (answer.ok) {
      expect(answer.hex === question.hex, 'another encoding', question, answer);
      expect(answer.cid === cidOf(code, view).toString(), 'another CID', question, answer);
    }
  });

for (let i = 0; i < 3000; ++i) {
  const cbor = dagCbor.encode(randomValue(4));
  askBlock('dag-cbor', 0x71, cbor, true);
  const bad = mutate(cbor);
  askBlock('dag-cbor', 0x71, bad, cborOk(bad));
  const pb = dagPb.encode(randomNode());
  askBlock('dag-pb', 0x70, pb, true);
  const badPb = mutate(pb);
  askBlock('dag-pb', 0x70, badPb, pbOk(badPb));
  const noise = bytes(random(12));
  askBlock('dag-cbor', 0x71, noise, cborOk(noise));
  askBlock('dag-pb', 0x70, noise, pbOk(noise));
}
for (const text of [
  '1800',
  '190017',
  '1a00000017',
  '1b0000000000000017',
  '5801aa',
  '9fff',
  'bfff',
  '5fff',
  '7fff',
  'f7',
  'f0',
  'f93c00',
  'fa3f800000',
  'fb7ff8000000000000',
  'fb7ff0000000000000',
  'c001',
  'c11a514b67b0',
  'd82a4100',
  'd82a60',
  'a2616101616102',
  'a2616201616102',
  'a10102',
  'a1f601',
  '61ff',
  '62c328',
  '63eda080',
  '0000',
  '',
  '81',
  'a1',
  '9b8000000000000000',
  '5b8000000000000000',
  'bb8000000000000000',
  '7bffffffffffffffff',
  '1bffffffffffffffff',
  '3bffffffffffffffff',
  '3b7fffffffffffffff',
  'f4',
  'f5',
  'f6',
  'f8ff',
  'fb8000000000000000',
]) {
  askBlock('dag-cbor', 0x71, unhex(text), cborOk(unhex(text)));
}

for (let i = 0; i < 200; ++i) {
  const cid = cidOf([0x55, 0x70, 0x71][random(3)], bytes(8));
  const v0 = CID.createV0(sha256(bytes(8)));
  const check = (wanted) => (question, answer) =>
    expect(answer.ok && answer.cid === wanted, 'another CID', question, answer);
  for (const text of [cid.toString(), cid.toString(base58btc), cid.toString(base16), cid.toString(base64url)]) {
    ask({ op: 'cid', text }, check(cid.toString()));
    const at = 1 + random(text.length - 1);
    const changed = text.slice(0, at) + 'abcXYZ019_-=+ '[random(14)] + text.slice(at + 1);
    let wanted;
    try {
      // Through its bytes, since a parsed CID remembers its text, and in letters of either case.
      const parsed = CID.decode(
        CID.parse(changed, base32.decoder.or(base58btc.decoder).or(base16.decoder).or(base64url.decoder)).bytes,
      );
      const ours =
        parsed.version === 1 &&
        [0x55, 0x70, 0x71].includes(parsed.code) &&
        parsed.multihash.code === 0x12 &&
        parsed.multihash.size === 32;
      const prefix = { b: undefined, z: base58btc, f: base16, u: base64url }[changed[0]];
      wanted = ours && parsed.toString(prefix) === changed ? parsed.toString() : undefined;
    } catch {
      wanted = undefined;
    }
    ask({ op: 'cid', text: changed }, (question, answer) =>
      expect(
        answer.ok === (wanted !== undefined) && (!answer.ok || answer.cid === wanted),
        'CID text',
        question,
        answer,
      ),
    );
  }
  ask({ op: 'cid', text: v0.toString() }, check(v0.toV1().toString()));
}

const carOf = async (roots, blocks) => {
  const { writer, out } = CarWriter.create(roots);
  const parts = [];
  const drained = (async () => {
    for await (const part of out) parts.push(part);
  })();
  for (const block of blocks) await writer.put(block);
  await writer.close();
  await drained;
  return new Uint8Array(Buffer.concat(parts));
};
for (let i = 0; i < 100; ++i) {
  const blocks = Array.from({ length: random(6) }, () => bytes(random(300))).map((view) => ({
    cid: cidOf([0x55, 0x70, 0x71][random(3)], view),
    bytes: view,
  }));
  const car = await carOf(
    Array.from({ length: 1 + random(3) }, () => cidOf(0x71, bytes(3))),
    blocks,
  );
  ask({ op: 'car', hex: hex(car) }, (question, answer) =>
    expect(answer.ok && answer.hex === question.hex, 'another CAR', question, answer),
  );
  const bad = mutate(car);
  let readable = false;
  try {
    const reader = await CarReader.fromBytes(bad);
    const again = [];
    readable = true;
    // What CarReader leaves to its caller, Meshwork checks: hashes, and that a root and a block can be named.
    for await (const { cid, bytes: view } of reader.blocks()) {
      again.push({ cid, bytes: view });
      if (
        cid.multihash.code !== 0x12 ||
        ![0x55, 0x70, 0x71].includes(cid.code) ||
        hex(sha256(view).bytes) !== hex(cid.multihash.bytes)
      )
        readable = false;
    }
    const roots = await reader.getRoots();
    if (
      roots.length === 0 ||
      roots.some(
        (cid) => cid.multihash.code !== 0x12 || cid.multihash.size !== 32 || ![0x55, 0x70, 0x71].includes(cid.code),
      )
    )
      readable = false;
    if (readable) readable = hex(await carOf(roots, again)) === hex(bad);
  } catch {
    readable = false;
  }
  ask({ op: 'car', hex: hex(bad) }, (question, answer) =>
    expect(answer.ok === readable, readable ? 'refused a good CAR' : 'accepted a bad CAR', question, answer),
  );
}

const mib = 1 << 20;
for (const size of [0, 1, 255, mib - 1, mib, mib + 1, 2 * mib, 3 * mib + random(mib)]) {
  const content = randomBytes(size);
  let last;
  for await (const entry of importer(
    [{ content: [content] }],
    { put: async (cid) => cid },
    { profile: 'unixfs-v1-2025' },
  ))
    last = entry;
  ask({ op: 'file', hex: hex(content) }, (question, answer) =>
    expect(
      answer.ok && answer.cid === last.cid.toString() && BigInt(answer.total_bytes) === last.size,
      `a file of ${size} bytes`,
      { op: 'file', size },
      answer,
    ),
  );
}

const result = spawnSync(program, {
  input: questions.map(({ question }) => JSON.stringify(question)).join('\n') + '\n',
  maxBuffer: 1 << 30,
  encoding: 'utf8',
});
if (result.status !== 0) {
  console.error(`seed ${seed}: codec_interop ended with ${result.status ?? result.signal}: ${result.stderr}`);
  process.exit(1);
}
const answers = result.stdout.trimEnd().split('\n');
if (answers.length !== questions.length) {
  console.error(`seed ${seed}: ${questions.length} questions but ${answers.length} answers`);
  process.exit(1);
}
answers.forEach((line, i) => questions[i].check(questions[i].question, JSON.parse(line)));
console.log(
  `${questions.length} questions, seed ${seed}; blocks to accept ${counts.accepted}, to refuse ${counts.refused}; ${failures} differences`,
);
process.exit(failures === 0 ? 0 : 1);
