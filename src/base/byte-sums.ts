/** Where sums of bytes stay: a larger one could neither be stored nor read exactly. */
export const bytesSumMax: number = Number.MAX_SAFE_INTEGER

/** The sum, or `bytesSumMax` where that is less. */
export function addBytes(left: number, right: number): number {
  return boundBytes(left + right)
}

/** As `addBytes`, of what is added up already, maybe inexactly beyond the bound. */
export function boundBytes(sum: number): number {
  return Math.min(sum, bytesSumMax)
}
