/**
 * What a change of bindings asks of the shell. Pure.
 */
import type { BindingChange } from "./bindings.ts";
import type { ControllerEffect } from "./controller-port.ts";

/** To be stored before the next effect; nothing for no change. */
export const stored = (changes: readonly BindingChange[]): readonly ControllerEffect[] =>
  changes.length === 0 ? [] : [{ kind: "store-bindings", changes }];
