// Lines of results as they are shown, and names of files. What comes out is still only text, never markup.
import { visibleProse, withoutHidden } from '../lib/visible';

/** One line of at most `most` characters, as a name or the cell of a table. */
export function printableLine(text: string, most = 200): string {
  return visibleProse(text.length > most ? `${text.slice(0, most)}\u2026` : text);
}

/** A name for a file that is saved: no folders, no control characters, never empty, at most 100 characters. */
export function fileName(name: string | undefined, extension: string): string {
  const base = withoutHidden(name ?? '')
    .replace(/[<>:"/\\|?*]+/g, '_')
    .replace(/^[.\s]+|[.\s]+$/g, '')
    .slice(0, 100);
  const stem = base === '' ? 'result' : base;
  return extension === '' || stem.toLowerCase().endsWith(`.${extension}`) ? stem : `${stem}.${extension}`;
}
