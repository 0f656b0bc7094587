import type { Readable, Writable } from 'node:stream'
import { SystemClock } from '../base/clock.ts'
import { parseAddress } from '../client/address.ts'
import type { CommandSpec } from './command.ts'
import { commandFamilies, findCommand, helpTopic } from './command-table.ts'
import { readAddress } from './config.ts'
import { errorText } from './error-text.ts'
import { OutputClosedError, UsageError } from './errors.ts'
import { commandHelp, generalHelp } from './help.ts'
import { Input } from './input.ts'
import { NodeTransport } from './node-transport.ts'
import { Output } from './output.ts'
import { parseCommand } from './parsing/command-line.ts'

/** The parts of a process that pachctl uses; each is asked for when it is needed. */
export interface PachctlProcess {
  /** With Node and the program first. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable
  readonly stdout: Writable & { readonly isTTY?: boolean }
  readonly stderr: Writable & { readonly isTTY?: boolean }
}

const exitCodes = { done: 0, failed: 1 } as const

/** Runs one command. Returns the exit code. */
export async function runPachctl(process: PachctlProcess): Promise<number> {
  const [name, words] = splitWords(process.argv.slice(2))
  const out = new Output(process.stdout)
  try {
    if (name === undefined || name === 'help') await out.write(help(words))
    else await runCommand(findCommand(name), words, { process, out })
    return exitCodes.done
  } catch (error) {
    if (error instanceof OutputClosedError) return exitCodes.done
    const command = name === undefined || name === 'help' ? undefined : findIfKnown(name)
    const usage = error instanceof UsageError && error.usage !== '' ? `\n${error.usage}` : ''
    process.stderr.write(`${errorText(error, command)}\n${usage}`)
    return exitCodes.failed
  }
}

/** The command, and all other words: flags may stand before it. */
function splitWords(words: readonly string[]): readonly [string | undefined, readonly string[]] {
  const index = words.findIndex((word) => !word.startsWith('-'))
  return index === -1 ? [undefined, words] : [words[index], words.toSpliced(index, 1)]
}

function help(words: readonly string[]): string {
  const topic = words.find((word) => !word.startsWith('-'))
  if (topic !== undefined) return helpTopic(topic) ?? commandHelp(findCommand(topic))
  const unknown = words.find((word) => !/^(-h|--help|-v|--verbose|--no-metrics)$/.test(word))
  if (unknown !== undefined) throw new UsageError(`unknown flag: ${unknown}; see pachctl --help`)
  return generalHelp(commandFamilies)
}

function findIfKnown(name: string): CommandSpec | undefined {
  try {
    return findCommand(name)
  } catch {
    return undefined
  }
}

async function runCommand(
  command: CommandSpec,
  words: readonly string[],
  { process, out }: { readonly process: PachctlProcess; readonly out: Output },
): Promise<void> {
  const { args, flags, wantsHelp } = parseCommand(command, words)
  if (wantsHelp) {
    await out.write(commandHelp(command))
    return
  }
  const clock = new SystemClock()
  const address = readAddress(process.env)
  await using transport = new NodeTransport(parseAddress(address), clock)
  const run = await command.load()
  await run({
    args,
    flags,
    input: new Input(() => process.stdin),
    out,
    err: new Output(process.stderr),
    environment: process.env,
    clock,
    address,
    transport,
  })
}
