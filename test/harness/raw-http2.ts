import { connect, type Socket } from 'node:net'
import { prefixBytes, writePrefix } from '../../src/base/grpc-wire.ts'

/** Types of frames, by RFC 9113. */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const endStream = 1
export const endHeaders = 4

export interface Frame {
  readonly type: number
  readonly flags?: number
  readonly stream?: number
  readonly payload?: Uint8Array
  /** What the frame says of its payload's length, when that is a lie. */
  readonly claimedBytes?: number
}

/** A frame as bytes; nothing is checked, since callers here break every rule. */
export function frame({ type, flags = 0, stream = 0, payload, claimedBytes }: Frame): Buffer {
  const body = payload ?? new Uint8Array(0)
  const head = Buffer.alloc(9)
  head.writeUIntBE(claimedBytes ?? body.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream >>> 0, 5)
  return Buffer.concat([head, body])
}

export const preface: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
/** What every connection begins with. */
export const greeting: Buffer = Buffer.concat([preface, frame({ type: FrameType.settings })])

/** A header field in HPACK, spelled out, without Huffman and outside of the table. */
export function headerField(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), hpackText(name), hpackText(value)])
}

function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const length: number[] = []
  let rest = bytes.length
  if (rest < 127) length.push(rest)
  else {
    length.push(127)
    for (rest -= 127; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128)
    length.push(rest)
  }
  return Buffer.concat([Buffer.from(length), bytes])
}

/** The headers of a call, as a block. */
export function callHeaders(
  path: string,
  more: readonly (readonly [name: string, value: string])[] = [],
): Buffer {
  const fields: readonly (readonly [string, string])[] = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'pachd'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ]
  return Buffer.concat(fields.map(([name, value]) => headerField(name, value)))
}

/** A gRPC message on the wire, with whatever prefix is wanted. */
export function grpcMessage(
  bytes: Uint8Array,
  options: { readonly flag?: number; readonly claimedBytes?: number } = {},
): Buffer {
  const message = Buffer.alloc(prefixBytes + bytes.length)
  writePrefix(message, 0, options.claimedBytes ?? bytes.length)
  message[0] = options.flag ?? 0
  message.set(bytes, prefixBytes)
  return message
}

/** A caller that sends any bytes it likes, in the order and at the pace that it likes. */
export class RawCaller implements Disposable {
  readonly #socket: Socket
  /** Resolves when the connection is closed, by either side. */
  readonly closed: Promise<void>
  #heard: Buffer[] = []
  #onHeard: (() => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    void this.closed.then(() => this.#onHeard?.())
  }

  /** `reads: false` never takes what the server says. */
  static async open(
    port: number,
    { reads = true }: { readonly reads?: boolean } = {},
  ): Promise<RawCaller> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.on('error', () => undefined) // followed by 'close'
    const caller = new RawCaller(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve())
      socket.once('error', reject)
    })
    if (reads) socket.on('data', (bytes) => caller.#hear(bytes))
    return caller
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed
  }

  /** What the server has said, as text of one character a byte. */
  get heard(): string {
    return Buffer.concat(this.#heard).toString('latin1')
  }

  /** Waits until the server takes it. False when the connection is closed. */
  async send(bytes: Uint8Array): Promise<boolean> {
    if (this.#socket.destroyed) return false
    if (!this.#socket.write(bytes)) {
      const drained = new Promise<void>((resolve) => this.#socket.once('drain', () => resolve()))
      await Promise.race([drained, this.closed])
    }
    return !this.#socket.destroyed
  }

  /** Sends without waiting, so that what is not taken piles up here. */
  push(bytes: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes)
  }

  /** Waits until the server has said `text` (anything, if it is empty). False when it has not. */
  async hears(text: string): Promise<boolean> {
    while (this.#heard.length === 0 || !this.heard.includes(text)) {
      if (this.#socket.destroyed) return false
      await new Promise<void>((resolve) => {
        this.#onHeard = resolve
      })
    }
    return true
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }

  #hear(bytes: Buffer): void {
    this.#heard.push(bytes)
    this.#onHeard?.()
  }
}
