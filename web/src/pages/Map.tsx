import { Suspense, lazy, useMemo } from 'react';
import { useLive, useSession } from '../app/session';
import { useSlowRefresh } from '../data/read';
import { mesh } from '../lib/commands';
import { Command, Empty, PageHead } from '../ui/kit';

const NodeMap = lazy(() => import('../map'));

const maxPulses = 200;

export default function MapPage() {
  const { live } = useSession();
  const topology = useLive((state) => state.topology);
  const peers = useLive((state) => state.peers);
  const events = useLive((state) => state.activity);
  // Load and round trips have no events of their own.
  useSlowRefresh(() => live.readPeers());
  const activity = useMemo(
    () =>
      events
        .slice(-maxPulses)
        .flatMap(({ peer, time, kind }) =>
          peer !== undefined && kind.startsWith('job.') ? [{ peer, time, kind }] : [],
        ),
    [events],
  );
  return (
    <>
      <PageHead
        title="Map"
        sub="The nodes as this one sees them: how far away, what they can do, what they are doing."
      />
      {topology && peers ? (
        <Suspense fallback={<p className="muted loading">Opening…</p>}>
          <NodeMap topology={topology} peers={peers} activity={activity} />
        </Suspense>
      ) : (
        <Empty title="Reading…" />
      )}
      <Command line={mesh('peers')} />
    </>
  );
}
