// Numbers, sizes, times and names for people. All pure; nothing throws for a number that is none.

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function count(value: number): string {
  return Number.isFinite(value) ? grouped.format(value) : '–';
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function bytes(value: number): string {
  if (!Number.isFinite(value) || value < 0) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    ++unit;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

export function compact(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const units: [number, string][] = [
    [1e12, ' T'],
    [1e9, ' G'],
    [1e6, ' M'],
    [1e3, ' k'],
  ];
  for (const [size, name] of units) {
    if (Math.abs(value) >= size) return (value / size).toPrecision(3) + name;
  }
  return String(value);
}

export function duration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return '–';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)} min`;
  return `${Math.floor(seconds / 3600)}:${two(Math.floor((seconds % 3600) / 60))} h`;
}

export function roundTrip(microseconds: number): string {
  if (!Number.isFinite(microseconds) || microseconds <= 0) return '–';
  if (microseconds < 1000) return `${Math.round(microseconds)} µs`;
  if (microseconds >= 999_500) return `${(microseconds / 1_000_000).toFixed(1)} s`;
  return `${(microseconds / 1000).toPrecision(3)} ms`;
}

/** The time of day with milliseconds; the date as well where it is another day. */
export function clock(time: string, now = new Date()): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return '–';
  const two = (value: number, width = 2) => String(value).padStart(width, '0');
  const day =
    date.toDateString() === now.toDateString()
      ? ''
      : `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} `;
  const of = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day}${of}.${two(date.getMilliseconds(), 3)}`;
}

export function ago(time: string, now = Date.now()): string {
  const ms = now - Date.parse(time);
  if (Number.isNaN(ms)) return '–';
  if (ms < 5_000) return 'just now';
  if (ms < 60_000) return `${Math.floor(ms / 1000)} s ago`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ago`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ago`;
  return `${plural(Math.floor(ms / 86_400_000), 'day')} ago`;
}

/** As the command line shortens a PeerId: its last eight characters, since all keys of a kind begin alike. */
export function shortPeer(peer: string): string {
  return peer.slice(-8);
}

/** A CID or hash by its beginning and end. */
export function shortCid(cid: string): string {
  return cid.length <= 20 ? cid : `${cid.slice(0, 8)}…${cid.slice(-6)}`;
}

/** A job's id as the command line takes and prints it. */
export function shortId(id: string): string {
  return id.slice(0, 16);
}

const decimal = /^[0-9]{1,20}$/;

/** Micro-credits as decimal text (more than a JSON number holds) in credits. */
export function credits(micros: string): string {
  if (!decimal.test(micros)) return '–';
  const padded = micros.padStart(7, '0');
  const whole = padded.slice(0, -6).replace(/^0+(?=\d)/, '');
  const part = padded.slice(-6).replace(/0+$/, '');
  return `${whole.replace(/\B(?=(\d{3})+$)/g, ',')}${part === '' ? '' : `.${part}`}`;
}

const maxAmount = (1n << 64n) - 1n;

/** Credits as typed, at most six decimals, in micro-credits. Errors: one sentence. */
export function parseCredits(text: string): { micros: string } | { error: string } {
  const match = /^([0-9]{1,14})(?:\.([0-9]{1,6}))?$/.exec(text.trim());
  if (!match) return { error: 'An amount is a number of credits with at most six decimals, such as 1.5.' };
  const micros = BigInt(match[1] ?? '0') * 1_000_000n + BigInt((match[2] ?? '').padEnd(6, '0'));
  if (micros === 0n) return { error: 'The amount must be more than nothing.' };
  if (micros > maxAmount) return { error: 'No ledger holds that much.' };
  return { micros: micros.toString() };
}
