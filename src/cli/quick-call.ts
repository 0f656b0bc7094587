import { connect, type Socket } from 'node:net'
import type { Address } from '../client/address.ts'

// Node's HTTP/2 takes as long to load as Node itself takes to start. One small call needs little of
// it: what is here speaks RFC 9113 as far as that call goes, and gives up on everything else.

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const frameHeadBytes = 9
const frameType = { data: 0, headers: 1, reset: 3, settings: 4, goAway: 7 } as const
const frameFlag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const
const messageHeadBytes = 5
/** Texts of headers are shorter, so that their lengths are one byte. */
const textBytesMax = 126

/**
 * Makes a call with an empty request. Returns the answer's message, or undefined when anything at
 * all is unusual: then make the call again with a `Transport`, which says what is wrong.
 */
export async function quickCall(
  address: Address,
  path: string,
  timeoutMs: number,
): Promise<Uint8Array | undefined> {
  const socket = connect({ ...address, noDelay: true })
  try {
    return await new Promise((resolve) => {
      const giveUp = (): void => resolve(undefined)
      socket.on('error', giveUp).on('close', giveUp).setTimeout(timeoutMs, giveUp)
      const answer = new Answer(socket)
      socket.on('data', (bytes) => {
        if (answer.read(bytes)) resolve(answer.message())
      })
      socket.write(requestBytes(path))
    })
  } finally {
    socket.destroy()
  }
}

function requestBytes(path: string): Uint8Array {
  const headers = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', 'pachd'],
    [':path', path],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ].flatMap(([name = '', value = '']) => [Buffer.of(0), headerText(name), headerText(value)])
  return Buffer.concat([
    Buffer.from(preface),
    frame(frameType.settings, 0, 0, Buffer.alloc(0)),
    frame(frameType.headers, frameFlag.endHeaders, 1, Buffer.concat(headers)),
    frame(frameType.data, frameFlag.endStream, 1, Buffer.alloc(messageHeadBytes)),
  ])
}

function headerText(text: string): Buffer {
  if (text.length > textBytesMax) throw new RangeError(`header text of ${text.length} bytes`)
  return Buffer.concat([Buffer.of(text.length), Buffer.from(text, 'latin1')])
}

function frame(type: number, flags: number, stream: number, body: Buffer): Buffer {
  const head = Buffer.alloc(frameHeadBytes)
  head.writeUIntBE(body.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, body])
}

/** The frames that come back. */
class Answer {
  readonly #socket: Socket
  #unread: Buffer = Buffer.alloc(0)
  #data: Buffer = Buffer.alloc(0)

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Takes what has arrived; true when the call has ended, well or not. */
  read(bytes: Buffer): boolean {
    this.#unread = Buffer.concat([this.#unread, bytes])
    while (this.#unread.length >= frameHeadBytes) {
      const end = frameHeadBytes + this.#unread.readUIntBE(0, 3)
      if (this.#unread.length < end) return false
      const [type = 0, flags = 0] = this.#unread.subarray(3, 5)
      const body = this.#unread.subarray(frameHeadBytes, end)
      this.#unread = this.#unread.subarray(end)
      if (this.#take(type, flags, body)) return true
    }
    return false
  }

  #take(type: number, flags: number, body: Buffer): boolean {
    switch (type) {
      case frameType.settings:
        if ((flags & frameFlag.ack) === 0) {
          this.#socket.write(frame(frameType.settings, frameFlag.ack, 0, Buffer.alloc(0)))
        }
        return false
      case frameType.data:
        this.#data = Buffer.concat([this.#data, body])
        return (flags & (frameFlag.padded | frameFlag.endStream)) !== 0
      case frameType.headers:
        return (flags & frameFlag.endStream) !== 0
      default:
        return type === frameType.reset || type === frameType.goAway
    }
  }

  /** The only message, if it is whole and plain. */
  message(): Uint8Array | undefined {
    const data = this.#data
    if (data.length < messageHeadBytes || data[0] !== 0) return undefined
    const size = data.readUInt32BE(1)
    return data.length === messageHeadBytes + size ? data.subarray(messageHeadBytes) : undefined
  }
}
