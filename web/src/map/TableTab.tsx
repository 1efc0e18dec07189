import { useMemo, useState } from 'react';

import { printableLine } from '../results/printable';
import { compare, type MapModel, type MapNode, timeText } from './model';

const PAGE = 200;

interface Column {
  name: string;
  text: (node: MapNode) => string;
  order: (node: MapNode) => number | string;
}

const COLUMNS: readonly Column[] = [
  { name: 'Peer', text: (node) => (node.isSelf ? `${node.name} (this node)` : node.name), order: (node) => node.name },
  { name: 'State', text: stateOf, order: stateOf },
  {
    name: 'Round trip',
    text: (node) => (node.isSelf ? '' : timeText(node.rttUs)),
    order: (node) => (node.isSelf ? -1 : node.rttUs || Number.POSITIVE_INFINITY),
  },
  { name: 'Found', text: (node) => (node.isSelf ? '' : node.found || 'not known'), order: (node) => node.found },
  { name: 'Transport', text: (node) => node.transport, order: (node) => node.transport },
  { name: 'Cores', text: (node) => told(node, String(node.cores)), order: (node) => node.cores },
  {
    name: 'Memory',
    text: (node) => told(node, `${(node.memoryMb / 1024).toFixed(1)} GiB`),
    order: (node) => node.memoryMb,
  },
  { name: 'GPUs', text: (node) => node.gpus.join(', '), order: (node) => node.gpuFlops },
  { name: 'Running', text: (node) => told(node, String(node.running)), order: (node) => node.running },
  { name: 'Queued', text: (node) => told(node, String(node.queued)), order: (node) => node.queued },
  {
    name: 'Work',
    text: (node) => told(node, node.acceptsWork ? 'takes work' : 'takes none'),
    order: (node) => Number(node.acceptsWork),
  },
  { name: 'Program', text: (node) => node.agent, order: (node) => node.agent },
];

function stateOf(node: MapNode): string {
  if (node.penalty !== '') return `${node.isConnected ? 'connected' : 'not connected'}, penalty: ${node.penalty}`;
  return node.isConnected ? 'connected' : 'not connected';
}

function told(node: MapNode, text: string): string {
  return node.isKnown ? text : 'not told';
}

interface Order {
  column: number;
  isDescending: boolean;
}

export function sortedNodes(nodes: readonly MapNode[], { column, isDescending }: Order): MapNode[] {
  const { order } = COLUMNS[column]!;
  const sign = isDescending ? -1 : 1;
  return [...nodes].sort((a, b) => sign * compare(order(a), order(b)) || compare(a.id, b.id));
}

interface Props {
  model: MapModel;
}

export function TableTab({ model }: Props) {
  const [order, setOrder] = useState<Order>({ column: 2, isDescending: false });
  const [page, setPage] = useState(0);
  const nodes = useMemo(() => sortedNodes(model.nodes, order), [model, order]);
  const pages = Math.max(1, Math.ceil(nodes.length / PAGE));
  const shown = Math.min(page, pages - 1);
  const sort = (column: number) => {
    setOrder({ column, isDescending: order.column === column && !order.isDescending });
    setPage(0);
  };
  return (
    <div>
      <div className="nm-wide" tabIndex={0} role="region" aria-label="Nodes">
        <table>
          <caption className="sr-only">Nodes of the mesh</caption>
          <thead>
            <tr>
              {COLUMNS.map(({ name }, column) => {
                const direction = order.isDescending ? 'descending' : 'ascending';
                return (
                  <th key={name} scope="col" aria-sort={order.column === column ? direction : 'none'}>
                    <button type="button" onClick={() => sort(column)}>
                      {name}
                      <span aria-hidden="true">
                        {order.column === column ? (order.isDescending ? ' ▼' : ' ▲') : ''}
                      </span>
                    </button>
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {nodes.slice(shown * PAGE, (shown + 1) * PAGE).map((node) => (
              <tr key={node.id}>
                <th scope="row" title={printableLine(node.id, 100)}>
                  <bdi>{COLUMNS[0]!.text(node)}</bdi>
                </th>
                {COLUMNS.slice(1).map(({ name, text }) => (
                  <td key={name}>
                    <bdi>{text(node)}</bdi>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {pages > 1 && (
        <p className="rv-note">
          Page {shown + 1} of {pages}.{' '}
          <button type="button" disabled={shown === 0} onClick={() => setPage(shown - 1)}>
            Back
          </button>{' '}
          <button type="button" disabled={shown === pages - 1} onClick={() => setPage(shown + 1)}>
            Further
          </button>
        </p>
      )}
    </div>
  );
}
