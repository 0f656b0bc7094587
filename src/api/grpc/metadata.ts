import type { IncomingHttpHeaders } from 'node:http'

/** What a caller sent along with a call, by lower-case name. */
export interface Metadata {
  /** The value of `name`; several values are joined by `, `. */
  text(name: string): string | undefined
  /** The value of `name`, which ends in `-bin`. Undefined when it is missing. */
  bytes(name: `${string}-bin`): Uint8Array | undefined
}

export class HeaderMetadata implements Metadata {
  readonly #headers: IncomingHttpHeaders

  constructor(headers: IncomingHttpHeaders) {
    this.#headers = headers
  }

  text(name: string): string | undefined {
    const value = this.#headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  bytes(name: `${string}-bin`): Uint8Array | undefined {
    const text = this.text(name)
    // Several values arrive joined; the last one counts, as for a repeated scalar field.
    const last = text?.split(',').at(-1)
    return last === undefined ? undefined : Buffer.from(last.trim(), 'base64')
  }
}
