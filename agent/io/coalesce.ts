/**
 * An rxjs operator: what comes while work is under way waits and is then worked on together. No I/O of its own.
 */
import { from, Observable, type ObservableInput, type OperatorFunction } from "rxjs";

/** Calls `project` with all values that wait, never twice at a time; nothing is dropped or reordered. */
export function coalesceMap<Value, Result>(
  project: (values: readonly Value[]) => ObservableInput<Result>,
): OperatorFunction<Value, Result> {
  return (source) =>
    new Observable<Result>((subscriber) => {
      let waiting: Value[] = [];
      let isBusy = false;
      let isEnded = false;

      const next = (): void => {
        if (waiting.length === 0) {
          isBusy = false;
          if (isEnded) subscriber.complete();
          return;
        }
        isBusy = true;
        const values = waiting;
        waiting = [];
        subscriber.add(
          from(project(values)).subscribe({
            next: (result) => subscriber.next(result),
            error: (error) => subscriber.error(error),
            complete: next,
          }),
        );
      };

      subscriber.add(
        source.subscribe({
          next: (value) => {
            waiting.push(value);
            if (!isBusy) next();
          },
          error: (error) => subscriber.error(error),
          complete: () => {
            isEnded = true;
            if (!isBusy) subscriber.complete();
          },
        }),
      );
    });
}
