// Tables: a plain one for what is short, and one that renders only the rows that are seen for what may be long.
import { useVirtualizer } from '@tanstack/react-virtual';
import { useRef } from 'react';
import type { ReactNode } from 'react';

export interface Column<R> {
  readonly key: string;
  readonly title: ReactNode;
  /** A track of a CSS grid. */
  readonly width?: string;
  readonly align?: 'end';
  readonly render: (row: R) => ReactNode;
}

export function Table<R>({
  label,
  columns,
  rows,
  rowKey,
}: {
  label: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  rowKey: (row: R, index: number) => string | number;
}) {
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <caption className="sr-only">{label}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.key} scope="col" className={column.align && `align-${column.align}`}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={rowKey(row, index)}>
              {columns.map((column) => (
                <td key={column.key} className={column.align && `align-${column.align}`}>
                  {column.render(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Rows of one height; ten thousand cost as much as those on the screen. Arrow keys, Page Up and End scroll it. */
export function VirtualTable<R>({
  label,
  columns,
  rows,
  rowKey,
  rowHeight = 36,
  height = 480,
}: {
  label: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  rowKey: (row: R, index: number) => string | number;
  rowHeight?: number;
  height?: number;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 8,
  });
  const template = { gridTemplateColumns: columns.map((column) => column.width ?? 'minmax(0, 1fr)').join(' ') };
  return (
    <div className="vtable" role="table" aria-label={label} aria-rowcount={rows.length + 1}>
      <div role="rowgroup">
        <div className="vrow vhead" role="row" aria-rowindex={1} style={template}>
          {columns.map((column) => (
            <div key={column.key} role="columnheader" className={column.align && `align-${column.align}`}>
              {column.title}
            </div>
          ))}
        </div>
      </div>
      <div
        className="vscroll"
        role="rowgroup"
        tabIndex={0}
        aria-label={`${label}, rows`}
        ref={scroller}
        style={{ height: Math.min(height, Math.max(rows.length, 1) * rowHeight + 2) }}
      >
        <div role="presentation" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (row === undefined) return null;
            return (
              <div
                key={rowKey(row, item.index)}
                className="vrow"
                role="row"
                aria-rowindex={item.index + 2}
                style={{ ...template, height: rowHeight, transform: `translateY(${item.start}px)` }}
              >
                {columns.map((column) => (
                  <div key={column.key} role="cell" className={column.align && `align-${column.align}`}>
                    {column.render(row)}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
