import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'

/** Something that is stored, as it is written, and what a reader makes of it. */
export interface FormatSample {
  /** Always the same: hex, or text where it is text. */
  readonly write: () => string | Promise<string>
  /** What it means, as JSON; absent where nobody reads it but by writing it again. */
  readonly read?: (written: string) => unknown
}

/** What a page of docs/formats/ describes. */
export interface StoredFormat {
  /** Of the page, without `.md`. */
  readonly page: string
  /** Of what is written now. Another one for every change of a sample. */
  readonly version: string
  readonly samples: Readonly<Record<string, FormatSample>>
}

/** Of one page. */
export interface RecordedFormat {
  readonly version: string
  readonly samples: Readonly<
    Record<string, { readonly written: string; readonly meaning?: unknown }>
  >
}

/** By page. */
export type RecordedFormats = Readonly<Record<string, RecordedFormat>>

export async function recordFormats(formats: readonly StoredFormat[]): Promise<RecordedFormats> {
  const record: Record<string, RecordedFormat> = {}
  for (const { page, version, samples } of formats) {
    const recorded: Record<string, RecordedFormat['samples'][string]> = {}
    for (const [name, { write, read }] of Object.entries(samples)) {
      const written = await write()
      const meaning = read === undefined ? undefined : meaningOf(await read(written))
      recorded[name] = meaning === undefined ? { written } : { written, meaning }
    }
    record[page] = { version, samples: recorded }
  }
  return record
}

/** As JSON has it, bytes in hex. */
export function meaningOf(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) => {
      if (part instanceof Map) return [...part]
      if (part instanceof Uint8Array) return Buffer.from(part).toString('hex')
      return isBufferJson(part) ? Buffer.from(part.data).toString('hex') : part
    }),
  ) as unknown
}

/** A buffer becomes this before anybody else sees it. */
function isBufferJson(part: unknown): part is { readonly data: readonly number[] } {
  return typeof part === 'object' && part !== null && 'type' in part && part.type === 'Buffer'
}

/** What the page says of the samples, so that one is not changed without the other. */
export function digestOf({ version, samples }: RecordedFormat): string {
  const names = Object.keys(samples).toSorted()
  const text = JSON.stringify([version, names.map((name) => [name, samples[name]?.written])])
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

/** What must not be so when the formats that were recorded `before` become what is written `now`. */
export function changesWithoutVersion(
  before: RecordedFormats,
  now: RecordedFormats,
): readonly string[] {
  return Object.entries(before).flatMap(([page, old]) => {
    const young = now[page]
    if (young === undefined) return [`${page}: nothing of it is written any more`]
    if (young.version !== old.version) return []
    return Object.entries(old.samples)
      .filter(([name, { written }]) => young.samples[name]?.written !== written)
      .map(
        ([name]) =>
          `${page}: "${name}" is written differently, and the version is still ${old.version}`,
      )
  })
}

/** Pages that do not say what is written now. @param pages by name, without `.md`. */
export function undescribed(
  now: RecordedFormats,
  pages: Readonly<Record<string, string>>,
): readonly string[] {
  const missing = Object.keys(pages).filter((page) => now[page] === undefined)
  const stale = Object.entries(now).filter(
    ([page, format]) => pages[page]?.includes(digestOf(format)) !== true,
  )
  return [
    ...missing.map((page) => `docs/formats/${page}.md: no sample is written of it`),
    ...stale.map(
      ([page, format]) =>
        `docs/formats/${page}.md: describe what has changed, then say there: samples \`${digestOf(format)}\``,
    ),
  ]
}

/** What this release reads otherwise than the one that wrote it, or not at all. */
export async function unread(
  formats: readonly StoredFormat[],
  recorded: RecordedFormats,
): Promise<readonly string[]> {
  const problems: string[] = []
  for (const [page, { samples }] of Object.entries(recorded)) {
    const format = formats.find((known) => known.page === page)
    for (const [name, { written, meaning }] of Object.entries(samples)) {
      if (meaning === undefined) continue
      const read = format?.samples[name]?.read
      const problem =
        read === undefined
          ? 'is read by nobody any more'
          : await problemOf(() => read(written), meaning)
      if (problem !== undefined) problems.push(`${page}: "${name}" ${problem}`)
    }
  }
  return problems
}

async function problemOf(read: () => unknown, meaning: unknown): Promise<string | undefined> {
  try {
    const is = meaningOf(await read())
    if (isDeepStrictEqual(meaning, is)) return undefined
    return `meant ${JSON.stringify(meaning)}, and is read as ${JSON.stringify(is)}`
  } catch (error) {
    return `is not read any more: ${String(error)}`
  }
}
