import { keepWrittenLonger } from "#machinery";
import { BURST_MS, spendHeap } from "../heap.ts";

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
