// What a view can be saved as. The bytes of the result itself are always saved as they are.

import { printableLine } from './printable';
import type { Table } from './table';
import type { Work } from './work';

/** A text that a spreadsheet would run as a formula gets an apostrophe before it, as OWASP advises. */
export function csvField(text: string, isNumber: boolean): string {
  const safe = !isNumber && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const MAX_CELL = 1 << 20;
const ROWS_PER_PART = 1000;

/** The table as CSV (RFC 4180) in parts; the rows in the order given. */
export function* csvParts(table: Table, order: Uint32Array | null): Work<string[]> {
  const parts = [`${table.columns.map((name) => csvField(name, false)).join(',')}\r\n`];
  let part = '';
  for (let i = 0; i < table.rows; i += 1) {
    const row = order ? order[i]! : i;
    const fields = table.columns.map((_, column) => {
      const cell = table.cell(row, column, MAX_CELL);
      return csvField(cell.text, cell.kind === 'number');
    });
    part += `${fields.join(',')}\r\n`;
    if (i % ROWS_PER_PART !== ROWS_PER_PART - 1) continue;
    parts.push(part);
    part = '';
    yield;
  }
  parts.push(part);
  return parts;
}

/** Replaces `var(--name, fallback)` by what the name stands for here, since a file has no style sheet of ours. */
export function resolveVariables(text: string, valueOf: (name: string) => string): string {
  return text.replace(
    /var\((--[\w-]+)(?:,\s*([^()]*(?:\([^()]*\))?[^()]*))?\)/g,
    (_, name: string, fallback?: string) => {
      const value = valueOf(name).trim();
      return value === '' ? (fallback ?? '').trim() : value;
    },
  );
}

/** What our colours are where this element is: a property itself has those of both themes. */
function colorsAt(element: Element): (name: string) => string {
  const style = getComputedStyle(element);
  return (name) => {
    if (style.getPropertyValue(name) === '') return '';
    const probe = document.createElement('span');
    probe.style.color = `var(${name})`;
    element.parentElement?.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
}

/** The drawing as a file of its own: a title, colours as they are on the screen, and a background. */
export function svgText(svg: SVGSVGElement, title: string): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  copy.removeAttribute('class');
  for (const screenOnly of copy.querySelectorAll('[data-screen-only]')) screenOnly.remove();
  const heading = document.createElementNS('http://www.w3.org/2000/svg', 'title');
  heading.textContent = printableLine(title);
  const background = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  for (const [name, value] of Object.entries({ width: '100%', height: '100%', fill: 'var(--surface, #ffffff)' }))
    background.setAttribute(name, value);
  copy.prepend(heading, background);
  const text = new XMLSerializer().serializeToString(copy);
  return resolveVariables(text, colorsAt(svg));
}

/** Draws the text of an SVG on a canvas of twice its size. */
export async function pngOf(svg: string, width: number, height: number): Promise<Blob> {
  const url = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = width * 2;
    canvas.height = height * 2;
    const context = canvas.getContext('2d');
    if (!context) throw new Error('This browser draws no pictures on a canvas.');
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/png'));
    if (!blob) throw new Error('The picture is too large for this browser.');
    return blob;
  } finally {
    URL.revokeObjectURL(url);
  }
}
