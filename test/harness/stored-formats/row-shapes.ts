import { DatabaseSync } from 'node:sqlite'

/** Names of what JSON has, and what is at each: an object, a list of what is in it, or a word for it. */
type Shape = string | { readonly [name: string]: Shape } | readonly Shape[]

/** What is in each column of a store, as far as it is the same each time: by `table.column`. */
export function rowShapes(metadata: string): Readonly<Record<string, readonly Shape[]>> {
  using database = new DatabaseSync(metadata, { readOnly: true })
  const tables = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
  const shapes: Record<string, readonly Shape[]> = {}
  for (const { name } of tables) {
    const rows = database.prepare(`SELECT * FROM "${String(name)}"`).all()
    const columns = database.prepare('SELECT name FROM pragma_table_info(?) ORDER BY name')
    for (const { name: column } of columns.all(String(name))) {
      const found = rows.map((row) => shapeOf(row[String(column)]))
      // What an empty text or a null stands for is there or not as it comes.
      const known = unique(found).filter((shape) => shape !== 'none')
      if (known.some((shape) => shape !== 'number'))
        shapes[`${String(name)}.${String(column)}`] = known
    }
  }
  return shapes
}

function shapeOf(value: unknown): Shape {
  if (value === null || value === '') return 'none'
  if (value instanceof Uint8Array) return 'bytes'
  if (typeof value !== 'string') return 'number'
  return /^[[{]/.test(value) ? jsonShape(JSON.parse(value)) : textShape(value)
}

function jsonShape(value: unknown): Shape {
  if (Array.isArray(value)) return unique(value.map(jsonShape))
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, part]) => [name, jsonShape(part)]),
  )
}

/** Ids and hashes are told from each other, and from what people wrote. */
function textShape(text: string): Shape {
  return text
    .replaceAll(/\b[0-9a-f]{32}\b|\b[0-9a-f]{64}\b/g, (hex) => `hex${hex.length}`)
    .replaceAll(/^(?!hex(?:32|64)).*$/gs, 'text')
}

function unique(shapes: readonly Shape[]): readonly Shape[] {
  const texts = [...new Set(shapes.map((shape) => JSON.stringify(shape)))].toSorted()
  return texts.map((text) => JSON.parse(text) as Shape)
}
