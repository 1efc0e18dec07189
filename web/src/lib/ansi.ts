// Text with ANSI escapes, as spans to render: colours, bold, dim, italic and underline are kept, every other escape
// (cursor movement, titles, links, device control) is dropped.
//
// Bounds: one span per change of style, so at most as many as there are escapes. An escape that never ends takes the
// rest of the text, as it would in a terminal. Nothing here makes markup: spans are rendered as text.
import { visibleLines } from './visible';

export interface AnsiStyle {
  readonly color?: number; // 0 to 15
  readonly background?: number;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly italic?: boolean;
  readonly underline?: boolean;
}

export interface AnsiSpan {
  readonly text: string;
  readonly style: AnsiStyle;
}

export const plain: AnsiStyle = {};

// CSI, OSC and other strings with their terminators, then two-character escapes.
const escapes =
  /(?:\u001b\[|\u009b)([0-?]*)[ -/]*([@-~])?|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c|$)|\u001b[ -/]*[0-~]?/g;

const palette: readonly (readonly [number, number, number])[] = [
  [0, 0, 0],
  [170, 0, 0],
  [0, 170, 0],
  [170, 85, 0],
  [0, 0, 170],
  [170, 0, 170],
  [0, 170, 170],
  [170, 170, 170],
  [85, 85, 85],
  [255, 85, 85],
  [85, 255, 85],
  [255, 255, 85],
  [85, 85, 255],
  [255, 85, 255],
  [85, 255, 255],
  [255, 255, 255],
];

/** The sixteen colours have a legible shade in both themes; all others are shown as the nearest of them. */
function nearest(red: number, green: number, blue: number): number {
  let best = 7;
  let least = Infinity;
  palette.forEach(([r, g, b], index) => {
    const distance = (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
    if (distance < least) [best, least] = [index, distance];
  });
  return best;
}

function indexed(code: number): number {
  if (code < 16) return code;
  if (code >= 232) return nearest(...([8, 8, 8].map((base) => base + (code - 232) * 10) as [number, number, number]));
  const level = (value: number) => (value === 0 ? 0 : 55 + value * 40);
  const cube = code - 16;
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

/** The colour after 38 or 48, and how many codes it took. */
function extended(codes: readonly number[], at: number): [color: number | undefined, taken: number] {
  const isByte = (value: number | undefined): value is number => value !== undefined && value >= 0 && value <= 255;
  const index = codes[at + 1];
  if (codes[at] === 5) return [isByte(index) ? indexed(index) : undefined, 2];
  if (codes[at] !== 2) return [undefined, 1];
  const [red, green, blue] = codes.slice(at + 1, at + 4);
  return [isByte(red) && isByte(green) && isByte(blue) ? nearest(red, green, blue) : undefined, 4];
}

function without(style: AnsiStyle, ...names: (keyof AnsiStyle)[]): AnsiStyle {
  return Object.fromEntries(Object.entries(style).filter(([name]) => !names.includes(name as keyof AnsiStyle)));
}

function selectStyle(style: AnsiStyle, parameters: string): AnsiStyle {
  const codes = parameters.split(/[;:]/).map((text) => (text === '' ? 0 : Number(text)));
  for (let i = 0; i < codes.length; ++i) {
    const code = codes[i] ?? 0;
    if (code === 0) style = plain;
    else if (code === 1) style = { ...style, bold: true };
    else if (code === 2) style = { ...style, dim: true };
    else if (code === 3) style = { ...style, italic: true };
    else if (code === 4) style = { ...style, underline: true };
    else if (code === 22) style = without(style, 'bold', 'dim');
    else if (code === 23) style = without(style, 'italic');
    else if (code === 24) style = without(style, 'underline');
    else if (code >= 30 && code <= 37) style = { ...style, color: code - 30 };
    else if (code >= 90 && code <= 97) style = { ...style, color: code - 82 };
    else if (code === 39) style = without(style, 'color');
    else if (code >= 40 && code <= 47) style = { ...style, background: code - 40 };
    else if (code >= 100 && code <= 107) style = { ...style, background: code - 92 };
    else if (code === 49) style = without(style, 'background');
    else if (code === 38 || code === 48) {
      const [color, taken] = extended(codes, i + 1);
      i += taken;
      if (color !== undefined) style = { ...style, [code === 38 ? 'color' : 'background']: color };
    }
  }
  return style;
}

/** The spans of `text`, which begins in `style`, and the style in which it ends. */
export function parseAnsi(text: string, style: AnsiStyle = plain): { spans: AnsiSpan[]; style: AnsiStyle } {
  const spans: AnsiSpan[] = [];
  const add = (part: string) => {
    if (part !== '') spans.push({ text: visibleLines(part), style });
  };
  let from = 0;
  for (const match of text.matchAll(escapes)) {
    add(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === 'm' && /^[0-9;:]*$/.test(match[1] ?? '')) style = selectStyle(style, match[1] ?? '');
  }
  add(text.slice(from));
  return { spans, style };
}

/** The text alone, for searching. */
export function withoutAnsi(text: string): string {
  return text.replace(escapes, '');
}

export function ansiClass(style: AnsiStyle): string | undefined {
  const names: string[] = [];
  if (style.color !== undefined) names.push(`ansi-${style.color}`);
  if (style.background !== undefined) names.push(`ansi-bg-${style.background}`);
  for (const name of ['bold', 'dim', 'italic', 'underline'] as const) if (style[name]) names.push(`ansi-${name}`);
  return names.length > 0 ? names.join(' ') : undefined;
}
