// The command lines that do the same as the dashboard's buttons, quoted for a POSIX shell.
import { visible } from './visible';

/** One word of a command line. Characters that a terminal would act on are quoted away, and shown as signs. */
export function quoted(word: string): string {
  const safe = visible(word);
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(safe) ? safe : `'${safe.replaceAll("'", `'\\''`)}'`;
}

export function command(...words: (string | number | false | null | undefined)[]): string {
  return words
    .filter((word) => word !== false && word !== null && word !== undefined)
    .map((word, index) => (index === 0 ? String(word) : quoted(String(word))))
    .join(' ');
}

/** `mesh` with its words. */
export function mesh(...words: (string | number | false | null | undefined)[]): string {
  return command('mesh', ...words);
}
