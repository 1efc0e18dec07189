// Kernels of real work, to see what metering costs where the time is spent: each export does `rounds` rounds and gives a
// checksum, so that nothing is optimised away and two ways of running it can be compared. Freestanding: no host calls.
#define EXPORT(name) __attribute__((export_name(#name)))

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

static u32 next(u32* state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

// SHA-256 (FIPS 180-4) over 4 KiB a round.

static const u32 round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static u32 rotated(u32 value, int by) { return value >> by | value << (32 - by); }

static void compress(u32 state[8], const u8* block) {
  u32 w[64];
  for (int i = 0; i < 16; ++i) {
    w[i] = (u32)block[4 * i] << 24 | (u32)block[4 * i + 1] << 16 | (u32)block[4 * i + 2] << 8 | block[4 * i + 3];
  }
  for (int i = 16; i < 64; ++i) {
    const u32 low = rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3;
    const u32 high = rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + low + w[i - 7] + high;
  }
  u32 v[8];
  for (int i = 0; i < 8; ++i) v[i] = state[i];
  for (int i = 0; i < 64; ++i) {
    const u32 e = rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25);
    const u32 a = rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22);
    const u32 one = v[7] + e + ((v[4] & v[5]) ^ (~v[4] & v[6])) + round_constants[i] + w[i];
    const u32 two = a + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    for (int k = 7; k > 0; --k) v[k] = v[k - 1];
    v[4] += one;
    v[0] = one + two;
  }
  for (int i = 0; i < 8; ++i) state[i] += v[i];
}

EXPORT(sha256) u32 sha256(u32 rounds) {
  static u8 data[4096];
  u32 random = 7;
  for (int i = 0; i < 4096; ++i) data[i] = (u8)next(&random);
  u32 state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  for (u32 r = 0; r < rounds; ++r) {
    for (int at = 0; at < 4096; at += 64) compress(state, data + at);
  }
  return state[0] ^ state[7];
}

// Bodies that attract each other, in floating point: 100 steps a round.

enum { bodies = 5 };

EXPORT(nbody) u32 nbody(u32 rounds) {
  double at[bodies][3], speed[bodies][3], mass[bodies];
  u32 random = 11;
  for (int i = 0; i < bodies; ++i) {
    mass[i] = 1 + next(&random) % 100;
    for (int d = 0; d < 3; ++d) {
      at[i][d] = (double)(next(&random) % 10000);
      speed[i][d] = 0;
    }
  }
  for (u32 step = 0; step < rounds * 100; ++step) {
    for (int i = 0; i < bodies; ++i) {
      for (int j = i + 1; j < bodies; ++j) {
        double between[3], squared = 1;
        for (int d = 0; d < 3; ++d) {
          between[d] = at[i][d] - at[j][d];
          squared += between[d] * between[d];
        }
        const double pull = 0.01 / (squared * __builtin_sqrt(squared));
        for (int d = 0; d < 3; ++d) {
          speed[i][d] -= between[d] * mass[j] * pull;
          speed[j][d] += between[d] * mass[i] * pull;
        }
      }
    }
    for (int i = 0; i < bodies; ++i) {
      for (int d = 0; d < 3; ++d) at[i][d] += 0.01 * speed[i][d];
    }
  }
  double sum = 0;
  for (int i = 0; i < bodies; ++i) sum += at[i][0] + at[i][1] + at[i][2];
  return (u32)(long long)(sum * 1000);
}

// Heap sort of 4,096 numbers a round: branches that no predictor knows, memory in no order.

enum { sorted_numbers = 4096 };

static void sift(u32* values, u32 root, u32 count) {
  const u32 value = values[root];
  for (u32 child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && values[child] < values[child + 1]) ++child;
    if (values[child] <= value) break;
    values[root] = values[child];
    values[child] = value;
  }
}

EXPORT(sort) u32 sort(u32 rounds) {
  static u32 values[sorted_numbers];
  u32 random = 13, sum = 0;
  for (u32 r = 0; r < rounds; ++r) {
    for (int i = 0; i < sorted_numbers; ++i) values[i] = next(&random);
    for (u32 i = sorted_numbers / 2; i-- > 0;) sift(values, i, sorted_numbers);
    for (u32 count = sorted_numbers - 1; count > 0; --count) {
      const u32 largest = values[0];
      values[0] = values[count];
      values[count] = largest;
      sift(values, 0, count);
    }
    for (int i = 1; i < sorted_numbers; ++i) sum += values[i - 1] <= values[i] ? values[i] ^ (u32)i : 1000000007U;
  }
  return sum;
}

// JSON (RFC 8259): about 8 KiB of text written once, then read a round: structure, numbers and strings.

static u8 text[16384];
static u32 text_bytes;

static void put(const char* words) {
  while (*words) text[text_bytes++] = (u8)*words++;
}

static void put_number(u32 value) {
  u8 digits[10];
  int count = 0;
  do digits[count++] = (u8)('0' + value % 10);
  while ((value /= 10) != 0);
  while (count > 0) text[text_bytes++] = digits[--count];
}

static void write_json(void) {
  u32 random = 17;
  text_bytes = 0;
  put("[");
  for (int i = 0; i < 100; ++i) {
    put(i > 0 ? ",{\"id\": " : "{\"id\": ");
    put_number((u32)i);
    put(", \"name\": \"node \\\"");
    put_number(next(&random));
    put("\\\"\", \"open\": ");
    put(next(&random) % 2 ? "true" : "false");
    put(", \"times\": [");
    put_number(next(&random) % 1000);
    put(", ");
    put_number(next(&random));
    put("], \"of\": null}");
  }
  put("]");
}

typedef struct {
  u32 at, sum, bad;
} Reader;

static void skip_space(Reader* reader) {
  while (reader->at < text_bytes && (text[reader->at] == ' ' || text[reader->at] == '\n')) ++reader->at;
}

static int take(Reader* reader, u8 wanted) {
  skip_space(reader);
  if (reader->at >= text_bytes || text[reader->at] != wanted) return 0;
  ++reader->at;
  return 1;
}

static void read_string(Reader* reader) {
  while (reader->at < text_bytes) {
    u8 letter = text[reader->at++];
    if (letter == '"') return;
    if (letter == '\\' && reader->at < text_bytes) letter = text[reader->at++];
    reader->sum = reader->sum * 31 + letter;
  }
  reader->bad = 1;
}

static void read_value(Reader* reader, int depth) {
  if (depth > 32) {
    reader->bad = 1;
    return;
  }
  if (take(reader, '"')) {
    read_string(reader);
  } else if (take(reader, '[')) {
    if (take(reader, ']')) return;
    do read_value(reader, depth + 1);
    while (!reader->bad && take(reader, ','));
    if (!take(reader, ']')) reader->bad = 1;
  } else if (take(reader, '{')) {
    if (take(reader, '}')) return;
    do {
      if (!take(reader, '"')) reader->bad = 1;
      read_string(reader);
      if (!take(reader, ':')) reader->bad = 1;
      read_value(reader, depth + 1);
    } while (!reader->bad && take(reader, ','));
    if (!take(reader, '}')) reader->bad = 1;
  } else {  // a number or a word
    skip_space(reader);
    const u32 begin = reader->at;
    u32 value = 0;
    while (reader->at < text_bytes && text[reader->at] >= '0' && text[reader->at] <= '9') {
      value = value * 10 + (text[reader->at++] - '0');
    }
    while (reader->at < text_bytes && text[reader->at] >= 'a' && text[reader->at] <= 'z') value += text[reader->at++];
    reader->sum += value;
    if (reader->at == begin) reader->bad = 1;
  }
}

EXPORT(json) u32 json(u32 rounds) {
  write_json();
  u32 sum = 0;
  for (u32 r = 0; r < rounds; ++r) {
    Reader reader = {0, 0, 0};
    read_value(&reader, 0);
    skip_space(&reader);
    sum += reader.bad || reader.at != text_bytes ? 1000000007U : reader.sum + r;
  }
  return sum;
}
