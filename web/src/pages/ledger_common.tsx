// What Wallet and Ledger share: that a federation may have no ledger, and how credits are shown.
import { MeshError } from 'meshwork';
import type { ReactNode } from 'react';
import type { Reading } from '../data/read';
import { mesh } from '../lib/commands';
import { credits } from '../lib/format';
import { Command, Empty, Panel, Read } from '../ui/kit';

export function Credits({ micros }: { micros: string }) {
  return (
    <span className="num" title={`${micros} micro-credits`}>
      {credits(micros)}
    </span>
  );
}

export function WithLedger<T>({ reading, children }: { reading: Reading<T>; children: (data: T) => ReactNode }) {
  if (reading.error instanceof MeshError && reading.error.code === 'no-ledger') {
    return (
      <Panel>
        <Empty title="This node's federation has no ledger">
          <p className="muted">
            Jobs run without pay. A federation with a ledger is founded, or come into, by the command line:
          </p>
          <Command line={mesh('federation', 'found', 'NAME')} />
          <Command line={mesh('up', '--join', 'TOKEN')} />
        </Empty>
      </Panel>
    );
  }
  return <Read reading={reading}>{children}</Read>;
}
