import type { Socket } from 'node:net'
import type { Exchange } from './exchange.ts'

/** Requests that one connection may have sent before the first of them is answered. */
const pipelinedMax = 16

/** The answers that one connection waits for. */
interface Line {
  /** Resolves when the last of them is through. */
  last: Promise<void>
  readonly waiting: Set<Exchange>
}

/** Requests of one connection are answered in their order: one at a time reads and holds anything. */
export class AnswerLines {
  readonly #lines = new WeakMap<Socket, Line>()

  /** `answer` never rejects. */
  async take(exchange: Exchange, answer: (exchange: Exchange) => Promise<void>): Promise<void> {
    const { socket } = exchange.request
    const line = this.#lines.get(socket) ?? this.#newLine(socket)
    if (line.waiting.size === pipelinedMax) {
      socket.destroy()
      return
    }
    line.waiting.add(exchange)
    line.last = line.last.then(() => answer(exchange))
    await line.last
    line.waiting.delete(exchange)
  }

  #newLine(socket: Socket): Line {
    const line: Line = { last: Promise.resolve(), waiting: new Set() }
    this.#lines.set(socket, line)
    socket.once('close', () => {
      for (const exchange of line.waiting) exchange.gone()
    })
    return line
  }
}
