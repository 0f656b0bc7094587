import { groupedText } from '../../base/counts.ts'
import type { CommandContext } from '../command.ts'
import { StatusLine } from './status-line.ts'

/** How often a line says that a count goes on, where it cannot take the place of the one before. */
const lineEachMs = 10_000

/** Says on standard error that a long count goes on: in one place at a terminal, else by a line now and then. */
export class PlanProgressLines {
  readonly #context: Pick<CommandContext, 'clock' | 'err'>
  readonly #status: StatusLine
  #toldMs: number

  constructor(context: Pick<CommandContext, 'clock' | 'err'>) {
    this.#context = context
    this.#status = new StatusLine(context)
    this.#toldMs = context.clock.monotonicMs()
  }

  async show(datums: bigint): Promise<void> {
    const { clock, err } = this.#context
    const text = `counting datums: ${groupedText(datums)} so far`
    this.#status.show(text)
    if (err.isTerminal || clock.monotonicMs() - this.#toldMs < lineEachMs) return
    this.#toldMs = clock.monotonicMs()
    await err.line(text)
  }

  clear(): void {
    this.#status.clear()
  }
}
