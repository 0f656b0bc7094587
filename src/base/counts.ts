/** `1 file`, `2 files`. */
export function countText(count: number | bigint, noun: string): string {
  return `${count} ${noun}${Number(count) === 1 ? '' : 's'}`
}

/** `1234567` as `1,234,567`. */
export function groupedText(count: number | bigint): string {
  return count.toLocaleString('en-US')
}
