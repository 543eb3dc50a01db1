/** Waits for the signal that tells a service to stop. Touches the process's signal handlers. */

/**
 * Resolves with the first SIGTERM or SIGINT from now on. The listeners stay: a library that listens
 * too may end the process once it finds itself the only one left.
 */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, resolve);
  });
}
