/** Hears that the process is told to stop. Touches its signals. */

/** `dispose` lets signals do what they do by themselves again. */
export function watchStopSignals(): { readonly received: Promise<void>; dispose(): void } {
  const received = Promise.withResolvers<void>();
  const stop = (): void => received.resolve();
  process.once("SIGTERM", stop).once("SIGINT", stop);
  return {
    received: received.promise,
    dispose: () => void process.off("SIGTERM", stop).off("SIGINT", stop),
  };
}
