import { keepWrittenLonger } from "#machinery";
import { spendHeap } from "../heap.ts";

/** How long a burst goes on after it was last said. */
const BURST_MS = 2_000;

let end: NodeJS.Timeout | undefined;

/** Says that much is to be done at once: memory comes after the time it saves for as long. Saying it again costs next to nothing. */
export function spendMemory(): void {
  spendHeap();
  if (end !== undefined) {
    end.refresh();
    return;
  }
  keepWrittenLonger(true);
  end = setTimeout(() => {
    end = undefined;
    keepWrittenLonger(false);
  }, BURST_MS).unref();
}
