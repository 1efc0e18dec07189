import { unwrap } from 'meshwork';
import { useState } from 'react';
import { Link } from 'wouter';
import { useLive, useSession } from '../app/session';
import type { Schemas } from '../data/model';
import { useAction, useRead } from '../data/read';
import { mesh as line } from '../lib/commands';
import { clock, count, credits, parseCredits } from '../lib/format';
import { excerpt, visible } from '../lib/visible';
import { Button, Command, Dialog, Empty, Facts, Field, Id, PageHead, Panel, Read, TextField } from '../ui/kit';
import { Table } from '../ui/table';
import { Credits, WithLedger } from './ledger_common';

type Account = Schemas['Account'];
type Kind = 'transfer' | 'bond' | 'unbond';

const titles: Readonly<Record<Kind, string>> = {
  transfer: 'Send',
  bond: 'Put into the bond',
  unbond: 'Take out of the bond',
};

export default function Wallet() {
  const { mesh } = useSession();
  const tick = useLive((state) => state.ledgerTick);
  const reading = useRead(
    'account',
    (signal) =>
      unwrap(mesh.api.GET('/api/v1/ledger/accounts/{account}', { params: { path: { account: 'self' } }, signal })),
    tick,
  );
  return (
    <>
      <PageHead title="Wallet" sub="This node's account on the federation's ledger." />
      <WithLedger reading={reading}>
        {(account) => (
          <>
            <AccountPanel account={account} />
            <div className="columns">
              <Pay account={account} again={reading.again} />
              <History height={account.height} />
            </div>
          </>
        )}
      </WithLedger>
    </>
  );
}

function AccountPanel({ account }: { account: Account }) {
  return (
    <Panel title="Account">
      <Facts
        items={[
          ['Balance', <Credits micros={account.balance} />],
          ['Bond', <Credits micros={account.bonded} />],
          ['At stake', <Credits micros={account.at_stake} />],
          ['Reputation', `${count(account.reputation.score)} points`],
          ['Roles', account.member ? visible(account.member.roles.join(', ')) : 'no member'],
          ['As of block', count(account.height)],
        ]}
      />
      <Id value={account.account} full />
      {account.unbonding.map((one, index) => (
        <p key={index} className="muted">
          <Credits micros={one.amount} /> credits come out of the bond at {clock(one.release)}.
        </p>
      ))}
      {account.offence && (
        <p className="note note-bad">
          Offence at block {count(account.offence.height)}: {visible(account.offence.kind)};{' '}
          {credits(account.offence.taken)} credits were taken.
        </p>
      )}
      <Command line={line('wallet', 'show')} />
    </Panel>
  );
}

function Pay({ account, again }: { account: Account; again: () => void }) {
  const { mesh, say } = useSession();
  const [kind, setKind] = useState<Kind>('transfer');
  const [to, setTo] = useState('');
  const [text, setText] = useState('');
  const [memo, setMemo] = useState('');
  const [tried, setTried] = useState(false);
  const [asking, setAsking] = useState(false);
  const amount = parseCredits(text);
  const problems = {
    to:
      kind === 'transfer' &&
      !/^(did:key:z[1-9A-HJ-NP-Za-km-z]{40,60}|12D3Koo[1-9A-HJ-NP-Za-km-z]{40,50})$/.test(to.trim())
        ? 'A did:key or a PeerId.'
        : undefined,
    amount: 'error' in amount ? amount.error : tooMuch(kind, account, amount.micros),
    memo: new TextEncoder().encode(memo).length > 128 ? 'At most 128 bytes.' : undefined,
  };
  const isRight = Object.values(problems).every((problem) => problem === undefined);
  const command =
    kind === 'transfer'
      ? line('wallet', 'send', to.trim() || 'DID', text.trim() || 'AMOUNT', ...(memo === '' ? [] : ['--memo', memo]))
      : line('wallet', kind, text.trim() || 'AMOUNT');
  const send = useAction(async () => {
    if ('error' in amount) return;
    const body = {
      kind,
      amount: amount.micros,
      ...(kind === 'transfer' ? { to: to.trim(), ...(memo === '' ? {} : { memo }) } : {}),
    };
    setAsking(false);
    const made = await unwrap(mesh.api.POST('/api/v1/ledger/transactions', { body }));
    say('done', made.height === null ? `It is ${made.status}. ${made.detail}` : `It is final in block ${made.height}.`);
    setTried(false);
    setText('');
    again();
  });
  const shown = tried ? problems : { to: undefined, amount: undefined, memo: undefined };
  return (
    <Panel title="Transfer and bond">
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          setTried(true);
          if (isRight) setAsking(true);
        }}
      >
        <Field label="What">
          {(aria) => (
            <select {...aria} value={kind} onChange={(event) => setKind(event.target.value as Kind)}>
              {(Object.keys(titles) as Kind[]).map((one) => (
                <option key={one} value={one}>
                  {titles[one]}
                </option>
              ))}
            </select>
          )}
        </Field>
        {kind === 'transfer' && (
          <TextField
            label="To"
            value={to}
            onValue={setTo}
            error={shown.to}
            hint="A mistyped one that is somebody's is lost."
          />
        )}
        <TextField label="Amount in credits" inputMode="decimal" value={text} onValue={setText} error={shown.amount} />
        {kind === 'transfer' && (
          <TextField label="Memo" value={memo} onValue={setMemo} error={shown.memo} hint="For everybody to read" />
        )}
        <div className="row">
          <Button tone="primary" type="submit" busy={send.busy}>
            {titles[kind]}…
          </Button>
        </div>
      </form>
      <Command line={command} />
      <Dialog title={titles[kind]} open={asking} onClose={() => setAsking(false)}>
        <p>
          <strong>{'micros' in amount ? credits(amount.micros) : ''} credits</strong>
          {kind === 'transfer'
            ? ' go to'
            : kind === 'bond'
              ? ' go into the bond of this node.'
              : ' leave the bond once its lock is over.'}
        </p>
        {kind === 'transfer' && <p className="mono">{visible(to.trim())}</p>}
        <p className="muted">A transaction that is final cannot be taken back.</p>
        <div className="dialog-actions">
          <Button tone="primary" onClick={() => send.run()}>
            Confirm
          </Button>
          <Button onClick={() => setAsking(false)}>Cancel</Button>
        </div>
      </Dialog>
    </Panel>
  );
}

function tooMuch(kind: Kind, account: Account, micros: string): string | undefined {
  const most = kind === 'unbond' ? account.bonded : account.balance;
  return BigInt(micros) > BigInt(most) ? `There are ${credits(most)} credits.` : undefined;
}

function History({ height }: { height: number }) {
  const { mesh } = useSession();
  const reading = useRead(`history ${height}`, (signal) =>
    unwrap(
      mesh.api.GET('/api/v1/ledger/accounts/{account}/history', {
        params: { path: { account: 'self' }, query: { limit: 50 } },
        signal,
      }),
    ),
  );
  return (
    <Panel title="History">
      <Read reading={reading}>
        {(history) =>
          history.transactions.length === 0 ? (
            <Empty title="No transaction yet" />
          ) : (
            <Table
              label="Transactions"
              rows={history.transactions}
              rowKey={(one, index) => `${one.cid} ${index}`}
              columns={[
                { key: 'time', title: 'Time', render: (one) => clock(one.time) },
                {
                  key: 'block',
                  title: 'Block',
                  align: 'end',
                  render: (one) => <Link href={`/ledger/blocks/${one.height}`}>{count(one.height)}</Link>,
                },
                { key: 'kind', title: 'What', render: (one) => `${visible(one.direction)} ${visible(one.kind)}` },
                {
                  key: 'fields',
                  title: 'Of',
                  render: (one) => <code>{excerpt(JSON.stringify(one.fields), 100)}</code>,
                },
              ]}
            />
          )
        }
      </Read>
      <Command line={line('wallet', 'history')} />
    </Panel>
  );
}
