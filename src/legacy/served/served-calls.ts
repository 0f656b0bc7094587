import { PermissionDeniedError, UnavailableError } from '../../base/errors.ts'
import { type Address, addressText } from '../../client/address.ts'
import { RpcError } from '../../client/rpc-error.ts'
import type { CallOptions, Transport } from '../../client/transport.ts'

/** How the calls of one migration go to an old server, and what its failures are here. */
export class ServedCalls {
  /** For people. */
  readonly name: string
  readonly transport: Transport
  readonly options: CallOptions

  /** @param caller.token empty for who has none, as clients of 1.5 send it. */
  constructor(
    transport: Transport,
    caller: { readonly address: Address; readonly token: string },
    signal: AbortSignal,
  ) {
    this.name = `pachd at ${addressText(caller.address)}`
    this.transport = transport
    this.options = { signal, metadata: { 'authn-token': caller.token } }
  }

  /** @throws {UnavailableError} @throws {PermissionDeniedError} */
  async ask<Answer>(call: (options: CallOptions) => Promise<Answer>): Promise<Answer> {
    try {
      return await call(this.options)
    } catch (error) {
      throw this.worded(error)
    }
  }

  worded(error: unknown): unknown {
    if (!(error instanceof RpcError)) return error
    const text = `${this.name} says: ${error.message}`
    if (!/not authorized|token not found/.test(error.message)) {
      return new UnavailableError(text, { cause: error })
    }
    return new PermissionDeniedError(`${text}. ${tokenAdvice}`, { cause: error })
  }
}

export const tokenAdvice =
  'Its access control is on: give the token of an administrator, which pachctl of 1.5 keeps as session_token in ~/.pachyderm/config.json, in a file with --pachd-token-file, or as PACHD_TOKEN in the environment of pachctl'
