const format = /^(?:cid:)?(b[a-z2-7]{20,120}|Qm[1-9A-HJ-NP-Za-km-z]{44})$/;

/** The CID that a text is, with `cid:` before it or without; undefined if it is none. */
export function cidIn(text: string): string | undefined {
  return format.exec(text.trim())?.[1];
}
