import { useVirtualizer } from '@tanstack/react-virtual';
import { useRef, useState } from 'react';

import { plural } from '../lib/format';
import { printableLine } from './printable';
import { SaveCsv } from './SaveCsv';
import { type Direction, sortedRows } from './sort';
import { type Cell, raggedRows, type Table } from './table';
import { useWork } from './useWork';
import type { Work } from './work';

const ROW_HEIGHT = 28;
// Browsers cannot scroll through boxes of more than some 17 million pixels.
const PAGE = 250_000;

interface Order {
  column: number;
  direction: Direction;
}

function cellText(cell: Cell): string {
  return cell.kind === 'missing' ? '' : printableLine(cell.text, 200);
}

// Work that is done before its first slice.
// eslint-disable-next-line require-yield
function* unsorted(): Work<Uint32Array | null> {
  return null;
}

function nextOrder(order: Order | null, column: number): Order | null {
  if (order?.column !== column) return { column, direction: 'ascending' };
  return order.direction === 'ascending' ? { column, direction: 'descending' } : null;
}

interface HeaderProps {
  table: Table;
  order: Order | null;
  onSort: (column: number) => void;
}

function Header({ table, order, onSort }: HeaderProps) {
  return (
    <div role="row" aria-rowindex={1} className="rv-row rv-head">
      <div role="columnheader" className="rv-number-cell">
        row
      </div>
      {table.columns.map((name, column) => {
        const direction = order?.column === column ? order.direction : 'none';
        return (
          <div role="columnheader" key={column} aria-sort={direction} aria-colindex={column + 2}>
            <button type="button" onClick={() => onSort(column)} title={printableLine(name)}>
              <bdi>{printableLine(name, 60)}</bdi>
              <span aria-hidden="true">{{ none: '', ascending: ' ▲', descending: ' ▼' }[direction]}</span>
            </button>
          </div>
        );
      })}
    </div>
  );
}

function Notes({ table }: { table: Table }) {
  const ragged = useWork(() => raggedRows(table), [table]);
  const isRagged = ragged.state === 'done' && ragged.value > 0;
  return (
    <p className="rv-note">
      {plural(table.rows, 'row')}, {plural(table.columns.length, 'column')}
      {table.hiddenColumns > 0 && `, ${table.hiddenColumns} more columns are not shown`}
      {isRagged &&
        `; ragged: ${ragged.value} of them have fewer or more fields than the others, hatched where one is missing`}
      .
    </p>
  );
}

export function TableView({ table, name }: { table: Table; name: string }) {
  const scroll = useRef<HTMLDivElement>(null);
  const [order, setOrder] = useState<Order | null>(null);
  const [page, setPage] = useState(0);
  const sorted = useWork<Uint32Array | null>(
    () => (order ? sortedRows(table, order.column, order.direction) : unsorted()),
    [table, order],
  );
  const rows = sorted.state === 'done' ? sorted.value : null;
  const start = page * PAGE;
  const shown = Math.min(PAGE, table.rows - start);
  const virtual = useVirtualizer({
    count: shown,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 10,
  });
  return (
    <div className="rv-table">
      <div className="rv-bar">
        <Notes table={table} />
        <SaveCsv table={table} order={rows} name={name} label="Save as CSV" />
        <span role="status" className="muted">
          {sorted.state === 'busy' && 'sorting'}
        </span>
      </div>
      <div className="rv-scroll" ref={scroll} tabIndex={0} role="region" aria-label="Table">
        <div role="table" aria-rowcount={table.rows + 1} aria-colcount={table.columns.length + 1}>
          <div role="rowgroup" className="rv-stick">
            <Header
              table={table}
              order={order}
              onSort={(column) => {
                setOrder(nextOrder(order, column));
                setPage(0);
              }}
            />
          </div>
          <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
            {virtual.getVirtualItems().map((item) => {
              const row = rows ? rows[start + item.index]! : start + item.index;
              return (
                <div
                  role="row"
                  key={item.key}
                  aria-rowindex={start + item.index + 2}
                  className="rv-row"
                  style={{ position: 'absolute', top: item.start, height: ROW_HEIGHT }}
                >
                  <div role="rowheader" className="rv-number-cell muted">
                    {row}
                  </div>
                  {table.columns.map((_, column) => {
                    const cell = table.cell(row, column, 400);
                    return (
                      <div
                        role="cell"
                        key={column}
                        aria-colindex={column + 2}
                        className={`rv-cell rv-cell-${cell.kind}`}
                      >
                        <bdi>{cellText(cell)}</bdi>
                      </div>
                    );
                  })}
                </div>
              );
            })}
          </div>
        </div>
      </div>
      {table.rows > PAGE && (
        <p className="rv-note">
          Rows {start} to {start + shown - 1}.{' '}
          <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>
            Back
          </button>{' '}
          <button type="button" disabled={start + shown >= table.rows} onClick={() => setPage(page + 1)}>
            Further
          </button>
        </p>
      )}
    </div>
  );
}
