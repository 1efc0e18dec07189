import { unwrap } from 'meshwork';
import { useState } from 'react';
import { Link } from 'wouter';
import { useLive, useSession } from '../app/session';
import type { Schemas } from '../data/model';
import { useRead } from '../data/read';
import { mesh as line } from '../lib/commands';
import { clock, compact, count, duration, shortPeer } from '../lib/format';
import { visible } from '../lib/visible';
import { Badge, Button, Command, Facts, Id, PageHead, Panel, PeerName, Read } from '../ui/kit';
import { Table } from '../ui/table';
import { Credits, WithLedger } from './ledger_common';

type Head = Schemas['Ledger'];

export default function Ledger() {
  const { mesh } = useSession();
  const tick = useLive((state) => state.ledgerTick);
  const reading = useRead('ledger', (signal) => unwrap(mesh.api.GET('/api/v1/ledger', { signal })), tick);
  return (
    <>
      <PageHead title="Ledger" sub="What the federation's validators have certified." />
      <WithLedger reading={reading}>
        {(head) => (
          <>
            <HeadPanel head={head} />
            <Blocks height={head.height} />
            <Validators head={head} />
            <Members height={head.height} />
          </>
        )}
      </WithLedger>
    </>
  );
}

function HeadPanel({ head }: { head: Head }) {
  const { totals, parameters } = head;
  return (
    <Panel title="Head">
      {head.stopped !== null && (
        <p className="note note-bad">This node follows the chain no longer: {visible(head.stopped)}</p>
      )}
      <Facts
        items={[
          ['Block', count(head.height)],
          ['On disk', count(head.durable_height)],
          ['Time', clock(head.time)],
          ['Waiting', count(head.waiting)],
          ['Accounts', count(head.accounts)],
          ['Members', count(head.members)],
          ['Supply', <Credits micros={totals.supply} />],
          ['Bonded', <Credits micros={totals.bonded} />],
          ['In escrow', <Credits micros={totals.escrowed} />],
          ['Treasury', <Credits micros={totals.treasury} />],
          ['Fee of a transaction', <Credits micros={parameters.transaction_fee} />],
          ['Least bond', <Credits micros={parameters.minimum_bond} />],
          ['Time for disputes', duration(parameters.dispute_ms)],
          ['Enrolment', visible(parameters.enrolment)],
          ['Head', <Id value={head.head} />],
          ['State', <Id value={head.state_root} />],
        ]}
      />
      <Command line={line('ledger', 'head')} />
    </Panel>
  );
}

function Blocks({ height }: { height: number }) {
  const { mesh } = useSession();
  const [before, setBefore] = useState<number | null>(null);
  const reading = useRead(`blocks ${before ?? `head ${height}`}`, (signal) =>
    unwrap(mesh.api.GET('/api/v1/ledger/blocks', { params: { query: before === null ? {} : { before } }, signal })),
  );
  return (
    <Panel
      title="Blocks"
      actions={
        <>
          <Button disabled={before === null} onClick={() => setBefore(null)}>
            Newest
          </Button>
          <Button
            disabled={(reading.data?.next ?? null) === null}
            onClick={() => setBefore(reading.data?.next ?? null)}
          >
            Older
          </Button>
        </>
      }
    >
      <Read reading={reading}>
        {(page) => (
          <Table
            label="Blocks"
            rows={page.blocks}
            rowKey={(block) => block.cid}
            columns={[
              {
                key: 'height',
                title: 'Block',
                render: (block) => <Link href={`/ledger/blocks/${block.height}`}>{count(block.height)}</Link>,
              },
              { key: 'time', title: 'Time', render: (block) => clock(block.time) },
              {
                key: 'transactions',
                title: 'Transactions',
                align: 'end',
                render: (block) => count(block.transaction_count),
              },
              { key: 'signers', title: 'Signed by', align: 'end', render: (block) => count(block.signers.length) },
              { key: 'round', title: 'Round', align: 'end', render: (block) => count(block.round) },
              {
                key: 'proposer',
                title: 'Proposer',
                render: (block) => <span className="mono">{visible(shortPeer(block.proposer))}</span>,
              },
              { key: 'cid', title: 'CID', render: (block) => <Id value={block.cid} /> },
            ]}
          />
        )}
      </Read>
      <Command line={line('ledger', 'block', height)} />
    </Panel>
  );
}

function Validators({ head }: { head: Head }) {
  return (
    <Panel title="Validators">
      <Table
        label="Validators"
        rows={head.validators}
        rowKey={(validator) => validator.account}
        columns={[
          { key: 'account', title: 'Account', render: (validator) => <Id value={validator.account} /> },
          {
            key: 'self',
            title: '',
            render: (validator) => (validator.self ? <Badge tone="good">this node</Badge> : null),
          },
          { key: 'power', title: 'Power', align: 'end', render: (validator) => visible(validator.power) },
          { key: 'stake', title: 'Stake', align: 'end', render: (validator) => <Credits micros={validator.stake} /> },
        ]}
      />
    </Panel>
  );
}

function Members({ height }: { height: number }) {
  const { mesh } = useSession();
  const [pages, setPages] = useState<readonly string[]>([]);
  const after = pages.at(-1);
  const reading = useRead(`members ${height} ${after ?? ''}`, (signal) =>
    unwrap(mesh.api.GET('/api/v1/ledger/members', { params: { query: after === undefined ? {} : { after } }, signal })),
  );
  return (
    <Panel
      title="Members and reputation"
      actions={
        <>
          <Button disabled={pages.length === 0} onClick={() => setPages(pages.slice(0, -1))}>
            Back
          </Button>
          <Button
            disabled={(reading.data?.next ?? null) === null}
            onClick={() => reading.data?.next && setPages([...pages, reading.data.next])}
          >
            More
          </Button>
        </>
      }
    >
      <Read reading={reading}>
        {(page) => (
          <Table
            label="Members"
            rows={page.members}
            rowKey={(member, index) => `${member.account} ${index}`}
            columns={[
              { key: 'peer', title: 'Node', render: (member) => <PeerName peer={member.peer} /> },
              { key: 'account', title: 'Account', render: (member) => <Id value={member.account} /> },
              { key: 'roles', title: 'Roles', render: (member) => visible(member.roles.join(', ')) },
              {
                key: 'state',
                title: 'Credential',
                render: (member) => (
                  <Badge tone={member.in_force ? 'good' : 'warn'}>
                    {member.revoked ? 'revoked' : member.in_force ? 'in force' : 'over'}
                  </Badge>
                ),
              },
              { key: 'weight', title: 'Weight', align: 'end', render: (member) => count(member.weight) },
              { key: 'reputation', title: 'Reputation', render: (member) => <Reputation account={member.account} /> },
            ]}
          />
        )}
      </Read>
      <Command line={line('federation', 'members')} />
    </Panel>
  );
}

/** Asked for one by one: the list of members does not tell it. */
function Reputation({ account }: { account: string }) {
  const { mesh } = useSession();
  const [wanted, setWanted] = useState(false);
  const reading = useRead(wanted ? account : null, (signal) =>
    unwrap(mesh.api.GET('/api/v1/ledger/accounts/{account}', { params: { path: { account } }, signal })),
  );
  if (!wanted)
    return (
      <Button tone="quiet" onClick={() => setWanted(true)}>
        Show
      </Button>
    );
  return (
    <Read reading={reading}>
      {({ reputation, balance, bonded }) => (
        <span>
          {count(reputation.score)} points, drawn with {compact(reputation.draw_weight)}; has{' '}
          <Credits micros={balance} />, bond <Credits micros={bonded} />
        </span>
      )}
    </Read>
  );
}
