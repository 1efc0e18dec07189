// Long computations in slices, so that a result of 100 MB never holds up a frame: a computation is a generator that yields
// often, and who drives it decides how long a slice is.

export type Work<T> = Generator<void, T, void>;

const SLICE_MS = 8;

/** Runs the work to its end at once. For small inputs and tests. */
export function finish<T>(work: Work<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
}

/** Runs the work in slices of a few milliseconds. An abort rejects with the signal's reason. */
export async function inSlices<T>(work: Work<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    const end = performance.now() + SLICE_MS;
    do {
      const step = work.next();
      if (step.done) return step.value;
    } while (performance.now() < end);
    await nextTask();
  }
}
