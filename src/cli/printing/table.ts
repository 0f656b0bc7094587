import type { Output } from '../../base/output.ts'
import { isColoured } from './colours.ts'
import { visible } from './visible.ts'

/** How the cells of a table are padded: every one, also the last of its line. */
export interface TableShape {
  readonly cellWidthMin: number
  /** Blanks after the longest cell of a column, at least. */
  readonly gap: number
}

export const plainTable: TableShape = { cellWidthMin: 20, gap: 3 }
export const denseTable: TableShape = { cellWidthMin: 0, gap: 1 }

/** Rows of a table that need not be even with what comes later. */
const longRowCount = 1000
const plainCell = /^[ -~]*$/
const escapeStart = '\u001b['

/** Grows as rows need it, and never shrinks. */
type Widths = number[]

/**
 * Prints rows in columns. Rows wait until `flush`, which makes columns as wide as they need to be
 * so far; so a long table can be printed while it comes, and a short one is even.
 */
export class Table {
  readonly #out: Pick<Output, 'write'>
  readonly #shape: TableShape
  readonly #widths: Widths = []
  #rows: (readonly string[])[] = []

  constructor(out: Pick<Output, 'write'>, shape: TableShape = plainTable) {
    this.#out = out
    this.#shape = shape
  }

  add(...cells: readonly string[]): void {
    this.#rows.push(cells)
  }

  /** As `flush`, where many rows wait: so a short table that comes in parts is even, too. */
  async flushLong(): Promise<void> {
    if (this.#rows.length >= longRowCount) await this.flush()
  }

  async flush(): Promise<void> {
    const rows = this.#rows
    this.#rows = []
    await this.#out.write(rowsText(rows, this.#shape, this.#widths))
  }
}

/** A whole table. */
export function tableText(rows: readonly (readonly string[])[], shape: TableShape): string {
  return rowsText(rows, shape, [])
}

function rowsText(raw: readonly (readonly string[])[], shape: TableShape, widths: Widths): string {
  const rows = raw.map((cells) => cells.map(visibleCell))
  for (const cells of rows) {
    for (const [index, cell] of cells.entries()) {
      const width = Math.max(shape.cellWidthMin, cellWidth(cell) + shape.gap)
      widths[index] = Math.max(widths[index] ?? 0, width)
    }
  }
  let text = ''
  for (const cells of rows) {
    for (const [index, cell] of cells.entries()) {
      text += cell + ' '.repeat((widths[index] ?? 0) - cellWidth(cell))
    }
    text += '\n'
  }
  return text
}

function visibleCell(cell: string): string {
  return plainCell.test(cell) || isColoured(cell) ? cell : visible(cell)
}

/** In characters; escapes take no place on a screen. */
function cellWidth(cell: string): number {
  if (plainCell.test(cell)) return cell.length
  let width = 0
  for (const _ of withoutEscapes(cell)) width += 1
  return width
}

function withoutEscapes(cell: string): string {
  const [first = '', ...rest] = cell.split(escapeStart)
  return first + rest.map((part) => part.slice(part.indexOf('m') + 1)).join('')
}
