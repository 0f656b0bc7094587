/** Something to read in a list. */
export interface Cell {
  readonly text: string
  readonly href?: string
  readonly isNumber?: true
  /** For who hears it and does not see what is around it. */
  readonly label?: string
}

/** One entry of a list, for people and for programs. */
export interface ListingRow {
  /** As many as the section has columns. */
  readonly cells: readonly Cell[]
  readonly json: Readonly<Record<string, unknown>>
}

/** A list on a page. */
export interface ListingSection {
  /** The name of its array in JSON. */
  readonly name: string
  readonly columns: readonly (Cell | string)[]
  readonly rows: AsyncIterable<ListingRow>
}

/** A page that leads on, of any length. */
export interface Listing {
  readonly title: string
  /** The way from the root to here; what is between two names stands before the second. */
  readonly trail: readonly {
    readonly before: string
    readonly text: string
    readonly href: string
  }[]
  /** What to know about it, for people. */
  readonly facts: readonly string[]
  /** The same in other forms: text and link. */
  readonly forms: readonly { readonly text: string; readonly href: string }[]
  /** What stands before the lists in JSON. */
  readonly json: Readonly<Record<string, unknown>>
  readonly sections: readonly ListingSection[]
}

const batchLength = 32 * 1024
const encoder = new TextEncoder()

/** Joins short texts, so that each is no write of its own. */
export async function* batchedText(texts: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  let batch = ''
  for await (const text of texts) {
    batch += text
    if (batch.length < batchLength) continue
    yield encoder.encode(batch)
    batch = ''
  }
  if (batch !== '') yield encoder.encode(batch)
}

/** One object; each entry of a list is on a line of its own. */
export async function* jsonTexts({ json, sections }: Listing): AsyncGenerator<string> {
  const fields = Object.entries(json).map(
    ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`,
  )
  yield `{${fields.join(',')}`
  let separator = fields.length === 0 ? '' : ','
  for (const { name, rows } of sections) {
    yield `${separator}${JSON.stringify(name)}:[`
    separator = ','
    let before = '\n'
    for await (const row of rows) {
      yield before + JSON.stringify(row.json)
      before = ',\n'
    }
    yield before === '\n' ? ']' : '\n]'
  }
  yield '}\n'
}
