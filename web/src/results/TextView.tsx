import { useMemo, useState } from 'react';

import { bytes as size, plural } from '../lib/format';
import { visibleProseLines } from '../lib/visible';
import { boundary, invalidUtf8 } from './utf8';

const STEP = 1 << 20;
const MOST = 16 << 20;
const BLOCK = 1 << 16;

/** The text in blocks that the browser lays out only when they come into sight; they break at line ends where there are any. */
export function textBlocks(bytes: Uint8Array, to: number): string[] {
  const decoder = new TextDecoder();
  const blocks: string[] = [];
  for (let at = 0; at < to;) {
    let end = Math.min(to, at + BLOCK);
    if (end < to) {
      const line = bytes.subarray(at, end).lastIndexOf(0x0a);
      end = line > 0 ? at + line + 1 : boundary(bytes, end);
    }
    blocks.push(visibleProseLines(decoder.decode(bytes.subarray(at, end))));
    at = end;
  }
  return blocks;
}

export function TextView({ bytes }: { bytes: Uint8Array }) {
  const [limit, setLimit] = useState(STEP);
  const end = boundary(bytes, Math.min(limit, bytes.length));
  const blocks = useMemo(() => textBlocks(bytes, end), [bytes, end]);
  const broken = useMemo(() => invalidUtf8(bytes.subarray(0, end), false), [bytes, end]);
  const isAll = end >= bytes.length;
  return (
    <div className="rv-text">
      {broken > 0 && (
        <p className="rv-note">
          {plural(broken, 'byte is', 'bytes are')} not valid UTF-8 and shown as {'\ufffd'}.
        </p>
      )}
      <div className="rv-scroll" tabIndex={0} role="region" aria-label="Text">
        {blocks.map((block, i) => (
          <pre key={i} dir="ltr">
            {block}
          </pre>
        ))}
      </div>
      {!isAll && (
        <p className="rv-note">
          The first {size(end)} of {size(bytes.length)} are shown.{' '}
          {limit < MOST ? (
            <button type="button" onClick={() => setLimit(limit + STEP)}>
              Show more
            </button>
          ) : (
            'Download the result to see the rest.'
          )}
        </p>
      )}
    </div>
  );
}
