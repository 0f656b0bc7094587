/** What gRPC over HTTP/2 looks like on the wire, for both of its ends. */

/** Status codes by name. */
export const Code = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const

export type Code = (typeof Code)[keyof typeof Code]

const codes: ReadonlySet<number> = new Set(Object.values(Code))

/** The code that a `grpc-status` header says; what is missing or not a code is `unknown`. */
export function parseCode(text: string | undefined): Code {
  if (text === undefined || !/^\d{1,2}$/.test(text)) return Code.unknown
  const code = Number(text)
  return codes.has(code) ? (code as Code) : Code.unknown
}

/**
 * What our own callers over HTTP/2 say they are. It promises that they cancel a stream of requests by nothing
 * but a reset.
 */
export const ownUserAgent = 'pachyderm-ts'

/** The trailer that carries an `ErrorKind`. */
export const errorKindTrailer = 'pachyderm-error-kind'

/** No message is larger, in either direction. */
export const messageBytesMax: number = 20 * 1024 * 1024

/** Flow control and frames of both ends: a stream can fill a fast link without waiting. */
export const streamWindowBytes: number = 8 * 1024 * 1024
export const connectionWindowBytes: number = 32 * 1024 * 1024
export const frameBytesMax: number = 1024 * 1024

/** A message goes as one flag byte (1: compressed), its size in four bytes, and its bytes. */
export const prefixBytes = 5

/** In gRPC-Web, the flag byte of the last frame, which is not a message but the status. */
export const trailersFlag = 0x80

export const webContentType = 'application/grpc-web+proto'

export function isWebContentType(text: string): boolean {
  return /^application\/grpc-web(?:\+proto)?(?:$|;)/.test(text)
}

/** Writes the prefix of an uncompressed message of `size` bytes at `offset` of `target`. */
export function writePrefix(target: Uint8Array, offset: number, size: number): void {
  target[offset] = 0
  target[offset + 1] = size >>> 24
  target[offset + 2] = size >>> 16
  target[offset + 3] = size >>> 8
  target[offset + 4] = size
}

/**
 * A message ready to go: its bytes, or parts that make it up when joined. What is handed over in
 * this form must not change afterwards: it is sent later, without a copy.
 */
export type EncodedMessage = Uint8Array | readonly Uint8Array[]

export function encodedBytes(message: EncodedMessage): number {
  if (message instanceof Uint8Array) return message.length
  let size = 0
  for (const part of message) size += part.length
  return size
}

const statusMessageBytesMax = 8 * 1024
const encoder = new TextEncoder()

/**
 * A status message as the `grpc-message` header wants it: UTF-8, percent-encoded outside of
 * printable ASCII. Longer texts than a header can hold are cut.
 */
export function encodeStatusMessage(text: string): string {
  if (/^[\u0020-\u0024\u0026-\u007e]*$/.test(text) && text.length <= statusMessageBytesMax) {
    return text
  }
  let encoded = ''
  for (const character of text) {
    let piece = ''
    for (const byte of encoder.encode(character)) {
      const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      piece += isPlain
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    }
    if (encoded.length + piece.length > statusMessageBytesMax) return `${encoded}...`
    encoded += piece
  }
  return encoded
}

/** The inverse of `encodeStatusMessage`; what is not validly encoded stays as it is. */
export function decodeStatusMessage(encoded: string): string {
  if (!encoded.includes('%')) return encoded
  try {
    return decodeURIComponent(encoded)
  } catch {
    return encoded
  }
}

const timeoutUnitsMs: Readonly<Record<string, number>> = {
  n: 1e-6,
  u: 1e-3,
  m: 1,
  S: 1000,
  M: 60_000,
  H: 3_600_000,
}

/** The milliseconds in a `grpc-timeout` header, or undefined when it is malformed. */
export function parseTimeoutMs(text: string): number | undefined {
  const match = /^(\d{1,8})([numSMH])$/.exec(text)
  const unitMs = timeoutUnitsMs[match?.[2] ?? '']
  return unitMs === undefined ? undefined : Number(match?.[1]) * unitMs
}

/** A `grpc-timeout` header of at least `ms`, in the finest unit whose digits suffice. */
export function formatTimeout(ms: number): string {
  const digitsMax = 99_999_999
  const whole = Math.max(0, Math.ceil(ms))
  if (whole <= digitsMax) return `${whole}m`
  return `${Math.min(digitsMax, Math.ceil(whole / 1000))}S`
}
