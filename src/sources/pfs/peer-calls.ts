import { connect } from 'node:net'
import type { Clock } from '../../base/clock.ts'
import {
  type DomainError,
  FailedPreconditionError,
  NotFoundError,
  ResourceExhaustedError,
  UnavailableError,
} from '../../base/errors.ts'
import { MalformedMessageError } from '../../base/grpc-messages.ts'
import { Code } from '../../base/grpc-wire.ts'
import { type Address, addressText } from '../../client/address.ts'
import { RpcError } from '../../client/rpc-error.ts'
import { NodeTransport } from '../../node-client/node-transport.ts'
import type { ReachGuard } from '../reach.ts'
import { SourceBrokeError } from '../source.ts'

const advice = 'look whether the address is right, and can be reached from this server'

/** A connection to another pachd, which goes only to where `guard` lets it. */
export function peerTransport(address: Address, clock: Clock, guard: ReachGuard): NodeTransport {
  return new NodeTransport(address, clock, {
    advice,
    connect: ({ host, port }) => {
      guard.requireHost(host)
      return connect({ host, port, lookup: guard.lookup })
    },
  })
}

/** Failures in the words of this server. */
export class PeerErrors {
  /** For people. */
  readonly address: string
  #hasAnswered = false

  /** @param address a text is for people. */
  constructor(address: Address | string) {
    this.address = typeof address === 'string' ? address : addressText(address)
  }

  /** Says what went wrong with a call; what broke after the server had answered once may be tried again. */
  async call<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    try {
      const answer = await ask()
      this.#hasAnswered = true
      return answer
    } catch (error) {
      throw this.#worded(error)
    }
  }

  /** The same for an answer that comes piece by piece. */
  async *stream<Piece>(pieces: AsyncIterable<Piece>): AsyncGenerator<Piece> {
    try {
      for await (const piece of pieces) {
        this.#hasAnswered = true
        yield piece
      }
    } catch (error) {
      throw this.#worded(error)
    }
  }

  #worded(error: unknown): unknown {
    if (error instanceof UnavailableError && this.#hasAnswered) {
      return new SourceBrokeError(error.message, { cause: error })
    }
    if (error instanceof MalformedMessageError) {
      // Such as half of one, where a connection was lost.
      const text = `pachd at ${this.address} sends what is no message: ${error.message}`
      return new SourceBrokeError(text, { cause: error })
    }
    return error instanceof RpcError ? wordedRpc(this.address, error) : error
  }
}

/** What 1.3 to 1.5 say of things that are not there. */
const absence = /not found|no node at|doesn't exist/

function wordedRpc(address: string, error: RpcError): DomainError {
  const text = `pachd at ${address} says: ${error.message}`
  switch (error.code) {
    case Code.unavailable:
    case Code.cancelled:
    case Code.internal:
    case Code.aborted:
      return new SourceBrokeError(text, { cause: error })
    case Code.resourceExhausted:
      return new ResourceExhaustedError(text, { cause: error })
    case Code.notFound:
      return new NotFoundError(text, { cause: error })
    case Code.unknown:
      if (absence.test(error.message)) return new NotFoundError(text, { cause: error })
      return new FailedPreconditionError(text, { cause: error })
    default:
      return new FailedPreconditionError(text, { cause: error })
  }
}

/** Whether a call failed because something is not there. */
export function isAbsent(error: unknown): boolean {
  return error instanceof NotFoundError
}
