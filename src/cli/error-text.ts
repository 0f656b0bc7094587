import { DomainError } from '../base/errors.ts'
import { Code } from '../base/grpc-wire.ts'
import { RpcError } from '../client/rpc-error.ts'
import type { CommandSpec } from './command.ts'

/** What a person reads when `command` has failed with `error`. */
export function errorText(error: unknown, command: CommandSpec | undefined): string {
  if (error instanceof RpcError) {
    const status =
      command?.showsStatus === true ? `rpc error: code = ${codeName(error)} desc = ` : ''
    return `${command?.errorPrefix ?? ''}${status}${error.message}`
  }
  if (error instanceof DomainError) return error.message
  if (!(error instanceof Error)) return String(error)
  // What the operating system says names the file already.
  if ('syscall' in error) return error.message
  return `pachctl has a bug, please report it: ${error.stack ?? error.message}`
}

/** As Go writes it: `NotFound`. */
function codeName({ code }: RpcError): string {
  const name = Object.entries(Code).find(([, number]) => number === code)?.[0] ?? 'unknown'
  return name.slice(0, 1).toUpperCase() + name.slice(1)
}
