// A result, read when it is looked at. How it is shown is loaded only then, too.
import { BadAnswer, unwrap } from 'meshwork';
import type { Mesh } from 'meshwork';
import { Suspense, lazy } from 'react';
import { useSession } from '../app/session';
import { useRead } from '../data/read';
import { bytes as size } from '../lib/format';
import { Read } from '../ui/kit';

const ResultView = lazy(() => import('../results'));

/** Shown in the page; what is larger is for the disk. */
const maxShown = 128 << 20;

async function collect(stream: ReadableStream<Uint8Array> | null, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  const reader = stream?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    total += part.value.byteLength;
    if (total > limit) {
      await reader?.cancel();
      throw new BadAnswer(`The result is larger than ${size(limit)}: save it with the command line.`);
    }
    chunks.push(part.value);
  }
  const whole = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

/** What was written, whether the function succeeded or not. */
export async function readResult(mesh: Mesh, id: string, shard: number | undefined, signal: AbortSignal) {
  const params = { path: { id }, query: shard === undefined ? {} : { shard } };
  const stream = await unwrap(mesh.api.GET('/api/v1/tasks/{id}/result', { params, parseAs: 'stream', signal }));
  return collect(stream, maxShown);
}

export function ResultPanel({ id, shard, name }: { id: string; shard?: number; name: string }) {
  const { mesh } = useSession();
  const reading = useRead(`${id} ${shard ?? ''}`, (signal) => readResult(mesh, id, shard, signal));
  return (
    <Read reading={reading}>
      {(bytes) => (
        <Suspense fallback={<p className="muted loading">Opening…</p>}>
          <ResultView bytes={bytes} name={name} />
        </Suspense>
      )}
    </Read>
  );
}
