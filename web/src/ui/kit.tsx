// The dashboard's small set of components. Text of others goes through visible(); nothing here makes markup from text.
import { useEffect, useId, useRef, useState } from 'react';
import type { ButtonHTMLAttributes, ComponentProps, KeyboardEvent, ReactNode } from 'react';
import type { Reading } from '../data/read';
import { textOf } from '../lib/errors';
import { shortCid, shortPeer } from '../lib/format';
import { visible } from '../lib/visible';

export function Button({
  tone = 'plain',
  busy = false,
  ...props
}: ButtonHTMLAttributes<HTMLButtonElement> & { tone?: 'plain' | 'primary' | 'danger' | 'quiet'; busy?: boolean }) {
  return (
    <button
      type="button"
      {...props}
      className={`button button-${tone} ${props.className ?? ''}`}
      aria-busy={busy || undefined}
      disabled={(props.disabled ?? false) || busy}
    />
  );
}

export type Tone = 'neutral' | 'active' | 'good' | 'warn' | 'bad';

export function Badge({ tone = 'neutral', children }: { tone?: Tone; children: ReactNode }) {
  return <span className={`badge badge-${tone}`}>{children}</span>;
}

const tones: Readonly<Record<string, Tone>> = {
  bidding: 'active',
  running: 'active',
  reducing: 'active',
  fetching: 'active',
  committed: 'active',
  verifying: 'active',
  waiting: 'neutral',
  queued: 'neutral',
  paused: 'warn',
  done: 'good',
  accepted: 'good',
  agreed: 'good',
  failed: 'bad',
  rejected: 'bad',
  disagreed: 'bad',
  stopped: 'warn',
  cancelled: 'warn',
  revealed: 'active',
  spot_checked: 'good',
  disputed: 'bad',
  unverified: 'warn',
  undetermined: 'warn',
};

/** A state of the API by its own name. */
export function StateBadge({ state }: { state: string }) {
  return <Badge tone={tones[state] ?? 'neutral'}>{visible(state)}</Badge>;
}

export function Text({ children }: { children: string }) {
  return <>{visible(children)}</>;
}

/** A PeerId by its end, as the command line shortens it. */
export function PeerName({ peer, self }: { peer: string; self?: string | undefined }) {
  return (
    <span className="mono" title={visible(peer)}>
      {visible(shortPeer(peer))}
      {peer === self && <span className="muted"> (this node)</span>}
    </span>
  );
}

/** A CID or another long name, shortened, with a button that copies all of it. */
export function Id({ value, full = false }: { value: string; full?: boolean }) {
  return (
    <span className="id">
      <span className="mono" title={visible(value)}>
        {visible(full ? value : shortCid(value))}
      </span>
      <Copy text={value} label="Copy" />
    </span>
  );
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = () => {
    navigator.clipboard.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <button type="button" className="copy" onClick={copy} aria-label={`${label}: ${visible(text).slice(0, 80)}`}>
      <svg
        viewBox="0 0 16 16"
        width="14"
        height="14"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
        aria-hidden="true"
      >
        {copied ? <path d="M3 8.5l3.5 3.5L13 4.5" /> : <path d="M5.5 5.5h8v8h-8zM3 10.5h-.5v-8h8v.5" />}
      </svg>
      <span className="sr-only" aria-live="polite">
        {copied ? 'copied' : ''}
      </span>
    </button>
  );
}

/** The command line that does the same. */
export function Command({ line }: { line: string }) {
  return (
    <div className="command">
      <code>{visible(line)}</code>
      <Copy text={visible(line)} label="Copy the command" />
    </div>
  );
}

export function Panel({
  title,
  actions,
  children,
  flush = false,
}: {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  flush?: boolean;
}) {
  const id = useId();
  return (
    <section className={`panel ${flush ? 'panel-flush' : ''}`} aria-labelledby={title ? id : undefined}>
      {(title || actions) && (
        <header className="panel-head">
          {title && <h2 id={id}>{title}</h2>}
          {actions && <div className="row">{actions}</div>}
        </header>
      )}
      <div className="panel-body">{children}</div>
    </section>
  );
}

export function PageHead({ title, sub, actions }: { title: ReactNode; sub?: ReactNode; actions?: ReactNode }) {
  return (
    <header className="page-head">
      <div>
        <h1 tabIndex={-1}>{title}</h1>
        {sub && <p className="muted">{sub}</p>}
      </div>
      {actions && <div className="row">{actions}</div>}
    </header>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function Failure({ error, again }: { error: unknown; again?: () => void }) {
  return (
    <div className="note note-bad" role="alert">
      <span>{visible(textOf(error))}</span>
      {again && (
        <Button tone="quiet" onClick={again}>
          Try again
        </Button>
      )}
    </div>
  );
}

/** What a reading came to: its data, its error, or that it is on its way. */
export function Read<T>({ reading, children }: { reading: Reading<T>; children: (data: T) => ReactNode }) {
  return (
    <>
      {reading.error !== undefined && <Failure error={reading.error} again={reading.again} />}
      {reading.data !== undefined
        ? children(reading.data)
        : reading.error === undefined && <p className="muted loading">Reading…</p>}
    </>
  );
}

export function Facts({ items }: { items: readonly (readonly [name: string, value: ReactNode])[] }) {
  return (
    <dl className="facts">
      {items.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Meter({ value, max, label }: { value: number; max: number; label: string }) {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  return (
    <div
      className="meter"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
    >
      <div style={{ transform: `scaleX(${share})` }} />
    </div>
  );
}

export function Field({
  label,
  hint,
  error,
  children,
}: {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  children: (props: { id: string; 'aria-describedby': string; 'aria-invalid': boolean }) => ReactNode;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, 'aria-describedby': `${id}-hint`, 'aria-invalid': error !== undefined })}
      <div id={`${id}-hint`} className={error === undefined ? 'hint' : 'hint hint-bad'}>
        {error === undefined ? hint : visible(error)}
      </div>
    </div>
  );
}

export function TextField({
  label,
  hint,
  error,
  onValue,
  ...props
}: Omit<ComponentProps<'input'>, 'onChange'> & {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  onValue: (value: string) => void;
}) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(aria) => (
        <input
          type="text"
          autoComplete="off"
          spellCheck={false}
          {...props}
          {...aria}
          onChange={(event) => onValue(event.target.value)}
        />
      )}
    </Field>
  );
}

export function Check({
  label,
  checked,
  onValue,
}: {
  label: ReactNode;
  checked: boolean;
  onValue: (value: boolean) => void;
}) {
  return (
    <label className="check">
      <input type="checkbox" checked={checked} onChange={(event) => onValue(event.target.checked)} />
      <span>{label}</span>
    </label>
  );
}

/** Tabs as the ARIA practices have them: one stop for the Tab key, arrows between them. With children, and what they show. */
export function Tabs<K extends string>({
  label,
  tabs,
  value,
  onValue,
  children,
}: {
  label: string;
  tabs: readonly (readonly [key: K, title: ReactNode])[];
  value: K;
  onValue: (key: K) => void;
  children?: ReactNode;
}) {
  const base = useId();
  const list = useRef<HTMLDivElement>(null);
  const panel = children === undefined ? undefined : `${base}-panel`;
  const move = (event: KeyboardEvent) => {
    const at = tabs.findIndex(([key]) => key === value);
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const place = (step + tabs.length) % tabs.length;
    const next = tabs[place];
    if (next) onValue(next[0]);
    list.current?.querySelectorAll<HTMLElement>('[role=tab]')[place]?.focus();
  };
  return (
    <>
      <div className="tabs" role="tablist" aria-label={label} ref={list} onKeyDown={move}>
        {tabs.map(([key, title]) => (
          <button
            key={key}
            type="button"
            role="tab"
            id={`${base}-${key}`}
            aria-selected={key === value}
            aria-controls={panel}
            tabIndex={key === value ? 0 : -1}
            onClick={() => onValue(key)}
          >
            {title}
          </button>
        ))}
      </div>
      {panel !== undefined && (
        <div role="tabpanel" id={panel} aria-labelledby={`${base}-${value}`}>
          {children}
        </div>
      )}
    </>
  );
}

/** A modal dialog: the browser keeps the focus inside, closes it with Escape and gives the focus back. */
export function Dialog({
  title,
  open,
  onClose,
  children,
}: {
  title: string;
  open: boolean;
  onClose: () => void;
  children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    if (!element) return;
    if (open && !element.open) element.showModal();
    if (!open && element.open) element.close();
  }, [open]);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose}>
      {open && (
        <>
          <h2 id={id}>{title}</h2>
          {children}
        </>
      )}
    </dialog>
  );
}
