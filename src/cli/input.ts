import type { ByteStream } from '../base/bytes.ts'

/** Standard input, which is opened when it is first asked for. */
export class Input {
  readonly #open: () => AsyncIterable<Uint8Array>

  constructor(open: () => AsyncIterable<Uint8Array>) {
    this.#open = open
  }

  bytes(): ByteStream {
    return this.#open()
  }

  async text(): Promise<string> {
    const decoder = new TextDecoder()
    let text = ''
    for await (const slice of this.#open()) text += decoder.decode(slice, { stream: true })
    return text + decoder.decode()
  }

  /** Up to the end of a line, which is as long as a person's answer is. */
  async firstLine(): Promise<string> {
    const decoder = new TextDecoder()
    let text = ''
    for await (const slice of this.#open()) {
      text += decoder.decode(slice, { stream: true })
      if (text.includes('\n')) break
    }
    return text.split('\n', 1)[0] ?? ''
  }
}
