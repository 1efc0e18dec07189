import { unwrap } from 'meshwork';
import { Link } from 'wouter';
import { useSession } from '../app/session';
import { useRead } from '../data/read';
import { mesh as line } from '../lib/commands';
import { bytes, clock, count } from '../lib/format';
import { visible, visibleLines } from '../lib/visible';
import { Badge, Command, Empty, Facts, Id, PageHead, Panel } from '../ui/kit';
import { Table } from '../ui/table';
import { WithLedger } from './ledger_common';

export default function LedgerBlock({ height }: { height: number }) {
  const { mesh } = useSession();
  const isHeight = Number.isSafeInteger(height) && height >= 1;
  const reading = useRead(isHeight ? `block ${height}` : null, (signal) =>
    unwrap(mesh.api.GET('/api/v1/ledger/blocks/{height}', { params: { path: { height: String(height) } }, signal })),
  );
  if (!isHeight) return <Empty title="Blocks are numbered from 1 on" />;
  return (
    <>
      <PageHead
        title={`Block ${count(height)}`}
        sub={<Link href="/ledger">Ledger</Link>}
        actions={
          <>
            {height > 1 && (
              <Link className="button" href={`/ledger/blocks/${height - 1}`}>
                Before
              </Link>
            )}
            <Link className="button" href={`/ledger/blocks/${height + 1}`}>
              After
            </Link>
          </>
        }
      />
      <WithLedger reading={reading}>
        {(block) => (
          <>
            <Panel title="Block">
              <Facts
                items={[
                  ['Time', clock(block.time)],
                  ['Round', count(block.round)],
                  ['Size', bytes(block.bytes)],
                  ['CID', <Id value={block.cid} />],
                  ['Proposer', <Id value={block.proposer} />],
                  ['State', <Id value={block.state_root} />],
                  ['Beacon', <Id value={block.beacon} />],
                  ['Signed by', count(block.signers.length)],
                ]}
              />
              <Command line={line('ledger', 'block', height)} />
            </Panel>
            <Panel title={`${count(block.transaction_count)} transactions`}>
              <Table
                label="Transactions"
                rows={block.transactions}
                rowKey={(one) => one.number}
                columns={[
                  { key: 'number', title: 'Number', align: 'end', render: (one) => count(one.number) },
                  {
                    key: 'kind',
                    title: 'What',
                    render: (one) =>
                      one.error === undefined ? (
                        visible(one.kind ?? '')
                      ) : (
                        <Badge tone="bad">{visible(one.error)}</Badge>
                      ),
                  },
                  { key: 'account', title: 'Of', render: (one) => (one.account ? <Id value={one.account} /> : '–') },
                  {
                    key: 'fields',
                    title: 'Says',
                    render: (one) => (
                      <pre className="code">
                        {visibleLines(JSON.stringify(one.fields ?? null, null, 1).slice(0, 4000))}
                      </pre>
                    ),
                  },
                ]}
              />
            </Panel>
          </>
        )}
      </WithLedger>
    </>
  );
}
