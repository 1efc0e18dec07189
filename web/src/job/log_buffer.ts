// The lines of a job's log, in the order in which they came. A piece may end inside of a line, which is then put
// together with what its shard says next.
//
// Bounds: maxLines and maxChars, of which the oldest go first; a line longer than maxLine is broken.
export interface LogLine {
  readonly number: number;
  readonly shard: number;
  readonly peer: string | null;
  readonly text: string;
}

export const maxLines = 50_000;
export const maxChars = 16 << 20;
export const maxLine = 8192;

export class LogBuffer {
  private lines: LogLine[] = [];
  private chars = 0;
  private next = 1;
  private readonly open = new Map<number, { peer: string | null; text: string }>();
  leftOut = 0;

  push(shard: number, peer: string | null, text: string): void {
    const pieces = ((this.open.get(shard)?.text ?? '') + text).split(/\r?\n/);
    let rest = pieces.pop() ?? '';
    for (const piece of pieces) this.addBroken(shard, peer, piece);
    while (rest.length > maxLine) {
      this.add(shard, peer, rest.slice(0, maxLine));
      rest = rest.slice(maxLine);
    }
    if (rest === '') this.open.delete(shard);
    else this.open.set(shard, { peer, text: rest });
    this.cut();
  }

  /** All lines, those that are not ended yet at last. */
  view(): readonly LogLine[] {
    let number = this.next;
    const unended = [...this.open].map(([shard, { peer, text }]) => ({ number: number++, shard, peer, text }));
    return [...this.lines, ...unended];
  }

  /** Drops what came of a shard, whose log comes anew. */
  forget(shard: number): void {
    this.open.delete(shard);
    this.lines = this.lines.filter((line) => line.shard !== shard);
    this.chars = this.lines.reduce((sum, line) => sum + line.text.length, 0);
  }

  private addBroken(shard: number, peer: string | null, text: string): void {
    for (let at = 0; at === 0 || at < text.length; at += maxLine) this.add(shard, peer, text.slice(at, at + maxLine));
  }
  private add(shard: number, peer: string | null, text: string): void {
    this.lines.push({ number: this.next++, shard, peer, text });
    this.chars += text.length;
  }
  private cut(): void {
    let over = Math.max(0, this.lines.length - maxLines);
    let chars = this.chars;
    for (let i = 0; i < over; ++i) chars -= this.lines[i]?.text.length ?? 0;
    while (chars > maxChars && over < this.lines.length) chars -= this.lines[over++]?.text.length ?? 0;
    if (over === 0) return;
    this.lines = this.lines.slice(over);
    this.chars = chars;
    this.leftOut += over;
  }
}
