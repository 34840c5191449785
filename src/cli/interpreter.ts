import type { ResourceInterpreterCustomization } from "#apis/karmada";
import {
  createCustomizations,
  createInterpreter,
  createLuaEngine,
  type Interpreter,
  nativeSource,
  thirdPartySource,
} from "#interpreter";

/** What a command knows of kinds by itself: customizations of the control plane before the built-in rules; no webhooks. */
export function clientSideInterpreter(
  customizations: readonly ResourceInterpreterCustomization[],
  nowMs: number,
): Interpreter {
  const scripts = createCustomizations({ engine: createLuaEngine({ now: () => nowMs / 1000 }), now: () => nowMs });
  scripts.set(customizations);
  return createInterpreter([scripts.source, thirdPartySource, nativeSource]);
}
