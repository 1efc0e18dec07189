// What peers say of their machines, as columns of tables.
import type { Peer } from '../data/model';
import { bytes, compact, count } from '../lib/format';
import type { Column } from './table';

type Machine = Pick<Peer, 'resources'>;
type Resources = NonNullable<Peer['resources']>;

function column(key: string, title: string, text: (resources: Resources) => string): Column<Machine> {
  return { key, title, align: 'end', render: ({ resources }) => (resources ? text(resources) : '–') };
}

export const resourceColumns: readonly Column<Machine>[] = [
  column('cores', 'Cores', (resources) => count(resources.cores)),
  column('memory', 'Memory', (resources) => bytes(resources.memory_mb * 2 ** 20)),
  column('speed', 'Fuel/s', (resources) => compact(resources.fuel_per_second)),
  column('load', 'Runs, waits', (resources) => `${resources.running}, ${resources.queued}`),
];
