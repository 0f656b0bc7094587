import { DomainError } from '../base/errors.ts'
import { Code } from '../base/grpc-wire.ts'
import { RpcError } from '../client/rpc-error.ts'
import type { CommandSpec } from './command.ts'
import { KeptTextError, LeftOpenError, UsageError } from './errors.ts'
import { usageText } from './help.ts'
import { visibleLines } from './printing/visible.ts'

/** What a person reads when `command` has failed with `error`: lines. */
export function errorText(error: unknown, command: CommandSpec | undefined): string {
  const usage =
    error instanceof UsageError && error.showsUsage && command !== undefined
      ? `\n${usageText(command)}`
      : ''
  // It may hold names that others gave.
  return `${visibleLines(message(error, command))}\n${usage}`
}

function message(error: unknown, command: CommandSpec | undefined): string {
  if (error instanceof LeftOpenError || error instanceof KeptTextError) {
    return `${message(error.cause, command)}\n${error.message}`
  }
  if (error instanceof RpcError) {
    const status =
      command?.showsStatus === true ? `rpc error: code = ${codeName(error)} desc = ` : ''
    return `${command?.errorPrefix ?? ''}${status}${error.message}`
  }
  if (error instanceof DomainError) return error.message
  if (!(error instanceof Error)) return String(error)
  if ('syscall' in error) return systemText(error.message)
  return `pachctl has a bug, please report it: ${error.stack ?? error.message}`
}

/** `ENOENT: no such file or directory, open 'x'` the way other programs say it. */
export function systemText(text: string): string {
  const match = /^\w+: (.*), \w+ '(.*)'$/s.exec(text)
  return match === null ? text : `${match[2]}: ${match[1]}`
}

/** As Go writes it: `NotFound`. */
function codeName({ code }: RpcError): string {
  const name = Object.entries(Code).find(([, number]) => number === code)?.[0] ?? 'unknown'
  return name.slice(0, 1).toUpperCase() + name.slice(1)
}
