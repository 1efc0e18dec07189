import { useVirtualizer } from '@tanstack/react-virtual';
import { useRef, useState } from 'react';

import { bytes as size } from '../lib/format';

const PER_LINE = 16;
const LINE_HEIGHT = 20;
// Browsers cannot scroll through boxes of more than some 17 million pixels.
const PAGE = 500_000 * PER_LINE;

export function hexLine(bytes: Uint8Array, at: number): { offset: string; hex: string; text: string } {
  const line = bytes.subarray(at, at + PER_LINE);
  const pairs = [...line].map((byte) => byte.toString(16).padStart(2, '0'));
  return {
    offset: at.toString(16).padStart(8, '0'),
    hex: `${pairs.slice(0, 8).join(' ')}  ${pairs.slice(8).join(' ')}`.padEnd(PER_LINE * 3),
    text: [...line].map((byte) => (byte > 0x1f && byte < 0x7f ? String.fromCharCode(byte) : '.')).join(''),
  };
}

export function HexView({ bytes }: { bytes: Uint8Array }) {
  const scroll = useRef<HTMLDivElement>(null);
  const [page, setPage] = useState(0);
  const start = page * PAGE;
  const end = Math.min(bytes.length, start + PAGE);
  const lines = useVirtualizer({
    count: Math.ceil((end - start) / PER_LINE),
    getScrollElement: () => scroll.current,
    estimateSize: () => LINE_HEIGHT,
    overscan: 10,
  });
  return (
    <div className="rv-hex">
      <div className="rv-scroll" ref={scroll} tabIndex={0} role="region" aria-label="Bytes in hexadecimal">
        <div style={{ height: lines.getTotalSize(), position: 'relative' }}>
          {lines.getVirtualItems().map((item) => {
            const { offset, hex, text } = hexLine(bytes, start + item.index * PER_LINE);
            return (
              <pre key={item.key} style={{ position: 'absolute', top: item.start, height: LINE_HEIGHT }}>
                <span className="muted">{offset}</span> {hex} {text}
              </pre>
            );
          })}
        </div>
      </div>
      {bytes.length > PAGE && (
        <p className="rv-note">
          Bytes {start} to {end - 1} of {size(bytes.length)}.{' '}
          <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>
            Back
          </button>{' '}
          <button type="button" disabled={end === bytes.length} onClick={() => setPage(page + 1)}>
            Further
          </button>
        </p>
      )}
    </div>
  );
}
