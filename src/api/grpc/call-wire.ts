import type { EncodedMessage } from '../../base/grpc-wire.ts'
import type { Status } from './errors.ts'

/** The HTTP side of one call: how messages and the status get to the caller. */
export interface CallWire {
  /** What may still come, at most, when `received` has said no. */
  readonly aheadBytesMax: number
  /** Begins to tell what comes from the caller. */
  attach(events: CallEvents): void
  /** The caller may send more, after `received` said no. */
  resume(): void
  /** Sends a message of `sizeBytes`. False when `drained` should be waited for. */
  send(message: EncodedMessage, sizeBytes: number): boolean
  /** Sends the status, after what was sent, and ignores what the caller still says. */
  finish(status: Status): void
}

/** What a caller does. */
export interface CallEvents {
  /** Takes over a slice of the caller's messages. False: pause until `resume`. */
  received(slice: Uint8Array): boolean
  /** The caller has said all. */
  receivedAll(): void
  /** There is room to send again. */
  drained(): void
  /** The caller cancelled, or the connection is lost; also after the end, when it means nothing. */
  gone(): void
}
