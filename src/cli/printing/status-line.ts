import type { CommandContext } from '../command.ts'

const clearLine = '\r\u001b[K'

/** How far it is, for a person at a terminal. */
export class StatusLine {
  readonly #context: Pick<CommandContext, 'err'>
  #isShown = false

  constructor(context: Pick<CommandContext, 'err'>) {
    this.#context = context
  }

  show(text: string): void {
    const { err } = this.#context
    if (!err.isTerminal) return
    this.#isShown = true
    // Not awaited: a line that a terminal does not take yet is no reason to wait.
    void err.write(`${clearLine}${text}`).catch(() => undefined)
  }

  clear(): void {
    if (!this.#isShown) return
    this.#isShown = false
    void this.#context.err.write(clearLine).catch(() => undefined)
  }
}
