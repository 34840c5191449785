import { isConflict } from "#machinery";

/** Tries of `retryOnConflict`, as client-go's default. */
const TRIES_MAX = 5;

/**
 * Repeats `attempt` while it fails by conflict, five times at most. `attempt` must read the object anew each time; it is
 * told the number of the try so that the first may use a cached copy.
 */
export async function retryOnConflict<T>(attempt: (tryNumber: number) => Promise<T>): Promise<T> {
  for (let tryNumber = 0; ; tryNumber++) {
    try {
      return await attempt(tryNumber);
    } catch (error) {
      if (!isConflict(error) || tryNumber + 1 >= TRIES_MAX) throw error;
    }
  }
}
