import type { ServerHttp2Session } from 'node:http2'

/**
 * Calls back when a peer has said all that it was about to say: it answers a PING behind that. One at a time, which
 * answers all who have asked before it was sent.
 */
export class Echo {
  readonly #session: ServerHttp2Session
  #waiting: (() => void)[] = []
  #isAsked = false

  constructor(session: ServerHttp2Session) {
    this.#session = session
  }

  /** Calls back at once where the connection is lost. */
  ask(heard: () => void): void {
    this.#waiting.push(heard)
    if (!this.#isAsked) this.#ping()
  }

  #ping(): void {
    const asked = this.#waiting
    this.#waiting = []
    const answered = (): void => {
      this.#isAsked = false
      for (const heard of asked) heard()
      if (!this.#isAsked && this.#waiting.length > 0) this.#ping()
    }
    this.#isAsked = true
    if (this.#session.destroyed || !this.#session.ping(answered)) answered()
  }
}
