/** The signal as options take it, which may be left out and never undefined. */
export function signalOf(options: { signal?: AbortSignal | undefined }): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}

/** A promise that `start` resolves, or that the signal rejects with its reason. */
export function abortable(signal: AbortSignal | undefined, start: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    start(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}
