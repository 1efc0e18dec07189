// The state of a mesh's event streams, for a user interface: what all streams that are being read come to together.

export type ConnectionState = 'connecting' | 'open' | 'closed';

export interface ConnectionStatus {
  readonly state: ConnectionState;
  /** Why it is not open; may hold the node's words. */
  readonly reason: string;
}

const IDLE: ConnectionStatus = { state: 'closed', reason: 'no events are being read' };

/** Dispatches `change`. `status` is a new object after each change and only then, as React's external stores want it. */
export class Connection extends EventTarget {
  #status = IDLE;
  #streams = new Map<object, ConnectionStatus>();

  get status(): ConnectionStatus {
    return this.#status;
  }
  get state(): ConnectionState {
    return this.#status.state;
  }
  get reason(): string {
    return this.#status.reason;
  }

  /** Calls `listener` after each change, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    this.addEventListener('change', listener);
    return () => this.removeEventListener('change', listener);
  }

  /** @internal */
  report(stream: object, status: ConnectionStatus): void {
    this.#streams.set(stream, status);
    this.#change();
  }
  /** @internal With a reason that outlasts the stream, if it ended by an error. */
  forget(stream: object, reason?: string): void {
    this.#streams.delete(stream);
    this.#change(reason === undefined ? IDLE : { state: 'closed', reason });
  }

  #change(idle: ConnectionStatus = IDLE): void {
    const all = [...this.#streams.values()];
    const next = all.find((one) => one.state === 'connecting') ?? all.find((one) => one.state === 'open') ?? idle;
    if (next.state === this.#status.state && next.reason === this.#status.reason) return;
    this.#status = next;
    this.dispatchEvent(new Event('change'));
  }
}
