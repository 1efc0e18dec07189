// A node behind the interface that the state is kept by (data/live.ts).
import { Mesh, unwrap } from 'meshwork';
import type { Source } from '../data/live';
import type { Connection } from '../data/model';

/** `past` makes the streams that catch up, so that `mesh.connection` tells of the application's own stream alone. */
export function sourceOf(mesh: Mesh, past: Mesh): Source {
  const { api } = mesh;
  return {
    node: () => unwrap(api.GET('/api/v1/node')),
    jobs: () => unwrap(api.GET('/api/v1/tasks', { params: { query: { count: 1000 } } })),
    job: (id) => mesh.job(id).status(),
    shards: (id, first, count) =>
      unwrap(api.GET('/api/v1/tasks/{id}/shards', { params: { path: { id }, query: { first, count } } })),
    peers: () => unwrap(api.GET('/api/v1/peers')),
    topology: () => unwrap(api.GET('/api/v1/topology')),
    transfers: async () => (await unwrap(api.GET('/api/v1/transfers'))).transfers,
    events: (options) => (options.since === undefined ? mesh : past).events(options),
    watchConnection(callback) {
      let opened = false;
      const tell = () => {
        const { state } = mesh.connection;
        opened ||= state === 'open';
        const told: Connection =
          state === 'open' ? 'open' : opened || mesh.connection.reason !== '' ? 'lost' : 'connecting';
        // Before the stream is begun it is "closed" for a reason of its own.
        callback(state === 'closed' && !opened ? 'connecting' : told);
      };
      tell();
      return mesh.connection.subscribe(tell);
    },
  };
}
