import type { ServerHttp2Session } from 'node:http2'
import type { Clock } from '../../base/clock.ts'

/** A peer that is to answer has so long, and is asked again as soon as it has. */
const roundMs = 60_000
/** Who is slow to answer because it is sending has sent this much meanwhile: a KiB a second. */
const progressBytesMin = 64 * 1024

interface Asked {
  answered: boolean
  readBytes: number
}

/**
 * Closes connections whose peer is gone, or that never come to the end of what they say: headers
 * without an end, half a frame, a preface and nothing else.
 *
 * Each is asked by a PING, which everybody who speaks HTTP/2 answers at once, between two frames. A
 * connection that is merely idle stays.
 */
export class PeerWatch {
  readonly #clock: Clock
  readonly #peers = new Map<ServerHttp2Session, Asked>()
  #rounds: AbortController | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(session: ServerHttp2Session): void {
    this.#peers.set(session, { answered: true, readBytes: 0 })
    session.once('close', () => {
      this.#peers.delete(session)
      if (this.#peers.size > 0) return
      this.#rounds?.abort()
      this.#rounds = undefined
    })
    if (this.#rounds !== undefined) return
    this.#rounds = new AbortController()
    this.#goRound(this.#rounds.signal).catch(() => {}) // all are gone
  }

  async #goRound(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#clock.sleep(roundMs, signal)
      for (const [session, asked] of this.#peers) this.#ask(session, asked)
    }
  }

  #ask(session: ServerHttp2Session, asked: Asked): void {
    if (session.destroyed) return
    const readBytes = session.socket.bytesRead
    if (!asked.answered) {
      if (readBytes - asked.readBytes < progressBytesMin) session.destroy()
      else asked.readBytes = readBytes
      return
    }
    asked.answered = false
    asked.readBytes = readBytes
    session.ping((error) => {
      if (error === null) asked.answered = true
    })
  }
}
