// For the demonstration. With no arguments: reads what `mesh wallet show --json` says of accounts, and `mesh ledger head --json` of
// the ledger, from its input, and writes a line each: whose, and how many micro-credits. With two files of such lines: a table of
// before and after; fails where the sum of all has changed.
import { readFileSync } from 'node:fs';

const credits = (micros) => {
  const text = (micros < 0n ? -micros : micros).toString().padStart(7, '0');
  const sign = micros < 0n ? '-' : '';
  return `${sign}${text.slice(0, -6)}.${text.slice(-6)}`;
};

const read = (file) =>
  new Map(
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([whose, micros]) => [whose, BigInt(micros)]),
  );

const [before, after] = process.argv.slice(2);
if (before === undefined) {
  // One JSON value after the other, each of which ends with a line that is a closing brace alone.
  for (const text of readFileSync(0, 'utf8').split(/(?<=^\})\n/m)) {
    if (text.trim() === '') continue;
    const value = JSON.parse(text);
    if (value.totals === undefined) {
      console.log(`${value.account} ${BigInt(value.balance) + BigInt(value.bonded)}`);
    } else {
      console.log(`treasury ${value.totals.treasury}`);
      console.log(`escrows ${value.totals.escrowed}`);
      console.log(`all ${value.totals.supply}`);
    }
  }
} else {
  const was = read(before);
  const is = read(after);
  for (const [whose, micros] of is) {
    const change = micros - (was.get(whose) ?? 0n);
    const shown = whose.startsWith('did:key:') ? `...${whose.slice(-8)}` : whose;
    console.log(
      `    ${shown.padEnd(12)}${credits(was.get(whose) ?? 0n).padStart(14)}${credits(micros).padStart(14)}  ${change > 0n ? '+' : ''}${credits(change)}`,
    );
  }
  if (was.get('all') !== is.get('all')) {
    console.error('the sum of all accounts has changed');
    process.exit(1);
  }
}
