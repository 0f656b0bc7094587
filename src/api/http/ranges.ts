/** What a `Range` header asks for of a file. */
export type RangeAnswer =
  /** All of it: nothing was asked, or nothing that has a meaning. */
  | { readonly kind: 'whole' }
  /** From `start` up to but without `end`; at least one byte. */
  | { readonly kind: 'part'; readonly start: number; readonly end: number }
  /** Nothing that is there. */
  | { readonly kind: 'unsatisfiable' }
  /** Several ranges, which are not served. */
  | { readonly kind: 'several' }

const wholeFile: RangeAnswer = { kind: 'whole' }

/**
 * Reads a `Range` header by RFC 9110, section 14: `bytes=0-99`, `bytes=100-`, `bytes=-100`. Units that are
 * not known and what is malformed mean nothing, as that asks for.
 */
export function parseRange(header: string | undefined, sizeBytes: number): RangeAnswer {
  const list = /^\s*bytes\s*=(.*)$/i.exec(header ?? '')?.[1]
  if (list === undefined) return wholeFile
  const ranges = list
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
  const parsed = ranges.map((text) => /^(\d*)-(\d*)$/.exec(text))
  const [only] = parsed
  if (only === undefined || parsed.some((match) => match === null || match[0] === '-')) {
    return wholeFile
  }
  if (parsed.length > 1) return { kind: 'several' }
  const [, first = '', last = ''] = only ?? []
  if (first === '') return suffix(Number(last), sizeBytes)
  const start = Number(first)
  const end = last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes)
  if (last !== '' && Number(last) < start) return wholeFile
  return start < end ? { kind: 'part', start, end } : { kind: 'unsatisfiable' }
}

/** The last `count` bytes, or all there are. */
function suffix(count: number, sizeBytes: number): RangeAnswer {
  if (count === 0) return { kind: 'unsatisfiable' }
  // Of an empty file all of it, which no part can say.
  if (sizeBytes === 0) return wholeFile
  return { kind: 'part', start: Math.max(0, sizeBytes - count), end: sizeBytes }
}
