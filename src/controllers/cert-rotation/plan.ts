/** Whether a certificate has little of its life left (`CE-2`): remaining over total at most `threshold`. */
export function isRotationDue(
  life: { readonly notBeforeMs: number; readonly notAfterMs: number },
  nowMs: number,
  threshold: number,
): boolean {
  const totalMs = life.notAfterMs - life.notBeforeMs;
  return totalMs <= 0 || (life.notAfterMs - nowMs) / totalMs <= threshold;
}
