// The frame around all pages: navigation, the connection's state, messages, and routes.
import { Suspense, lazy, useEffect, useEffectEvent, useRef } from 'react';
import type { ReactNode } from 'react';
import { Link, Redirect, Route, Switch, useLocation } from 'wouter';
import { Jobs } from '../pages/Jobs';
import { Button, Empty } from '../ui/kit';
import { clock, shortPeer } from '../lib/format';
import { visible } from '../lib/visible';
import { useLive, useSession } from './session';
import type { Theme } from './theme';
import { useTheme } from './theme';

const Activity = lazy(() => import('../pages/Activity'));
const Content = lazy(() => import('../pages/Content'));
const JobPage = lazy(() => import('../pages/Job'));
const Ledger = lazy(() => import('../pages/Ledger'));
const LedgerBlock = lazy(() => import('../pages/LedgerBlock'));
const MapPage = lazy(() => import('../pages/Map'));
const Peers = lazy(() => import('../pages/Peers'));
const Settings = lazy(() => import('../pages/Settings'));
const Submit = lazy(() => import('../pages/Submit'));
const Wallet = lazy(() => import('../pages/Wallet'));

const places: readonly (readonly [path: string, name: string])[] = [
  ['/submit', 'Submit'],
  ['/jobs', 'Jobs'],
  ['/map', 'Map'],
  ['/content', 'Content'],
  ['/wallet', 'Wallet'],
  ['/ledger', 'Ledger'],
  ['/peers', 'Peers'],
  ['/activity', 'Activity'],
  ['/settings', 'Settings'],
];

export function Shell() {
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <Navigation />
      <div className="content">
        <Banner />
        <Page>
          <Switch>
            <Route path="/">
              <Redirect to="/jobs" replace />
            </Route>
            <Route path="/jobs" component={Jobs} />
            <Route path="/jobs/:id">{({ id }) => <JobPage key={id} id={id} />}</Route>
            <Route path="/submit" component={Submit} />
            <Route path="/map" component={MapPage} />
            <Route path="/content" component={Content} />
            <Route path="/wallet" component={Wallet} />
            <Route path="/ledger" component={Ledger} />
            <Route path="/ledger/blocks/:height">{({ height }) => <LedgerBlock height={Number(height)} />}</Route>
            <Route path="/peers" component={Peers} />
            <Route path="/activity" component={Activity} />
            <Route path="/settings" component={Settings} />
            <Route>
              <Empty title="There is no such page">
                <Link href="/jobs">Go to the jobs</Link>
              </Empty>
            </Route>
          </Switch>
        </Page>
      </div>
      <Messages />
    </div>
  );
}

function Page({ children }: { children: ReactNode }) {
  const [path] = useLocation();
  const main = useRef<HTMLElement>(null);
  const last = useRef(path);
  useEffect(() => {
    const name = places.find(([place]) => path.startsWith(place))?.[1];
    document.title = name ? `${name} · Meshwork` : 'Meshwork';
  }, [path]);
  const arrive = () => {
    if (last.current === path) return;
    last.current = path;
    scrollTo(0, 0);
    (main.current?.querySelector<HTMLElement>('h1') ?? main.current)?.focus({ preventScroll: true });
  };
  return (
    <main id="main" ref={main} tabIndex={-1}>
      <Suspense fallback={<p className="muted loading">Opening…</p>}>
        {children}
        <Arrival key={path} onArrival={arrive} />
      </Suspense>
    </main>
  );
}

/**
 * Takes the focus to the new page's heading, so that a keyboard and a screen reader begin there: beside the page, since one
 * that is still being loaded has no heading, and the page before has its own for so long.
 */
function Arrival({ onArrival }: { onArrival: () => void }) {
  const arrive = useEffectEvent(onArrival);
  useEffect(() => arrive(), []);
  return null;
}

function Navigation() {
  const [path] = useLocation();
  const node = useLive((state) => state.node);
  const connection = useLive((state) => state.connection);
  const running = useLive((state) => countRunning(state.jobs));
  return (
    <nav className="nav" aria-label="Pages">
      <Link href="/jobs" className="brand">
        <img src="/icon.svg" alt="" width="24" height="24" />
        <span>Meshwork</span>
      </Link>
      <ul>
        {places.map(([place, name]) => (
          <li key={place}>
            <Link href={place} aria-current={path.startsWith(place) ? 'page' : undefined}>
              {name}
              {place === '/jobs' && running > 0 && (
                <span className="count" title={`${running} jobs run`}>
                  {running}
                </span>
              )}
            </Link>
          </li>
        ))}
      </ul>
      <div className="nav-foot">
        <ThemeChoice />
        <p className="node-line" title={node ? visible(node.peer) : undefined}>
          <span className={`dot dot-${connection}`} aria-hidden="true" />
          {node ? <span className="mono">{visible(shortPeer(node.peer))}</span> : 'no answer yet'}
          <span className="sr-only">, {connection === 'open' ? 'connected' : connection}</span>
        </p>
        {node && <p className="muted small">{visible(node.federation.name)}</p>}
      </div>
    </nav>
  );
}

function countRunning(jobs: ReadonlyMap<string, { ended: boolean }>): number {
  let running = 0;
  for (const job of jobs.values()) if (!job.ended) ++running;
  return running;
}

function ThemeChoice() {
  const [theme, setTheme] = useTheme();
  return (
    <label className="theme">
      <span className="sr-only">Theme</span>
      <select value={theme} onChange={(event) => setTheme(event.target.value as Theme)}>
        <option value="system">As the system</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}

function Banner() {
  const { store } = useSession();
  const connection = useLive((state) => state.connection);
  const restartedAt = useLive((state) => state.restartedAt);
  const node = useLive((state) => state.node);
  return (
    <div aria-live="polite" className="banners">
      {connection === 'lost' && (
        <div className="banner banner-bad">
          The node does not answer. What you see is what it said last; this page connects again by itself.
        </div>
      )}
      {connection === 'open' && restartedAt !== null && (
        <div className="banner banner-warn">
          <span>The node was started again at {clock(node?.started ?? '')}; everything here was read anew.</span>
          <Button tone="quiet" onClick={() => store.update((state) => ({ ...state, restartedAt: null }))}>
            Dismiss
          </Button>
        </div>
      )}
      {connection === 'open' && node && !node.ready && (
        <div className="banner banner-bad">The node is not ready: {visible(node.reason)}</div>
      )}
    </div>
  );
}

function Messages() {
  const { messages, dismiss } = useSession();
  return (
    <div className="messages" role="log" aria-label="Messages">
      {messages.map((message) => (
        <div key={message.id} className={`message message-${message.kind}`}>
          <span>{visible(message.text)}</span>
          <Button tone="quiet" onClick={() => dismiss(message.id)} aria-label="Dismiss">
            ×
          </Button>
        </div>
      ))}
    </div>
  );
}
