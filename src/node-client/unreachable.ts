import { DomainError, UnavailableError } from '../base/errors.ts'
import { addressText, type Address } from '../client/address.ts'

/** How long a server may take to show that it is there. */
export const connectMsMax = 10_000

const advicePachctl = 'start pachd there, or set ADDRESS to the HOST:PORT of a running one'

/** A server, for people. */
export interface ServerInWords {
  /** What it is: pachd, unless it says otherwise. */
  readonly name?: string
  /** What to do when it cannot be reached. */
  readonly advice?: string
}

export function noAnswer(): Error {
  return new Error(`no answer within ${connectMsMax / 1000} s`)
}

/** What to tell somebody whose server cannot be reached. */
export function unreachable(
  address: Address,
  cause: unknown,
  { name = 'pachd', advice = advicePachctl }: ServerInWords = {},
): DomainError {
  // Who opens the socket may have refused to, in words of its own.
  if (cause instanceof DomainError) return cause
  return new UnavailableError(
    `cannot reach ${name} at ${addressText(address)}: ${reason(cause)}; ${advice}`,
    { cause },
  )
}

function reason(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException
  switch (code) {
    case 'ECONNREFUSED':
      return 'connection refused'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'no such host'
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'no route to it'
    case 'ERR_HTTP2_ERROR':
      return 'what listens there does not speak gRPC'
    default:
      return message
  }
}
