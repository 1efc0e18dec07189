// Why a job went as it did: who offered and how they were ranked, who was refused, and what the node noted.
import { useLive } from '../app/session';
import type { Explanation } from '../data/model';
import { mesh } from '../lib/commands';
import { count, shortId } from '../lib/format';
import { visible } from '../lib/visible';
import { Badge, Command, Empty, PeerName } from '../ui/kit';
import type { Column } from '../ui/table';
import { Table } from '../ui/table';

type Rank = Explanation['ranking'][number];
type Refusal = Explanation['refused'][number];

const points = ['reputation', 'cost', 'capacity', 'speed', 'nearness', 'holding'] as const;

export function ExplainView({ explanation }: { explanation: Explanation }) {
  const self = useLive((state) => state.node?.peer);
  const ranks: readonly Column<Rank>[] = [
    {
      key: 'peer',
      title: 'Node',
      render: (rank) => (
        <span className="row">
          <PeerName peer={rank.peer} self={self} /> {rank.penalised && <Badge tone="warn">penalised</Badge>}
        </span>
      ),
    },
    { key: 'score', title: 'Score', align: 'end', render: (rank) => <strong>{count(rank.score)}</strong> },
    ...points.map((name): Column<Rank> => ({
      key: name,
      title: name,
      align: 'end',
      render: (rank) => count(rank[name]),
    })),
  ];
  const refusals: readonly Column<Refusal>[] = [
    { key: 'peer', title: 'Node', render: (refusal) => <PeerName peer={refusal.peer} self={self} /> },
    { key: 'reason', title: 'Why', render: (refusal) => visible(refusal.reason) },
  ];
  return (
    <>
      <h3>Who offered, best first</h3>
      {explanation.ranking.length > 0 ? (
        <Table label="Ranking" columns={ranks} rows={explanation.ranking} rowKey={(rank) => rank.peer} />
      ) : (
        <Empty title="Nobody has offered" />
      )}
      <h3>Who was refused</h3>
      {explanation.refused.length > 0 ? (
        <Table label="Refused" columns={refusals} rows={explanation.refused} rowKey={(_, index) => index} />
      ) : (
        <p className="muted">Nobody.</p>
      )}
      <Command line={mesh('job', 'explain', shortId(explanation.job.id))} />
    </>
  );
}
